#include "common/format/dcp/dcp_reader.h"

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status_macros.h"
#include "common/format/dcp/dcp_format.h"
#include "common/format/safetensors/safetensors_format.h"
#include "common/format/torch/torch_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/dcp_files.h"
#include "tests/testing/memory_folder.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Files = std::map<std::string, std::string>;

absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(const Files& files, DcpReadOptions options = {}) {
  return OpenDcpDirectory(std::make_shared<MemoryFolder>(files, "folder"), options);
}

std::vector<std::string> Paths(const CheckpointReader& reader) {
  std::vector<std::string> paths;
  for (const Entry& entry : reader.index().entries) paths.push_back(entry.path.ToString());
  return paths;
}

const Entry& Find(const CheckpointReader& reader, const std::string& path) {
  for (const Entry& entry : reader.index().entries) {
    if (entry.path.ToString() == path) return entry;
  }
  ADD_FAILURE() << "no entry " << path;
  return reader.index().entries.front();
}

std::vector<float> Floats(CheckpointReader& reader, const std::string& path, size_t window = 1 << 20) {
  const size_t number = static_cast<size_t>(&Find(reader, path) - reader.index().entries.data());
  std::string bytes(reader.index().entries[number].byte_size, '\0');
  for (size_t at = 0; at < bytes.size(); at += window) {
    CAIRN_EXPECT_OK(reader.ReadAt(number, at, absl::MakeSpan(bytes).subspan(at, std::min(window, bytes.size() - at))));
  }
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// Element i is i.
std::vector<float> Count(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i);
  return values;
}

// "w", float32 [4, 3] of 0 to 11, in chunks that are cut along both dimensions.
DcpEntrySpec Grid(DcpDataFile& data, const std::vector<std::string>& transforms = {}) {
  const auto item = [&](const Numbers& shape, const std::vector<float>& values) {
    return data.Add(DcpTensorItem("FloatStorage", 4, shape,
                                  std::string(reinterpret_cast<const char*>(values.data()), values.size() * 4)),
                    transforms);
  };
  DcpEntrySpec w{.name = "w", .path = {"w"}, .size = {4, 3}};
  w.chunks = {{{0, 0}, {1, 2}, item({1, 2}, {0, 1})},
              {{0, 2}, {1, 1}, item({1, 1}, {2})},
              {{1, 0}, {3, 2}, item({3, 2}, {3, 4, 6, 7, 9, 10})},
              {{1, 2}, {3, 1}, item({3, 1}, {5, 8, 11})}};
  return w;
}

TEST(DcpReader, AssemblesATensorFromChunksCutInSeveralDimensions) {
  DcpDataFile data;
  DcpMetadataSpec spec{.entries = {Grid(data)}};
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader,
                             Open({{".metadata", DcpMetadataBytes(spec)}, {"__0_0.distcp", data.bytes()}}));
  EXPECT_EQ(Find(*reader, "w").shape, (Shape{4, 3}));
  for (const size_t window : {1u, 3u, 7u, 4096u}) EXPECT_EQ(Floats(*reader, "w", window), Count(12)) << window;
}

TEST(DcpReader, FollowsTheStridesOfAnItem) {
  DcpDataFile data;
  const std::vector<float> columns = {0, 3, 1, 4, 2, 5};  // [2, 3], one column after the other.
  DcpMetadataSpec spec;
  spec.entries = {{.name = "w", .path = {"w"}, .size = {2, 3}}};
  spec.entries[0].chunks = {
      {{0, 0},
       {2, 3},
       data.Add(DcpTensorItem("FloatStorage", 4, {2, 3}, std::string(reinterpret_cast<const char*>(columns.data()), 24),
                              {1, 2}))}};
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader,
                             Open({{".metadata", DcpMetadataBytes(spec)}, {"__0_0.distcp", data.bytes()}}));
  EXPECT_EQ(Floats(*reader, "w"), Count(6));
}

