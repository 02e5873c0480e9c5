#include "tests/attacks/dcp_attacks.h"

#include <cstdint>
#include <functional>
#include <utility>

#include "common/pickle/pickle_writer.h"
#include "tests/attacks/dcp_files.h"

namespace cairn::testing {
namespace {

constexpr int64_t kMax = INT64_MAX;
using Files = std::map<std::string, std::string>;

// {"w": float32 [4, 3], in two chunks of two rows; "step": 7}
struct Good {
  DcpDataFile data;
  DcpMetadataSpec spec;

  Good() {
    DcpEntrySpec w{.name = "w", .path = {"w"}, .size = {4, 3}};
    w.chunks = {{{0, 0}, {2, 3}, data.Add(DcpFloatItem({2, 3}, 0))},
                {{2, 0}, {2, 3}, data.Add(DcpFloatItem({2, 3}, 6))}};
    DcpEntrySpec step{.name = "step", .path = {"step"}, .is_value = true};
    step.place = data.Add(DcpIntItem(7));
    spec.entries = {w, step};
  }
  DcpEntrySpec& tensor() { return spec.entries[0]; }
  DcpChunkSpec& chunk(size_t i = 0) { return tensor().chunks[i]; }
  DcpEntrySpec& value() { return spec.entries[1]; }
  Files Make() const { return {{".metadata", DcpMetadataBytes(spec)}, {"__0_0.distcp", data.bytes()}}; }
};

Files With(const std::function<void(Good&)>& change) {
  Good good;
  change(good);
  return good.Make();
}

// A tensor of one chunk that lies in `item`.
Files ItemOf(const std::string& item, std::vector<std::string> transforms = {}) {
  Good good;
  DcpDataFile data;
  const DcpPlace place = data.Add(item, std::move(transforms));
  good.spec.entries = {{.name = "w", .path = {"w"}, .size = {2, 3}, .chunks = {{{0, 0}, {2, 3}, place}}}};
  return {{".metadata", DcpMetadataBytes(good.spec)}, {"__0_0.distcp", data.bytes()}};
}

Files MetadataOf(const std::string& bytes) { return {{".metadata", bytes}, {"__0_0.distcp", "x"}}; }

std::string PickleOf(const std::function<void(PickleWriter&)>& write) {
  std::string bytes;
  PickleWriter writer(&bytes, 4);
  write(writer);
  (void)writer.Finish();
  return bytes;
}

// Metadata with that state.
std::string MetadataWith(const std::function<void(PickleWriter&)>& state) {
  return PickleOf([&](PickleWriter& w) {
    w.BeginNewObj();
    w.Global("torch.distributed.checkpoint.metadata", "Metadata");
    w.BeginTuple();
    w.End();
    w.Build();
    state(w);
    w.End();
  });
}

std::string Deep(int levels) {
  return MetadataWith([&](PickleWriter& w) {
    w.BeginDict();
    w.Str("state_dict_metadata");
    for (int i = 0; i < levels; ++i) w.BeginList();
    for (int i = 0; i < levels; ++i) w.End();
    w.End();
  });
}

Files Shards(const std::vector<std::string>& files) {
  Files folder;
  for (size_t i = 0; i < files.size(); ++i)
    folder["shard-0000" + std::to_string(i + 1) + "-model-00001-of-00001.safetensors"] = files[i];
  return folder;
}

void AddGeometry(const std::function<void(std::string, Files, std::string)>& add) {
  add("overlapping_chunks", With([](Good& g) { g.chunk(1).offsets = {1, 0}; }), "overlap");
  add("the_same_chunk_twice", With([](Good& g) { g.chunk(1).offsets = {0, 0}; }), "overlap");
  add("a_hole", With([](Good& g) { g.tensor().size = {5, 3}; }), "no chunk holds");
  add("no_chunks", With([](Good& g) { g.tensor().chunks.clear(); }), "no chunk holds");
  add("chunk_beyond_the_tensor", With([](Good& g) { g.chunk(1).offsets = {3, 0}; }), "leaves shape");
  add("chunk_far_beyond_the_tensor", With([](Good& g) { g.chunk(1).offsets = {kMax, 0}; }), "leaves shape");
  add("chunk_of_overflowing_size", With([](Good& g) { g.chunk(1).sizes = {kMax, 3}; }), "leaves shape");
  add("negative_offset", With([](Good& g) { g.chunk(1).offsets = {-2, 0}; }), "a number of 0 or more");
  add("negative_size", With([](Good& g) { g.tensor().size = {-4, 3}; }), "a number of 0 or more");
  add("chunk_of_another_rank", With([](Good& g) { g.chunk(1).sizes = {6}; }), "a chunk of 2 dimensions");
  add("too_many_dimensions", With([](Good& g) { g.tensor().size = Numbers(40, 1); }), "at most 32");
  add("size_beyond_64_bits", With([](Good& g) {
        g.tensor().size = {kMax, kMax};
        g.chunk(0).sizes = {kMax, kMax};
      }),
      "");
  add("bytes_beyond_64_bits", With([](Good& g) {
        g.tensor().size = {kMax};
        g.tensor().chunks = {{{0}, {kMax}, g.chunk(0).place}};
      }),
      "");
  add("huge_tensor_in_a_small_item", With([](Good& g) {
        g.tensor().size = {int64_t{1} << 40, 3};
        g.tensor().chunks = {{{0, 0}, {int64_t{1} << 40, 3}, g.chunk(0).place}};
      }),
      "by the metadata");
}

void AddPlaces(const std::function<void(std::string, Files, std::string)>& add) {
  add("no_place_of_a_chunk", With([](Good& g) { g.chunk(1).place.reset(); }), "does not say where chunk");
  add("no_place_of_a_value", With([](Good& g) { g.value().place.reset(); }), "does not say where it lies");
  add("no_storage_data", With([](Good& g) { g.spec.with_storage = false; }), "does not say where");
  add("item_past_the_end", With([](Good& g) { g.chunk(1).place->length += 100'000; }), "cut short");
  add("item_that_overflows", With([](Good& g) {
        g.chunk(1).place->offset = kMax;
        g.chunk(1).place->length = kMax;
      }),
      "cut short");
  add("negative_length", With([](Good& g) { g.chunk(1).place->length = -1; }), "expected a number of bytes as length, found -1");
  add("negative_place", With([](Good& g) { g.chunk(1).place->offset = -1; }), "expected a number of bytes as offset, found -1");
  add("item_cut_short", With([](Good& g) { g.chunk(1).place->length -= 10; }), "");
  add("item_that_is_no_zip", With([](Good& g) { g.chunk(1).place->offset += 1; }), "");
  add("empty_item", With([](Good& g) { g.chunk(1).place->length = 0; }), "");
  add("missing_file", With([](Good& g) { g.chunk(1).place->file = "__7_0.distcp"; }), "__7_0.distcp");
  add("file_that_climbs", With([](Good& g) { g.chunk(1).place->file = "../secret"; }), "bare name");
  add("file_that_is_absolute", With([](Good& g) { g.chunk(1).place->file = "/etc/passwd"; }), "bare name");
  add("file_in_a_folder", With([](Good& g) { g.chunk(1).place->file = "sub/__0_0.distcp"; }), "bare name");
  add("file_of_two_dots", With([](Good& g) { g.chunk(1).place->file = ".."; }), "bare name");
  add("file_without_a_name", With([](Good& g) { g.chunk(1).place->file = ""; }), "bare name");
  add("file_with_a_nul", With([](Good& g) { g.chunk(1).place->file = std::string("a\0b", 3); }), "bare name");
  add("file_of_a_long_name", With([](Good& g) { g.chunk(1).place->file = std::string(5000, 'f'); }), "limit of 255");
  add("unknown_transform", With([](Good& g) { g.chunk(1).place->transforms = {"stream.secret/1"}; }), "stream.secret");
  add("transform_of_another_version", With([](Good& g) { g.chunk(1).place->transforms = {"stream.zstd/2"}; }),
      "stream.zstd/2");
  add("many_transforms", With([](Good& g) { g.chunk(1).place->transforms.assign(9, "stream.zstd/1"); }), "at most 4");
  add("zstd_that_is_none", With([](Good& g) { g.chunk(1).place->transforms = {"stream.zstd/1"}; }), "zstd");
}

void AddItems(const std::function<void(std::string, Files, std::string)>& add) {
  add("item_of_another_shape", ItemOf(DcpFloatItem({3, 2}, 0)), "expected float32 [2, 3]");
  add("item_of_another_dtype", ItemOf(DcpTensorItem("IntStorage", 4, {2, 3}, std::string(24, 'x'))), "holds int32");
  add("item_with_a_short_storage", ItemOf(DcpTensorItem("FloatStorage", 4, {2, 3}, std::string(20, 'x'))), "");
  add("item_that_is_no_tensor", ItemOf(DcpIntItem(3)), "expected a tensor");
  add(
      "zstd_cut_short",
      [] {
        Files files = ItemOf(DcpFloatItem({2, 3}, 0), {"stream.zstd/1"});
        // The place says where it ends; so the frame is damaged instead.
        std::string& data = files["__0_0.distcp"];
        data.replace(data.size() - 8, 8, 8, '\0');
        return files;
      }(),
      "");
  add("zstd_bomb", ItemOf(std::string(64 << 20, 'b'), {"stream.zstd/1"}), "more than the expected");
  add("item_that_many_values_name", With([](Good& g) {
        // A thousand lists of a thousand numbers, all of them one.
        std::string pickle = PickleOf([](PickleWriter& w) {
          w.BeginList();
          for (int i = 0; i < 1000; ++i) w.Int(i);
          w.End();
        });
        const DcpPlace place = g.data.Add(DcpPickleItem(pickle));
        for (int i = 0; i < 1000; ++i) {
          DcpEntrySpec value{.name = std::to_string(i), .path = {"lists", std::to_string(i)}, .is_value = true};
          value.place = place;
          g.spec.entries.push_back(value);
        }
      }),
      "values that lie in one item make more than");
  add("storage_that_two_tensors_name", With([](Good& g) {
        DcpEntrySpec other = g.tensor();
        other.name = "v";
        other.path = {"v"};
        other.size = {3, 2};
        other.chunks = {{{0, 0}, {3, 2}, g.chunk(0).place}};
        g.spec.entries.push_back(other);
      }),
      "by the metadata");
}

void AddPickles(const std::function<void(std::string, Files, std::string)>& add) {
  add("metadata_is_empty", MetadataOf(""), "");
  add("metadata_is_garbage", MetadataOf("garbage"), "");
  add("metadata_is_a_dict", MetadataOf(PickleOf([](PickleWriter& w) {
        w.BeginDict();
        w.End();
      })),
      "an object of class Metadata");
  add("metadata_of_another_class", MetadataOf(PickleOf([](PickleWriter& w) {
        w.BeginReduce();
        w.Global("os", "system");
        w.BeginTuple();
        w.Str("true");
        w.End();
        w.End();
      })),
      "an object of class Metadata");
  add("metadata_without_fields", MetadataOf(MetadataWith([](PickleWriter& w) {
        w.BeginDict();
        w.End();
      })),
      "a field state_dict_metadata");
  add("metadata_of_a_list", MetadataOf(MetadataWith([](PickleWriter& w) {
        w.BeginDict();
        w.Str("state_dict_metadata");
        w.BeginList();
        w.End();
        w.End();
      })),
      "expected a dict");
  add("metadata_that_holds_itself", MetadataOf(MetadataWith([](PickleWriter& w) {
        w.BeginDict();
        const PickleWriter::Memo self = w.Memoize();
        w.Str("state_dict_metadata");
        w.Get(self);
        w.End();
      })),
      "");
  add("metadata_very_deep", MetadataOf(Deep(200'000)), "expected a dict");
  add("storage_data_is_a_list", MetadataOf(MetadataWith([](PickleWriter& w) {
        w.BeginDict();
        w.Str("state_dict_metadata");
        w.BeginDict();
        w.End();
        w.Str("storage_data");
        w.BeginList();
        w.End();
        w.End();
      })),
      "storage_data");
  add("name_that_is_a_number", MetadataOf(MetadataWith([](PickleWriter& w) {
        w.BeginDict();
        w.Str("state_dict_metadata");
        w.BeginDict();
        w.Int(3);
        w.None();
        w.End();
        w.End();
      })),
      "expected a name");
  add("long_name", With([](Good& g) { g.tensor().name = std::string(5000, 'n'); }), "limit of 4096");
  add("path_of_nothing", With([](Good& g) {
        g.tensor().path = {std::string(5000, 'p')};
      }),
      "limit of 4096");
  add("path_of_many_parts", With([](Good& g) { g.tensor().path.assign(100, "p"); }), "limit of 64");
  add("two_items_of_one_path", With([](Good& g) { g.value().path = {"w"}; }), "");
  add("item_below_a_tensor", With([](Good& g) { g.value().path = {"w", "step"}; }), "");
  add("list_with_a_far_item", With([](Good& g) { g.value().path = {"list", kMax}; }), "limit");
}

void AddShards(const std::function<void(std::string, Files, std::string)>& add) {
  const auto columns = [](Numbers second) {
    return Shards({DcpSafetensors({{"w", {2, 2}, {0, 0}, 0}}), DcpSafetensors({{"w", {2, 1}, std::move(second), 4}})});
  };
  add("shards_good", columns({0, 2}), "");
  add("shards_overlap", columns({0, 1}), "overlap");
  add("shards_leave_a_hole", columns({0, 3}), "no chunk holds");
  add("shard_of_another_rank", columns({2}), "different ranks");
  add("shard_far_away", columns({kMax, kMax}), "");
  add("shard_without_offsets", Shards({DcpSafetensors({{"w", {2, 2}, {0, 0}, 0}}, "{}")}), "does not say where");
  add("shard_of_negative_offset", columns({0, -2}), "saved_offsets");
  add("shard_info_is_no_json", Shards({DcpSafetensors({{"w", {2, 2}, {0, 0}, 0}}, "oops")}), "DCP_SHARDING_INFO");
  add("shard_info_is_a_list", Shards({DcpSafetensors({{"w", {2, 2}, {0, 0}, 0}}, "[]")}), "saved_offsets");
}

}  // namespace

std::vector<DcpAttack> DcpAttacks() {
  std::vector<DcpAttack> attacks;
  const auto add = [&](std::string name, Files files, std::string message) {
    attacks.push_back({std::move(name), std::move(files), std::move(message)});
  };
  add("good", Good().Make(), "");
  AddGeometry(add);
  AddPlaces(add);
  AddItems(add);
  AddPickles(add);
  AddShards(add);
  for (DcpAttack& attack : attacks)
    attack.harmless =
        attack.name == "good" || attack.name == "shards_good" || attack.name == "metadata_that_holds_itself";
  return attacks;
}

}  // namespace cairn::testing
