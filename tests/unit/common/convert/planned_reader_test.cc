#include "common/convert/planned_reader.h"

#include <cstring>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/common/convert/fakes.h"

namespace cairn {
namespace {

using ::cairn::testing::FakeReader;
using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

std::string Floats(size_t count) {
  std::string bytes;
  for (size_t i = 0; i < count; ++i) {
    const float value = static_cast<float>(i % 256);
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return bytes;
}

std::string Bfloats(size_t count) {
  const std::string floats = Floats(count);
  std::string bytes;
  for (size_t i = 0; i < count; ++i) bytes.append(floats, i * 4 + 2, 2);
  return bytes;
}

struct Planned {
  explicit Planned(size_t count, std::optional<Dtype> dtype) {
    source.Add(Entry::OfValue(KeyPath::Of({"step"}), Value::Int(1)));
    source.Add(Entry::Tensor(KeyPath::Of({"a"}), Dtype::kFloat32, {static_cast<int64_t>(count)}, count * 4),
               Floats(count));
    plan = MakeConvertPlan(source.index(), {.float_dtype = dtype}).value();
  }
  FakeReader source;
  ConvertPlan plan;
};

TEST(PlannedReader, CastsAnyRangeAsIfItWereCutFromTheWhole) {
  Planned planned(11, Dtype::kBfloat16);
  PlannedReader reader(planned.source, planned.plan);
  const std::string whole = Bfloats(11);
  EXPECT_EQ(reader.index().entries[1].dtype, Dtype::kBfloat16);
  for (size_t begin = 0; begin <= whole.size(); ++begin) {
    for (size_t end = begin; end <= whole.size(); ++end) {
      std::string bytes(end - begin, '\0');
      CAIRN_ASSERT_OK(reader.ReadAt(1, begin, absl::MakeSpan(bytes)));
      ASSERT_EQ(bytes, whole.substr(begin, end - begin)) << begin << ".." << end;
    }
  }
}

TEST(PlannedReader, ReadsTheSourceInWindows) {
  Planned planned(1 << 20, Dtype::kBfloat16);
  PlannedReader reader(planned.source, planned.plan);
  std::string bytes(planned.plan.target.entries[1].byte_size, '\0');
  CAIRN_ASSERT_OK(reader.ReadAt(1, 0, absl::MakeSpan(bytes)));
  EXPECT_EQ(bytes, Bfloats(1 << 20));
  EXPECT_LE(planned.source.largest_read, 1u << 20);
}

TEST(PlannedReader, CopiesWhatIsNotCast) {
  Planned planned(3, std::nullopt);
  PlannedReader reader(planned.source, planned.plan);
  std::string bytes(5, '\0');
  CAIRN_ASSERT_OK(reader.ReadAt(1, 2, absl::MakeSpan(bytes)));
  EXPECT_EQ(bytes, Floats(3).substr(2, 5));
}

TEST(PlannedReader, RefusesBytesBeyondTheTargetsEntry) {
  Planned planned(3, Dtype::kBfloat16);
  PlannedReader reader(planned.source, planned.plan);
  std::string bytes(3, '\0');
  EXPECT_THAT(reader.ReadAt(1, 4, absl::MakeSpan(bytes)),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("\"a\"")));
}

TEST(PlannedReader, AnnouncesWholeSourceElements) {
  Planned planned(10, Dtype::kBfloat16);
  PlannedReader reader(planned.source, planned.plan);
  CAIRN_ASSERT_OK(reader.WillRead({{.entry = 1, .offset = 3, .length = 4}}));
  ASSERT_EQ(planned.source.announced.size(), 1u);
  EXPECT_EQ(planned.source.announced[0].offset, 4u);
  EXPECT_EQ(planned.source.announced[0].length, 12u);
}

}  // namespace
}  // namespace cairn