TEST(DcpReader, KnowsTheModulesAndFieldsOfEveryAge) {
  struct Age {
    const char* name;
    std::string module, storage_module, properties_module;
    int protocol;
  };
  const std::string now = "torch.distributed.checkpoint.", old = "torch.distributed._shard.checkpoint.";
  const std::string properties = "torch.distributed._shard.sharded_tensor.metadata";
  for (const Age& age : {Age{"1.13", old + "metadata", old + "filesystem", properties, 2},
                         Age{"2.0", now + "metadata", now + "filesystem", properties, 4},
                         Age{"2.13", now + "metadata", now + "filesystem", now + "metadata", 4}}) {
    DcpDataFile data;
    DcpMetadataSpec spec{.entries = {Grid(data)},
                         .protocol = age.protocol,
                         .module = age.module,
                         .storage_module = age.storage_module,
                         .properties_module = age.properties_module,
                         .newest_fields = age.properties_module != properties};
    const Files files = {{".metadata", DcpMetadataBytes(spec)}, {"__0_0.distcp", data.bytes()}};
    EXPECT_TRUE(DcpFormat().Detect(MemoryFolder(files))) << age.name;
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, Open(files));
    EXPECT_EQ(Floats(*reader, "w"), Count(12)) << age.name;
  }
}

TEST(DcpReader, TakesPathsFromThePlannerAndNeverSplitsNames) {
  DcpDataFile data;
  const auto entry = [&](std::string name, std::vector<std::variant<std::string, int64_t>> path) {
    return DcpEntrySpec{.name = std::move(name),
                        .path = std::move(path),
                        .size = {1},
                        .chunks = {{{0}, {1}, data.Add(DcpFloatItem({1}, 0))}}};
  };
  DcpMetadataSpec spec;
  spec.entries = {entry("optimizer.state.layers.0.w.exp_avg", {"optimizer", "state.layers.0.w.exp_avg"}),
                  entry("no.path", {})};
  CAIRN_ASSERT_OK_AND_ASSIGN(auto reader,
                             Open({{".metadata", DcpMetadataBytes(spec)}, {"__0_0.distcp", data.bytes()}}));
  EXPECT_THAT(Paths(*reader), ElementsAre("optimizer/state.layers.0.w.exp_avg", "no.path"));
  spec.with_paths = false;
  CAIRN_ASSERT_OK_AND_ASSIGN(reader, Open({{".metadata", DcpMetadataBytes(spec)}, {"__0_0.distcp", data.bytes()}}));
  EXPECT_THAT(Paths(*reader), ElementsAre("optimizer.state.layers.0.w.exp_avg", "no.path"));
}

TEST(DcpReader, MarksListsAndFillsTheirHolesAsTorchDoes) {
  DcpDataFile data;
  const auto value = [&](std::string name, std::vector<std::variant<std::string, int64_t>> path) {
    return DcpEntrySpec{
        .name = std::move(name), .path = std::move(path), .is_value = true, .place = data.Add(DcpIntItem(7))};
  };
  DcpMetadataSpec spec;
  spec.entries = {value("g.0.a", {"g", 0, "a"}), value("g.2.a", {"g", 2, "a"}), value("s.0", {"s", "0"})};
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader,
                             Open({{".metadata", DcpMetadataBytes(spec)}, {"__0_0.distcp", data.bytes()}}));
  EXPECT_THAT(Paths(*reader), ElementsAre("g", "g/[1]", "g/[0]/a", "g/[2]/a", "s/0"));
  EXPECT_EQ(Find(*reader, "g").value->kind, Value::Kind::kList);
  EXPECT_EQ(Find(*reader, "g").value->length, 3u);
  EXPECT_EQ(Find(*reader, "g/[1]").value->kind, Value::Kind::kNone);
  EXPECT_TRUE(Find(*reader, "s/0").value == Value::Int(7));
}

