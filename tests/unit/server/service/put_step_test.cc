#include "server/service/put_step.h"

#include <string>

#include "common/base/crc32c.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/wire/frame.h"
#include "proto/wire/proto_convert.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::IsOk;
using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint64_t kMaxChunk = 1000;

absl::StatusOr<PutStep> Parse(const v1::PutTensorRequest& message, const std::string& data) {
  v1::PutTensorRequest scratch;
  const Buffer bytes = Buffer::FromString(data);
  return ParsePutStep(wire::MakeFrame(message, {&bytes, 1}), kMaxChunk, scratch);
}

void AddSmall(v1::PutTensorRequest& message, const std::string& name, const std::string& bytes) {
  v1::PutTensorRequest::Small* small = message.add_small();
  wire::ToProto(Entry::Tensor(KeyPath::Of({name}), Dtype::kUint8, {static_cast<int64_t>(bytes.size())}, bytes.size()),
                small->mutable_entry());
  small->set_bytes(bytes.size());
  small->set_crc32c(Crc32c(bytes));
}

std::string Joined(const std::vector<Buffer>& pieces) {
  std::string joined;
  for (const Buffer& piece : pieces) joined.append(piece.data(), piece.size());
  return joined;
}

TEST(PutStepTest, SmallEntriesGetTheirOwnBytes) {
  v1::PutTensorRequest message;
  AddSmall(message, "a", "0123");
  AddSmall(message, "empty", "");
  AddSmall(message, "b", "45");
  message.set_flush(true);
  const absl::StatusOr<PutStep> step = Parse(message, "012345");
  ASSERT_THAT(step, IsOk());
  ASSERT_THAT(step->small, SizeIs(3));
  EXPECT_EQ(Joined(step->small[0].pieces), "0123");
  EXPECT_THAT(step->small[1].pieces, IsEmpty());
  EXPECT_EQ(Joined(step->small[2].pieces), "45");
  EXPECT_EQ(step->small[2].entry.path, KeyPath::Of({"b"}));
  EXPECT_EQ(step->bytes, 6u);
  EXPECT_TRUE(step->flush);
  EXPECT_FALSE(step->finish);
}

TEST(PutStepTest, SmallEntriesWhoseBytesAreNotThoseOfTheMessageAreRefused) {
  v1::PutTensorRequest message;
  AddSmall(message, "a", "0123");
  EXPECT_THAT(Parse(message, "012"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("only 3 are left")));
  EXPECT_THAT(Parse(message, "01234"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("belong to no small entry")));
  message.mutable_small(0)->set_bytes(UINT32_MAX);
  EXPECT_THAT(Parse(message, "0123"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("only 4 are left")));
}

TEST(PutStepTest, ADamagedSmallEntryIsNamed) {
  v1::PutTensorRequest message;
  AddSmall(message, "a", "0123");
  AddSmall(message, "b", "45");
  EXPECT_THAT(Parse(message, "0123x5"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("small entry b: crc32c")));
}

TEST(PutStepTest, SmallEntriesDoNotGoWithADeclaredOne) {
  v1::PutTensorRequest message;
  AddSmall(message, "a", "0123");
  message.set_finish(true);
  EXPECT_THAT(Parse(message, "0123"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("finishes no other")));
}

TEST(PutStepTest, MoreSmallEntriesThanAgreedAreRefused) {
  v1::PutTensorRequest message;
  for (uint32_t i = 0; i <= kMaxSmallEntries; ++i) AddSmall(message, "a", "");
  EXPECT_THAT(Parse(message, ""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4097 small entries")));
}

TEST(PutStepTest, MoreBytesThanAChunkAreRefused) {
  v1::PutTensorRequest message;
  AddSmall(message, "a", std::string(kMaxChunk + 1, 'x'));
  EXPECT_THAT(Parse(message, std::string(kMaxChunk + 1, 'x')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("chunk of 1001 bytes")));
}

v1::PutTensorRequest DeltaMessage(uint32_t raw_bytes, size_t digest_bytes = 16) {
  v1::PutTensorRequest message;
  message.mutable_chunk()->set_offset(512);
  message.mutable_chunk()->set_crc32c(7);
  message.mutable_chunk()->set_raw_bytes(raw_bytes);
  message.mutable_chunk()->set_base_digest(std::string(digest_bytes, 'd'));
  return message;
}

TEST(PutStepTest, ADeltaCountsAsWhatItMakes) {
  v1::PutTensorRequest message = DeltaMessage(900);
  message.set_finish(true);
  const absl::StatusOr<PutStep> step = Parse(message, "delta");
  ASSERT_THAT(step, IsOk());
  ASSERT_TRUE(step->delta.has_value());
  EXPECT_EQ(step->delta->raw_bytes, 900u);
  EXPECT_EQ(step->delta->crc32c, 7u);
  EXPECT_EQ(step->bytes, 5u);
  EXPECT_EQ(step->raw_bytes, 900u);
  EXPECT_GE(step->memory, 905u) << "a small message must not be a way to have much memory";
  EXPECT_TRUE(step->finish);
}

TEST(PutStepTest, ADeltaOfAnImpossibleSizeIsRefusedBeforeThereIsMemoryForIt) {
  EXPECT_THAT(Parse(DeltaMessage(kMaxChunk + 1), "delta"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("makes 1001 bytes, expected at most 1000")));
  EXPECT_THAT(Parse(DeltaMessage(UINT32_MAX), "delta"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 1000")));
  EXPECT_THAT(Parse(DeltaMessage(3), "delta"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected 1 to 4")));
  EXPECT_THAT(Parse(DeltaMessage(100), ""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a delta of 0 bytes")));
}

TEST(PutStepTest, ADigestIsSixteenBytesAndOfADelta) {
  EXPECT_THAT(Parse(DeltaMessage(100, 0), "delta"), IsOk());
  EXPECT_THAT(Parse(DeltaMessage(100, 15), "delta"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("15 bytes")));
  EXPECT_THAT(Parse(DeltaMessage(0), "delta"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("without raw_bytes")));
}

}  // namespace
}  // namespace cairn
