#include "common/diff/arithmetic.h"

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/diff/memory_checkpoint.h"

namespace cairn {
namespace {

using ::cairn::testing::MemoryCheckpoint;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class T>
std::vector<T> ReadAs(CheckpointReader& reader, size_t entry) {
  std::vector<T> numbers(reader.index().entries[entry].byte_size / sizeof(T));
  EXPECT_TRUE(
      reader.ReadAt(entry, 0, absl::MakeSpan(reinterpret_cast<char*>(numbers.data()), numbers.size() * sizeof(T))).ok());
  return numbers;
}

TEST(ArithmeticTest, DifferencesAreRoundedInTheDtypeOfTheOperands) {
  MemoryCheckpoint base, target;
  base.Numbers<float>("f", Dtype::kFloat32, {1, 2}).Numbers<uint16_t>("h", Dtype::kBfloat16, {0x3f80, 0x7f80});
  target.Numbers<float>("f", Dtype::kFloat32, {1.5, -2}).Numbers<uint16_t>("h", Dtype::kBfloat16, {0x3f81, 0x7f80});
  base.Numbers<uint8_t>("u", Dtype::kUint8, {5}).OfValue("step", Value::Int(3)).OfValue("none", Value::None());
  target.Numbers<uint8_t>("u", Dtype::kUint8, {3}).OfValue("step", Value::Int(5)).OfValue("none", Value::None());
  const auto diff = ArithmeticReader::Open(base, target, {});
  ASSERT_TRUE(diff.ok()) << diff.status();
  EXPECT_THAT(ReadAs<float>(**diff, 0), ElementsAre(0.5f, -4.0f));
  EXPECT_THAT(ReadAs<uint16_t>(**diff, 1), ElementsAre(0x3c00, 0xffc0));  // Infinity - infinity: the one NaN, negative.
  EXPECT_THAT(ReadAs<uint8_t>(**diff, 2), ElementsAre(254));
  EXPECT_EQ((*diff)->index().entries[3].value, Value::Int(2));
  EXPECT_EQ((*diff)->elements(), 5u);
  EXPECT_EQ((*diff)->inexact(), 1u);  // The infinity.
}

TEST(ArithmeticTest, SumsAndDifferencesAreCastAndCountedAtAnyOffset) {
  MemoryCheckpoint base, target;
  std::vector<float> from, to;
  for (int i = 0; i < 5000; ++i) {
    from.push_back(static_cast<float>(i) * 0.37f);
    to.push_back(static_cast<float>(i) * 0.91f - 3);
  }
  base.Numbers<float>("w", Dtype::kFloat32, from);
  target.Numbers<float>("w", Dtype::kFloat32, to);
  const auto whole = ArithmeticReader::Open(base, target, {ArithmeticOperation::kDifference, Dtype::kBfloat16});
  ASSERT_TRUE(whole.ok());
  const std::vector<uint16_t> expected = ReadAs<uint16_t>(**whole, 0);
  const auto pieces = ArithmeticReader::Open(base, target, {ArithmeticOperation::kDifference, Dtype::kBfloat16});
  std::string bytes(10000, '\0');
  for (size_t at = 0; at < bytes.size(); at += 777) {
    ASSERT_TRUE((*pieces)->ReadAt(0, at, absl::MakeSpan(bytes).subspan(at, 777)).ok());
  }
  EXPECT_EQ(bytes, std::string(reinterpret_cast<const char*>(expected.data()), 10000));
  EXPECT_EQ((*pieces)->elements(), 5000u);
  EXPECT_EQ((*pieces)->inexact(), (*whole)->inexact());
  EXPECT_GT((*whole)->inexact(), 1000u);
}

TEST(ArithmeticTest, TreesThatDoNotMatchAreRefusedByName) {
  MemoryCheckpoint base, target;
  base.Numbers<float>("a", Dtype::kFloat32, {1}).Numbers<float>("b", Dtype::kFloat32, {1});
  target.Numbers<float>("a", Dtype::kFloat32, {1, 2}).Numbers<float>("c", Dtype::kFloat32, {1});
  const absl::Status status = ArithmeticReader::Open(base, target, {}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("\"a\" has shape [1] and [2]"), HasSubstr("\"c\" is in the second alone"),
                                                   HasSubstr("\"b\" is in the first alone")));
  MemoryCheckpoint flags;
  flags.Tensor("a", Dtype::kBool, {1}, "\x01");
  const absl::Status refused = ArithmeticReader::Open(flags, flags, {}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("no arithmetic between bool and bool"));
}

}  // namespace
}  // namespace cairn