TEST(DcpReader, MergesWhatEachRankWroteForItself) {
  DcpDataFile first("__0_0.distcp"), second("__1_0.distcp");
  const auto spec_of = [](DcpDataFile& data, Numbers offsets, float from, int64_t value) {
    DcpEntrySpec w{.name = "w",
                   .path = {"w"},
                   .size = {4, 3},
                   .chunks = {{std::move(offsets), {2, 3}, data.Add(DcpFloatItem({2, 3}, from))}}};
    DcpEntrySpec same{
        .name = "same", .path = {"same"}, .size = {3}, .chunks = {{{0}, {3}, data.Add(DcpFloatItem({3}, 0))}}};
    DcpEntrySpec nothing{.name = "nothing", .path = {"nothing"}, .size = {0}, .chunks = {{{0}, {0}, std::nullopt}}};
    DcpEntrySpec step{.name = "step", .path = {"step"}, .is_value = true, .place = data.Add(DcpIntItem(value))};
    return DcpMetadataSpec{.entries = {w, same, nothing, step}};
  };
  const std::string zero = DcpMetadataBytes(spec_of(first, {0, 0}, 0, 100)),
                    one = DcpMetadataBytes(spec_of(second, {2, 0}, 6, 200));
  const Files files = {
      {"__0.metadata", zero}, {"__1.metadata", one}, {"__0_0.distcp", first.bytes()}, {"__1_0.distcp", second.bytes()}};
  EXPECT_TRUE(DcpFormat().Detect(MemoryFolder(files)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, Open(files));
  EXPECT_EQ(Floats(*reader, "w"), Count(12));
  EXPECT_EQ(Floats(*reader, "same"), Count(3));
  EXPECT_EQ(Find(*reader, "nothing").byte_size, 0u);
  EXPECT_TRUE(Find(*reader, "step").value == Value::Int(100));

  Files lacks_a_rank = files;
  lacks_a_rank.erase("__1.metadata");
  EXPECT_THAT(Open(lacks_a_rank), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no chunk holds [2:4, 0:3]")));
}

TEST(DcpReader, IgnoresEmptyChunksWhereverTheyAre) {
  DcpDataFile data;
  DcpMetadataSpec spec;
  spec.entries = {
      {.name = "w",
       .path = {"w"},
       .size = {3},
       .chunks = {{{0}, {3}, data.Add(DcpFloatItem({3}, 0))}, {{3}, {0}, std::nullopt}, {{3}, {0}, std::nullopt}}}};
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader,
                             Open({{".metadata", DcpMetadataBytes(spec)}, {"__0_0.distcp", data.bytes()}}));
  EXPECT_EQ(Floats(*reader, "w"), Count(3));
}

TEST(DcpReader, DecompressesItems) {
  DcpDataFile data;
  const std::vector<std::string> zstd = {"stream.zstd/1"};
  DcpMetadataSpec spec{.entries = {Grid(data, zstd)}};
  // Large enough to be read in pieces, from a stream that has no other end than its own.
  const int64_t rows = 300'000;
  spec.entries.push_back({.name = "large",
                          .path = {"large"},
                          .size = {rows},
                          .chunks = {{{0}, {rows}, data.Add(DcpFloatItem({rows}, 0), zstd)}}});
  spec.entries.push_back({.name = "step", .path = {"step"}, .is_value = true, .place = data.Add(DcpIntItem(9), zstd)});
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader,
                             Open({{".metadata", DcpMetadataBytes(spec)}, {"__0_0.distcp", data.bytes()}}));
  EXPECT_EQ(Floats(*reader, "w", 5), Count(12));
  EXPECT_EQ(Floats(*reader, "large", 100'000), Count(300'000));
  EXPECT_TRUE(Find(*reader, "step").value == Value::Int(9));
}

TEST(DcpReader, CountsValuesByWhatTheyDecompressTo) {
  DcpDataFile data;
  const DcpPlace bomb = data.Add(DcpTensorItem("FloatStorage", 4, {8192}, std::string(32768, '\0')), {"stream.zstd/1"});
  const auto open = [&](int values) {
    DcpMetadataSpec spec;
    for (int i = 0; i < values; ++i) {
      const std::string name = absl::StrCat("v", i);
      spec.entries.push_back({.name = name, .path = {name}, .is_value = true, .place = bomb});
    }
    const Files files = {{".metadata", DcpMetadataBytes(spec)}, {"__0_0.distcp", data.bytes()}};
    // 64 times this is the limit for all of them.
    return DcpFormat().Open(std::make_shared<MemoryFolder>(files), {.limits = {.max_value_bytes = 1024}});
  };
  CAIRN_EXPECT_OK(open(1));
  EXPECT_THAT(open(3), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("decompresses to more than")));
}

