// Files of the real package (tests/golden/make_safetensors_golden.py): read, and written again byte by byte.

#include <filesystem>

#include "common/format/safetensors/safetensors_index.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/common/format/safetensors_files.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

std::string Golden(const std::string& name) {
  return std::string(CAIRN_SOURCE_DIR "/tests/golden/safetensors/") + name;
}

// The bytes of the generator's tensor number `number`.
std::string Pattern(size_t number, size_t size, bool boolean) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>((i * 37 + number) & (boolean ? 1 : 255));
  return bytes;
}

TEST(SafetensorsGolden, ReadsEveryDtypeThatTheReferenceWrites) {
  // In the order of the generator's table, which numbers the patterns.
  const std::pair<std::string, Dtype> dtypes[] = {
      {"bool", Dtype::kBool},
      {"uint8", Dtype::kUint8},
      {"int8", Dtype::kInt8},
      {"int16", Dtype::kInt16},
      {"uint16", Dtype::kUint16},
      {"float16", Dtype::kFloat16},
      {"bfloat16", Dtype::kBfloat16},
      {"int32", Dtype::kInt32},
      {"uint32", Dtype::kUint32},
      {"float32", Dtype::kFloat32},
      {"float64", Dtype::kFloat64},
      {"int64", Dtype::kInt64},
      {"uint64", Dtype::kUint64},
      {"complex64", Dtype::kComplex64},
      {"float8_e4m3fn", Dtype::kFloat8E4M3Fn},
      {"float8_e5m2", Dtype::kFloat8E5M2},
      {"float8_e4m3fnuz", Dtype::kFloat8E4M3Fnuz},
      {"float8_e5m2fnuz", Dtype::kFloat8E5M2Fnuz},
      {"float8_e8m0fnu", Dtype::kFloat8E8M0Fnu},
      {"float4_e2m1fn_x2", Dtype::kF4Packed},
  };
  CAIRN_ASSERT_OK_AND_ASSIGN(const Checkpoint read, ReadSafetensors(Golden("dtypes.safetensors")));
  ASSERT_EQ(read.index.entries.size(), std::size(dtypes));
  for (size_t i = 0; i < read.index.entries.size(); ++i) {
    const Entry& entry = read.index.entries[i];
    const auto* expected = std::find_if(std::begin(dtypes), std::end(dtypes), [&](const auto& named) {
      return KeyPath::Of({named.first}) == entry.path;
    });
    ASSERT_NE(expected, std::end(dtypes)) << entry.path.ToString();
    EXPECT_EQ(entry.dtype, expected->second) << expected->first;
    EXPECT_EQ(entry.shape, Shape({2, 4})) << expected->first;
    const size_t number = static_cast<size_t>(expected - std::begin(dtypes));
    EXPECT_EQ(read.bytes[i], Pattern(number, entry.byte_size, entry.dtype == Dtype::kBool))
        << expected->first;
  }
}

TEST(SafetensorsGolden, ReadsShapesAndNames) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const Checkpoint read, ReadSafetensors(Golden("shapes.safetensors")));
  EXPECT_THAT(Describe(read),
              ElementsAre("empty float32 [0]", "scalar float32 []", "model.layers.0.weight bfloat16 [3, 5]",
                          "ones float16 [1, 1, 1, 1, 1, 1]", "empty rows int8 [3, 0]", "\\e uint8 [1]",
                          KeyPath::Of({"é中🙂/\"\\\n"}).ToString() + " uint8 [3]"));
  EXPECT_THAT(read.index.metadata, ElementsAre(Pair("format", "pt")));
}

TEST(SafetensorsGolden, ReadsAShardedFolder) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const Checkpoint read, ReadSafetensors(Golden("sharded")));
  EXPECT_THAT(Describe(read), ElementsAre("lm_head.weight bfloat16 [4, 2]", "model.norm.weight float32 [2]",
                                          "model.embed.weight bfloat16 [4, 2]", "config.json"));
  EXPECT_EQ(read.bytes[2], Pattern(0, 16, false));
}

TEST(SafetensorsGolden, WritesTheSameBytesAsTheReference) {
  TempDir dir;
  for (const std::string& name : {std::string("dtypes"), std::string("shapes"), std::string("empty")}) {
    const std::string golden = Golden(name + ".safetensors");
    CAIRN_ASSERT_OK_AND_ASSIGN(const Checkpoint read, ReadSafetensors(golden));
    CAIRN_ASSERT_OK(WriteSafetensors(read, dir / name));
    EXPECT_TRUE(ReadFile(dir / name) == ReadFile(golden)) << name;
  }
}

TEST(SafetensorsGolden, WritesTheSameFolderAsTheReference) {
  TempDir dir;
  CAIRN_ASSERT_OK_AND_ASSIGN(Checkpoint read, ReadSafetensors(Golden("sharded")));
  // The order in which the generator saw them.
  std::swap(read.index.entries[0], read.index.entries[2]);
  std::swap(read.bytes[0], read.bytes[2]);
  CAIRN_ASSERT_OK(WriteSafetensors(read, dir / "out", {.max_shard_bytes = 24}));
  EXPECT_EQ(Walk(dir / "out"), Walk(Golden("sharded")));
  for (const std::string& name : Walk(dir / "out")) {
    EXPECT_TRUE(ReadFile(dir / ("out/" + name)) == ReadFile(Golden("sharded/" + name))) << name;
  }
}

}  // namespace
}  // namespace cairn::testing
