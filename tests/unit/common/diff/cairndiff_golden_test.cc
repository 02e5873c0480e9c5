#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include "common/diff/content_digest.h"
#include "common/diff/recover_reader.h"
#include "common/io/memory_io.h"
#include "gtest/gtest.h"
#include "tests/unit/common/diff/memory_checkpoint.h"

namespace cairn {
namespace {

using ::cairn::testing::MemoryCheckpoint;

// As tests/golden/make_cairndiff_golden.py has them.
MemoryCheckpoint Base() {
  MemoryCheckpoint base;
  std::string h(16, '\0');
  for (size_t i = 0; i < h.size(); ++i) h[i] = static_cast<char>(i);
  base.Numbers<float>("layers/[0]/w", Dtype::kFloat32, {1, 2, 3, 4, 5, 6}).Tensor("layers/[0]/h", Dtype::kBfloat16, {8}, h);
  base.mutable_index().entries[0].shape = {2, 3};
  base.Tensor("same", Dtype::kInt8, {4}, "abcd").Tensor("reshaped", Dtype::kInt8, {2, 2}, "efgh").Tensor("gone", Dtype::kInt8, {1}, "g");
  base.OfValue("step", Value::Int(1)).Asset("config.json", "{}");
  return base;
}

MemoryCheckpoint Target() {
  MemoryCheckpoint target;
  std::string h(16, '\0');
  for (size_t i = 0; i < h.size(); ++i) h[i] = static_cast<char>(i);
  h.replace(10, 2, "\xff\x7f");
  target.Numbers<float>("layers/[0]/w", Dtype::kFloat32, {1.5, 2.5, std::numeric_limits<float>::quiet_NaN(), -0.0f, 5.5, 7});
  target.mutable_index().entries[0].shape = {2, 3};
  target.Tensor("layers/[0]/h", Dtype::kBfloat16, {8}, h).Tensor("same", Dtype::kInt8, {4}, "abcd");
  target.Tensor("reshaped", Dtype::kInt8, {4}, "efgx").Tensor("empty", Dtype::kFloat32, {0, 2}, "");
  target.Numbers<float>("new", Dtype::kFloat32, {0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.5});
  target.Add(Entry::Alias(KeyPath::Of({"tied"}), *KeyPath::Parse("layers/[0]/w")));
  target.OfValue("step", Value::Int(2)).Asset("config.json", "{ }");
  return target;
}

TEST(CairnDiffGoldenTest, AFileMadeFromTheDocumentsAloneIsReadAsMeant) {
  std::ifstream file(CAIRN_SOURCE_DIR "/tests/golden/cairndiff/all_modes.cairndiff", std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  MemoryCheckpoint base = Base(), target = Target();
  const auto reader = RecoverReader::Open(base, std::make_unique<MemorySource>(bytes.str()), ReadLimits(), Cancellation());
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->diff().base.label, "team/run@1");
  EXPECT_EQ((*reader)->index().metadata.at("loss"), "1.93");
  ASSERT_EQ((*reader)->diff().removed.size(), 1u);
  EXPECT_EQ((*reader)->diff().removed[0].path.ToString(), "gone");
  EXPECT_EQ(ContentDigest(base, Cancellation(), nullptr)->ToHex(), (*reader)->diff().base.content.ToHex());
  EXPECT_EQ(ContentDigest(target, Cancellation(), nullptr)->ToHex(), (*reader)->diff().target.content.ToHex());
  ASSERT_EQ((*reader)->index().entries.size(), target.index().entries.size());
  for (size_t i = 0; i < target.index().entries.size(); ++i) {
    const Entry& entry = (*reader)->index().entries[i];
    EXPECT_EQ(entry.path, target.index().entries[i].path);
    EXPECT_EQ(entry.shape, target.index().entries[i].shape);
    EXPECT_EQ(entry.value, target.index().entries[i].value);
    std::string got(entry.byte_size, '?');
    ASSERT_TRUE((*reader)->ReadAt(i, 0, absl::MakeSpan(got)).ok());
    EXPECT_EQ(got, target.bytes(i)) << entry.path.ToString();
  }
}

}  // namespace
}  // namespace cairn