TEST(DcpReader, ReadsShardsOfSafetensorsAndLeavesOthersToSafetensors) {
  const Files shards = {{"shard-00001-model-00001-of-00001.safetensors",
                         DcpSafetensors({{"a.b", {2, 3}, {0, 0}, 0}, {"c", {2}, {0}, 0}})},
                        {"shard-00002-model-00001-of-00001.safetensors", DcpSafetensors({{"a.b", {1, 3}, {2, 0}, 6}})},
                        {"config.json", "{}"}};
  EXPECT_TRUE(DcpFormat().Detect(MemoryFolder(shards)));
  EXPECT_FALSE(SafetensorsFormat().Detect(MemoryFolder(shards)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, Open(shards));
  EXPECT_EQ(Find(*reader, "a.b").shape, (Shape{3, 3}));
  EXPECT_EQ(Floats(*reader, "a.b"), Count(9));
  EXPECT_EQ(Floats(*reader, "c"), Count(2));
  EXPECT_EQ(Find(*reader, "config.json").kind, EntryKind::kAsset);

  Files whole = {{"model-00001-of-00001.safetensors", DcpSafetensors({{"a", {2}, {0}, 0}})},
                 {"model.safetensors.index.json", R"({"weight_map": {"a": "model-00001-of-00001.safetensors"}})"}};
  EXPECT_FALSE(DcpFormat().Detect(MemoryFolder(whole)));
  EXPECT_TRUE(SafetensorsFormat().Detect(MemoryFolder(whole)));
}

TEST(DcpReader, TakesWhatLiesBesideForAssetsAndReportsWhatItDoesNotTake) {
  DcpDataFile data;
  DcpMetadataSpec spec{.entries = {Grid(data)}};
  const Files files = {{".metadata", DcpMetadataBytes(spec)},
                       {"__0_0.distcp", data.bytes()},
                       {"__7_0.distcp", "stale"},
                       {"config.json", "{}"},
                       {"common.pt", DcpIntItem(1)},
                       {"meta.pt", DcpIntItem(2)}};
  CAIRN_ASSERT_OK_AND_ASSIGN(auto reader, Open(files));
  EXPECT_THAT(Paths(*reader), ElementsAre("w", "config.json"));
  ASSERT_THAT(reader->index().left_out, SizeIs(2));
  EXPECT_EQ(reader->index().left_out[0].path.ToString(), "common.pt");
  CAIRN_ASSERT_OK_AND_ASSIGN(reader, Open(files, {.other_files = {"meta.pt", "common.pt", "config.json"}}));
  EXPECT_THAT(Paths(*reader), ElementsAre("w"));
  EXPECT_THAT(reader->index().left_out, IsEmpty());
  // Lightning's.
  EXPECT_TRUE(HasDcpFiles(MemoryFolder(files)));
  EXPECT_FALSE(DcpFormat().Detect(MemoryFolder(files)));
  Files without = files;
  without.erase("meta.pt");
  EXPECT_TRUE(DcpFormat().Detect(MemoryFolder(without)));
  EXPECT_FALSE(TorchFormat().Detect(MemoryFolder(without)));
}

TEST(DcpReader, LeavesOutByNameWhatNobodyElseKnows) {
  DcpDataFile data;
  DcpMetadataSpec spec{.entries = {Grid(data)}};
  spec.entries.push_back({.name = "q", .path = {"q"}, .dtype = "complex32", .size = {0}});
  spec.entries.push_back({.name = "o", .path = {"o"}, .is_value = true, .metadata_class = "ForeignStorageMetadata"});
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader,
                             Open({{".metadata", DcpMetadataBytes(spec)}, {"__0_0.distcp", data.bytes()}}));
  EXPECT_THAT(Paths(*reader), ElementsAre("w"));
  ASSERT_THAT(reader->index().left_out, SizeIs(2));
  EXPECT_THAT(reader->index().left_out[0].what, HasSubstr("complex32"));
  EXPECT_THAT(reader->index().left_out[1].what, HasSubstr("ForeignStorageMetadata"));
}

TEST(DcpReader, SaysWhatIsMissing) {
  EXPECT_THAT(Open({{"__0_0.distcp", "x"}}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("did not finish")));
  EXPECT_FALSE(DcpFormat().Detect(MemoryFolder(Files{{"__0_0.distcp", "x"}})));
  EXPECT_FALSE(DcpFormat().Detect(MemoryFolder(Files{{".metadata", "not a pickle"}})));
}

}  // namespace
}  // namespace cairn::testing
