#include "tests/attacks/torch_attacks.h"

#include <cstdint>
#include <functional>
#include <utility>

#include "absl/types/span.h"
#include "common/io/memory_io.h"
#include "common/pickle/pickle_writer.h"
#include "common/zip/zip_writer.h"

namespace cairn::testing {
namespace {

constexpr int64_t kMax = INT64_MAX;

std::string PickleOf(const std::function<void(PickleWriter&)>& write) {
  std::string bytes;
  PickleWriter writer(&bytes, 2);
  write(writer);
  (void)writer.Finish();
  return bytes;
}

struct Tensor {
  std::string function = "_rebuild_tensor_v2";
  std::string storage_module = "torch";
  std::string storage = "FloatStorage";
  std::string key = "0";
  int64_t elements = 4;
  int64_t offset = 0;
  std::vector<int64_t> shape = {4};
  std::vector<int64_t> strides = {1};
  std::string dtype = {};  // Of _rebuild_tensor_v3.
  std::function<void(PickleWriter&)> metadata = nullptr;
};

void Write(const Tensor& tensor, PickleWriter& writer) {
  writer.BeginReduce();
  writer.Global("torch._utils", tensor.function);
  writer.BeginTuple();
  writer.BeginPersistentId();
  writer.BeginTuple();
  writer.Str("storage");
  writer.Global(tensor.storage_module, tensor.storage);
  writer.Str(tensor.key);
  writer.Str("cpu");
  writer.Int(tensor.elements);
  writer.End();
  writer.End();
  writer.Int(tensor.offset);
  writer.IntTuple(tensor.shape);
  writer.IntTuple(tensor.strides);
  writer.Bool(false);
  writer.EmptyOrderedDict();
  if (!tensor.dtype.empty()) writer.Global("torch", tensor.dtype);
  if (tensor.metadata) tensor.metadata(writer);
  writer.End();
  writer.End();
}

// A container that holds the same container twice, and so on.
void WriteShared(int levels, bool dicts, PickleWriter& writer) {
  if (levels == 0) return dicts ? Write(Tensor(), writer) : writer.Int(0);
  if (dicts) {
    writer.BeginDict();
    writer.Str("a");
  } else {
    writer.BeginList();
  }
  WriteShared(levels - 1, dicts, writer);
  const PickleWriter::Memo below = writer.Memoize();
  if (dicts) writer.Str("b");
  writer.Get(below);
  writer.End();
}

// {"w": tensor} with 16 bytes of storage.
std::string FileOf(const Tensor& tensor) {
  return TorchZip(PickleOf([&](PickleWriter& writer) {
                    writer.BeginDict();
                    writer.Str("w");
                    Write(tensor, writer);
                    writer.End();
                  }),
                  std::string(16, 'x'));
}

// {"w": whatever `value` writes}.
std::string FileWith(const std::function<void(PickleWriter&)>& value) {
  return TorchZip(PickleOf([&](PickleWriter& writer) {
                    writer.BeginDict();
                    writer.Str("w");
                    value(writer);
                    writer.End();
                  }),
                  std::string(16, 'x'));
}

std::string ArchiveOf(const std::vector<std::pair<std::string, std::string>>& records) {
  std::string bytes;
  MemorySink sink(&bytes);
  ZipWriter zip(&sink);
  for (const auto& [name, content] : records) (void)zip.AddEntry(name, content);
  (void)zip.Finish();
  (void)sink.Close();
  return bytes;
}

std::string Int64(int64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(value >> (8 * i)));
  return bytes;
}

const std::string kLegacyHead("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e\x80\x02M\xe9\x03.", 21);

std::string Legacy(const std::string& keys, const std::string& storages, int64_t elements = 4) {
  const std::string system = PickleOf([](PickleWriter& writer) {
    writer.BeginDict();
    writer.Str("little_endian");
    writer.Bool(true);
    writer.End();
  });
  const std::string object = PickleOf([&](PickleWriter& writer) {
    writer.BeginDict();
    writer.Str("w");
    Tensor tensor;
    tensor.elements = elements;
    Write(tensor, writer);
    writer.End();
  });
  return kLegacyHead + system + object + keys + storages;
}

std::string Keys(const std::vector<std::string>& keys) {
  return PickleOf([&](PickleWriter& writer) {
    writer.BeginList();
    for (const std::string& key : keys) writer.Str(key);
    writer.End();
  });
}

std::string PlainPickle() {
  return PickleOf([](PickleWriter& writer) {
    writer.BeginDict();
    writer.Str("w");
    Write(Tensor(), writer);
    writer.End();
  });
}

}  // namespace

