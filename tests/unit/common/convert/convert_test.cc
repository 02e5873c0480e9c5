#include "common/convert/convert.h"

#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/common/convert/fakes.h"

namespace cairn {
namespace {

using ::cairn::testing::FakeReader;
using ::cairn::testing::FakeWriter;
using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Floats(size_t count) {
  std::string bytes(count * sizeof(float), '\0');
  for (size_t i = 0; i < count; ++i) {
    const float value = static_cast<float>(i);
    std::memcpy(bytes.data() + i * sizeof(float), &value, sizeof(value));
  }
  return bytes;
}

// The same numbers as bfloat16; exact below 257.
std::string Bfloats(size_t count) {
  const std::string floats = Floats(count);
  std::string bytes;
  for (size_t i = 0; i < count; ++i) bytes.append(floats, i * 4 + 2, 2);
  return bytes;
}

void AddFloats(FakeReader& reader, const std::string& name, int64_t count) {
  reader.Add(Entry::Tensor(KeyPath::Of({name}), Dtype::kFloat32, {count}, static_cast<uint64_t>(count) * 4),
             Floats(static_cast<size_t>(count)));
}

absl::Status Convert(FakeReader& reader, FakeWriter& writer, PlanOptions plan_options = {},
                     ConvertOptions options = {}) {
  auto plan = MakeConvertPlan(reader.index(), plan_options);
  if (!plan.ok()) return plan.status();
  return RunConvert(reader, *plan, writer, options);
}

TEST(RunConvert, CopiesBytesInTheWritersOrderAndFinishes) {
  FakeReader reader;
  FakeWriter writer;
  AddFloats(reader, "a", 3);
  reader.Add(Entry::OfValue(KeyPath::Of({"step"}), Value::Int(1)));
  AddFloats(reader, "b", 2);
  CAIRN_ASSERT_OK(Convert(reader, writer));
  EXPECT_TRUE(writer.finished);
  EXPECT_EQ(writer.written["a"], Floats(3));
  EXPECT_EQ(writer.written["b"], Floats(2));
  ASSERT_EQ(reader.announced.size(), 2u);
  EXPECT_EQ(reader.announced[0].entry, 2u);
  EXPECT_EQ(reader.announced[0].length, 8u);
  EXPECT_EQ(reader.announced[1].entry, 0u);
}

TEST(RunConvert, NeverAsksForMoreThanTheWindow) {
  for (const auto& dtype : {std::optional<Dtype>(), std::optional<Dtype>(Dtype::kBfloat16),
                            std::optional<Dtype>(Dtype::kFloat64)}) {
    FakeReader reader;
    FakeWriter writer;
    AddFloats(reader, "embedding", 1000);
    CAIRN_ASSERT_OK(Convert(reader, writer, {.float_dtype = dtype}, {.window_bytes = 100}));
    EXPECT_LE(reader.largest_read, 100u);
    EXPECT_LE(writer.largest_append, 100u);
    EXPECT_GE(reader.reads, 40);
  }
}

TEST(RunConvert, MovesAtLeastOneElementWhateverTheWindow) {
  FakeReader reader;
  FakeWriter writer;
  AddFloats(reader, "a", 3);
  CAIRN_ASSERT_OK(Convert(reader, writer, {.float_dtype = Dtype::kBfloat16}, {.window_bytes = 1}));
  EXPECT_EQ(writer.written["a"], Bfloats(3));
}

TEST(RunConvert, CastsAcrossWindowsAsInOnePiece) {
  FakeReader reader;
  FakeWriter writer;
  AddFloats(reader, "a", 250);
  CAIRN_ASSERT_OK(Convert(reader, writer, {.float_dtype = Dtype::kBfloat16}, {.window_bytes = 28}));
  EXPECT_EQ(writer.written["a"], Bfloats(250));
}

TEST(RunConvert, ResumesACopyWhereTheTargetStopped) {
  FakeReader reader;
  FakeWriter writer;
  AddFloats(reader, "a", 10);
  writer.durable["a"] = Floats(10).substr(0, 17);
  ConvertProgress last;
  CAIRN_ASSERT_OK(Convert(reader, writer, {}, {.progress = [&](const ConvertProgress& p) { last = p; }}));
  EXPECT_EQ(writer.written["a"], Floats(10));
  EXPECT_EQ(writer.appended, 23u);
  EXPECT_EQ(reader.first_offset[0], 17u);
  EXPECT_EQ(last.bytes_done, 40u);
  EXPECT_EQ(last.bytes_skipped, 17u);
}

TEST(RunConvert, ResumesACastEvenWithinAnElement) {
  for (size_t durable = 0; durable <= 20; ++durable) {
    FakeReader reader;
    FakeWriter writer;
    AddFloats(reader, "a", 10);
    writer.durable["a"] = Bfloats(10).substr(0, durable);
    CAIRN_ASSERT_OK(Convert(reader, writer, {.float_dtype = Dtype::kBfloat16}, {.window_bytes = 8}));
    EXPECT_EQ(writer.written["a"], Bfloats(10)) << durable;
    EXPECT_EQ(writer.appended, 20u - durable);
    if (durable < 20) {
      EXPECT_EQ(reader.first_offset[0], durable / 2 * 4);
    }
  }
}

TEST(RunConvert, ReadsNothingOfAnEntryThatTheTargetHasWhole) {
  FakeReader reader;
  FakeWriter writer;
  AddFloats(reader, "a", 10);
  AddFloats(reader, "b", 1);
  writer.durable["a"] = Floats(10);
  CAIRN_ASSERT_OK(Convert(reader, writer));
  EXPECT_EQ(reader.first_offset.count(0), 0u);
}

TEST(RunConvert, WritesTensorsWithoutElements) {
  FakeReader reader;
  FakeWriter writer;
  reader.Add(Entry::Tensor(KeyPath::Of({"empty"}), Dtype::kFloat32, {0, 7}, 0));
  CAIRN_ASSERT_OK(Convert(reader, writer, {.float_dtype = Dtype::kFloat16}));
  EXPECT_EQ(writer.written.count("empty"), 1u);
  EXPECT_EQ(reader.reads, 0);
  EXPECT_TRUE(reader.announced.empty());
}

TEST(RunConvert, CopiesAssetsUnchangedThroughACast) {
  FakeReader reader;
  FakeWriter writer;
  const std::string json = "{\"vocab\": 32000}";
  reader.Add(Entry::Asset(KeyPath::Of({"config.json"}), json.size()), json);
  AddFloats(reader, "a", 1);
  CAIRN_ASSERT_OK(Convert(reader, writer, {.float_dtype = Dtype::kBfloat16}, {.window_bytes = 5}));
  EXPECT_EQ(writer.written["config.json"], json);
}

TEST(RunConvert, GivesAliasesToTheIndexOnly) {
  FakeReader reader;
  FakeWriter writer;
  AddFloats(reader, "wte", 1);
  reader.Add(Entry::Alias(KeyPath::Of({"head"}), KeyPath::Of({"wte"})));
  CAIRN_ASSERT_OK(Convert(reader, writer));
  EXPECT_EQ(writer.written.size(), 1u);
}

TEST(RunConvert, NamesTheEntryWhenTheReaderFails) {
  FakeReader reader;
  FakeWriter writer;
  AddFloats(reader, "a", 1);
  AddFloats(reader, "w", 1);
  reader.fail_entry = 1;
  reader.fail_at = absl::DataLossError("window of bytes is damaged");
  EXPECT_THAT(Convert(reader, writer),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("entry \"w\": window")));
  EXPECT_FALSE(writer.finished);
}

TEST(RunConvert, NamesTheEntryOnceIfTheWriterHasNamedIt) {
  FakeReader reader;
  FakeWriter writer;
  AddFloats(reader, "a", 1);
  writer.fail_append = absl::ResourceExhaustedError("tensor \"a\": disk full");
  EXPECT_THAT(Convert(reader, writer), StatusIs(absl::StatusCode::kResourceExhausted,
                                                AllOf(HasSubstr("tensor"), Not(HasSubstr("entry")))));
}

TEST(RunConvert, StopsBetweenWindowsWhenCancelled) {
  FakeReader reader;
  FakeWriter writer;
  AddFloats(reader, "a", 1000);
  ConvertOptions options{.window_bytes = 16};
  options.progress = [&](const ConvertProgress& progress) {
    if (progress.bytes_done >= 160) options.cancellation.Cancel();
  };
  EXPECT_THAT(Convert(reader, writer, {}, options), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(writer.appended, 160u);
  EXPECT_FALSE(writer.finished);
}

TEST(RunConvert, DoesNotFinishWhenCancelledAfterTheLastWindow) {
  FakeReader reader;
  FakeWriter writer;
  AddFloats(reader, "a", 1);
  ConvertOptions options;
  options.progress = [&](const ConvertProgress& progress) {
    if (progress.entries_done == 1) options.cancellation.Cancel();
  };
  EXPECT_THAT(Convert(reader, writer, {}, options), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_FALSE(writer.finished);
}

TEST(RunConvert, ReportsProgressUpToTheEnd) {
  FakeReader reader;
  FakeWriter writer;
  AddFloats(reader, "a", 10);
  reader.Add(Entry::OfValue(KeyPath::Of({"step"}), Value::Int(1)));
  std::vector<uint64_t> bytes;
  ConvertProgress last;
  CAIRN_ASSERT_OK(Convert(reader, writer, {}, {.window_bytes = 16, .progress = [&](const ConvertProgress& p) {
                                                 bytes.push_back(p.bytes_done);
                                                 last = p;
                                               }}));
  EXPECT_THAT(bytes, ElementsAre(0, 16, 32, 40, 40));
  EXPECT_EQ(last.bytes_total, 40u);
  EXPECT_EQ(last.entries_done, 2u);
  EXPECT_EQ(last.entries_total, 2u);
}

TEST(RunConvert, RefusesAWriterThatForgetsAnEntry) {
  FakeReader reader;
  FakeWriter writer;
  AddFloats(reader, "a", 1);
  AddFloats(reader, "b", 1);
  writer.forget_last = true;
  EXPECT_THAT(Convert(reader, writer), StatusIs(absl::StatusCode::kInternal, HasSubstr("\"a\"")));
  ConvertOptions options;
  options.may_drop = true;
  FakeWriter dropping;
  dropping.forget_last = true;
  CAIRN_EXPECT_OK(Convert(reader, dropping, {}, options));
}

}  // namespace
}  // namespace cairn