std::string TorchZip(const std::string& pickle, const std::string& storage) {
  return ArchiveOf({{"archive/data.pkl", pickle}, {"archive/byteorder", "little"}, {"archive/data/0", storage}, {"archive/version", "3\n"}});
}

std::vector<TorchAttack> TorchAttacks() {
  std::vector<TorchAttack> attacks;
  const auto add = [&](std::string name, std::string bytes, std::string message) {
    attacks.push_back({std::move(name), std::move(bytes), std::move(message)});
  };
  add("good", FileOf({}), "");
  add("view_beyond_the_storage", FileOf({.shape = {5}}), "shape [5]");
  add("offset_beyond_the_storage", FileOf({.offset = 1}), "offset 1");
  add("huge_offset", FileOf({.offset = kMax}), "offset");
  add("negative_offset", FileOf({.offset = -1}), "an offset of 0 or more");
  add("negative_extent", FileOf({.shape = {-4}}), "shape [-4]");
  add("negative_stride", FileOf({.strides = {-1}}), "strides [-1]");
  add("stride_overflow", FileOf({.shape = {3}, .strides = {kMax}}), "strides");
  add("extent_overflow", FileOf({.shape = {kMax, kMax}, .strides = {0, 0}}), "more elements than a signed 64-bit integer can count");
  add("ranks_differ", FileOf({.shape = {2, 2}, .strides = {1}}), "one stride per dimension");
  add("too_many_dimensions", FileOf({.shape = std::vector<int64_t>(40, 1), .strides = std::vector<int64_t>(40, 1)}), "at most 32");
  add("storage_shorter_than_it_says", FileOf({.elements = 5, .shape = {5}}), "has 16 bytes, expected 20 by the pickle");
  add("negative_elements", FileOf({.elements = -1}), "expected a number of elements, found -1");
  add("elements_overflow", FileOf({.elements = kMax}), "expected a number of elements, found 9223372036854775807, whose bytes no 64 bits count");
  add("no_such_storage", FileOf({.key = "7"}), "names a storage \"7\"");
  add("key_that_climbs", FileOf({.key = "../../etc/passwd"}), "there is no record \"archive/data/../../etc/passwd\"");
  add("conjugate_of_floats", FileOf({.metadata = [](PickleWriter& w) { w.BeginDict(); w.Str("conj"); w.Bool(true); w.End(); }}),
      "conjugate");
  add("metadata_is_no_dict", FileOf({.metadata = [](PickleWriter& w) { w.Int(3); }}), "metadata");
  add("v3_without_a_dtype", FileOf({.function = "_rebuild_tensor_v3"}), "arguments of _rebuild_tensor_v3");
  add("too_few_arguments", FileWith([](PickleWriter& w) {
        w.BeginReduce();
        w.Global("torch._utils", "_rebuild_tensor_v2");
        w.BeginTuple();
        w.End();
        w.End();
      }),
      "arguments of _rebuild_tensor_v2");
  add("storage_is_an_int", FileWith([](PickleWriter& w) {
        w.BeginReduce();
        w.Global("torch._utils", "_rebuild_tensor_v2");
        w.BeginTuple();
        for (int i = 0; i < 6; ++i) w.Int(1);
        w.End();
        w.End();
      }),
      "expected a storage");
  add("parameter_of_nothing", FileWith([](PickleWriter& w) {
        w.BeginReduce();
        w.Global("torch._utils", "_rebuild_parameter");
        w.BeginTuple();
        w.Int(1);
        w.End();
        w.End();
      }),
      "a tensor as the first argument");
  add("parameter_in_parameter", FileWith([](PickleWriter& w) {
        for (int i = 0; i < 8; ++i) {
          w.BeginReduce();
          w.Global("torch._utils", "_rebuild_parameter");
          w.BeginTuple();
        }
        Write(Tensor(), w);
        for (int i = 0; i < 8; ++i) {
          w.End();
          w.End();
        }
      }),
      "a tensor as the first argument");
  add("dict_in_itself", FileWith([](PickleWriter& w) {
        w.BeginDict();
        const PickleWriter::Memo self = w.Memoize();
        w.Str("self");
        w.Get(self);
        w.End();
      }),
      "holds itself");
  add("list_in_itself", FileWith([](PickleWriter& w) {
        w.BeginList();
        const PickleWriter::Memo self = w.Memoize();
        w.Get(self);
        w.End();
      }),
      "holds itself");
  // Each level has the one below twice: 2^40 leaves if anybody expands them.
  add("shared_lists_of_lists", FileWith([](PickleWriter& w) { WriteShared(40, false, w); }), "containers that stand in several places make more entries than");
  add("shared_dicts_of_tensors", FileWith([](PickleWriter& w) { WriteShared(40, true, w); }), "containers that stand in several places make more entries than");
  // A key of 4,000 bytes, written once.
  add("one_name_of_many_dicts", FileWith([](PickleWriter& w) {
        w.BeginList();
        PickleWriter::Memo key = 0;
        for (int i = 0; i < 40'000; ++i) {
          w.BeginDict();
          if (i == 0) {
            w.Str(std::string(4000, 'k'));
            key = w.Memoize();
          } else {
            w.Get(key);
          }
          w.Int(1);
          w.End();
        }
        w.End();
      }),
      "the names of all entries take more memory than");
  add("many_leaves_in_the_deep", FileWith([](PickleWriter& w) {
        for (int i = 0; i < 58; ++i) w.BeginList();
        for (int i = 0; i < 60'000; ++i) w.Int(1);
        for (int i = 0; i < 58; ++i) w.End();
      }),
      "the names of all entries take more memory than");
  // As optimizers have it: all groups with the same betas.
  add("shared_good", FileWith([](PickleWriter& w) {
        w.BeginList();
        PickleWriter::Memo betas = 0;
        for (int i = 0; i < 1900; ++i) {
          w.BeginDict();
          w.Str("betas");
          if (i == 0) {
            w.IntTuple({1, 2, 3});
            betas = w.Memoize();
          } else {
            w.Get(betas);
          }
          w.Str("lr");
          w.Int(1);
          w.End();
        }
        w.End();
      }),
      "");
  add("long_name", TorchZip(PickleOf([](PickleWriter& w) {
                              w.BeginDict();
                              w.Str(std::string(5000, 'n'));
                              Write(Tensor(), w);
                              w.End();
                            }),
                            std::string(16, 'x')),
      "limit of 4096 bytes");
  add("no_pickle", ArchiveOf({{"archive/data/0", "x"}}), "without a record \"data.pkl\"");
  add("empty_pickle", ArchiveOf({{"archive/data.pkl", ""}}), "ends at offset 0 without STOP");
  add("pickle_of_garbage", ArchiveOf({{"archive/data.pkl", "garbage"}}), "offset");
  add("odd_byte_order", ArchiveOf({{"a/data.pkl", PlainPickle()}, {"a/byteorder", "middle"}, {"a/data/0", std::string(16, 'x')}}), "byteorder");
  add("torchscript", ArchiveOf({{"a/data.pkl", PlainPickle()}, {"a/constants.pkl", ""}}), "TorchScript");
  add("preview_container", "PYTORCH1" + std::string(100, '\0'), "preview");
  add("tar", std::string(257, '\0') + "ustar" + std::string(300, '\0'), "tar archive");
  add("text", "hello, this is no archive", "neither a zip archive");
  add("legacy_good", Legacy(Keys({"0"}), Int64(4) + std::string(16, 'x')), "");
  add("legacy_magic_alone", kLegacyHead.substr(0, 15), "pickle at offset 15: ends at offset 15");
  add("legacy_other_version", kLegacyHead.substr(0, 15) + std::string("\x80\x02M\xea\x03.", 6), "protocol version 1001");
  add("legacy_storage_cut_off", Legacy(Keys({"0"}), Int64(4) + std::string(15, 'x')), "cut off");
  add("legacy_storage_of_many", Legacy(Keys({"0"}), Int64(kMax) + std::string(16, 'x')), "cut off");
  add("legacy_storage_of_less_than_none", Legacy(Keys({"0"}), Int64(-1) + std::string(16, 'x')), "cut off");
  add("legacy_without_a_length", Legacy(Keys({"0"}), "xxx"), "ends before storage");
  add("legacy_key_twice", Legacy(Keys({"0", "0"}), Int64(2) + std::string(8, 'x') + Int64(2) + std::string(8, 'x')), "twice");
  add("legacy_unknown_key", Legacy(Keys({"1"}), Int64(4) + std::string(16, 'x')), "that the object has not");
  add("legacy_keys_are_no_list", Legacy(PickleOf([](PickleWriter& w) { w.Int(1); }), ""), "list of storages");
  add("legacy_storage_of_another_size", Legacy(Keys({"0"}), Int64(3) + std::string(12, 'x')), "has 12 bytes, expected 16 by the pickle");
  return attacks;
}

}  // namespace cairn::testing
