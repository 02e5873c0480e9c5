#include "client/cpp/src/get_answer.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/error_info.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/wire/proto_convert.h"
#include "tests/testing/status_matchers.h"

namespace cairn::client {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Messages of an answer, built as a daemon would.
class Message {
 public:
  Message& Header(uint64_t entries, const std::string& uid = "u1") {
    proto_.mutable_header()->mutable_checkpoint()->set_uid(uid);
    proto_.mutable_header()->set_entries(entries);
    proto_.mutable_header()->set_total_bytes(10 * entries);
    return *this;
  }
  Message& Start(const std::string& name, uint64_t bytes, uint64_t start_offset = 0) {
    wire::ToProto(Entry::Asset(KeyPath::Of({name}), bytes), proto_.mutable_start()->mutable_entry());
    proto_.mutable_start()->set_bytes(bytes);
    proto_.mutable_start()->set_start_offset(start_offset);
    return *this;
  }
  Message& Chunk(uint64_t offset, const std::string& bytes) {
    proto_.mutable_chunk()->set_offset(offset);
    proto_.mutable_chunk()->set_crc32c(Crc32c(bytes));
    return Data(bytes);
  }
  Message& Data(const std::string& bytes) {
    pieces_ = bytes.empty() ? std::vector<Buffer>() : std::vector<Buffer>{Buffer::FromString(bytes)};
    return *this;
  }
  Message& Finish() {
    proto_.set_finish(true);
    return *this;
  }
  v1::GetTensorResponse& proto() { return proto_; }
  absl::Status To(GetAnswer& answer) const { return answer.Take(proto_, pieces_); }

 private:
  v1::GetTensorResponse proto_;
  std::vector<Buffer> pieces_;
};

absl::Status Feed(GetAnswer& answer, const std::vector<Message>& messages) {
  for (const Message& message : messages) {
    if (absl::Status status = message.To(answer); !status.ok()) return status;
    answer.TakeStarted();
    answer.TakeChunk();
  }
  return absl::OkStatus();
}

TEST(GetAnswerTest, OneMessageMayStartCarryAndFinishAnEntry) {
  GetAnswer answer;
  CAIRN_ASSERT_OK(Message().Header(2).Start("a", 3).Chunk(0, "abc").Finish().To(answer));
  EXPECT_TRUE(answer.has_header());
  EXPECT_EQ(answer.entries(), 2u);
  EXPECT_EQ(answer.total_bytes(), 20u);
  const std::optional<GetEntry> entry = answer.TakeStarted();
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->entry.path, KeyPath::Of({"a"}));
  EXPECT_EQ(entry->bytes, 3u);
  ASSERT_TRUE(answer.has_chunk());
  const GetAnswer::Chunk chunk = answer.TakeChunk();
  EXPECT_EQ(TotalSize(chunk.pieces), 3u);
  EXPECT_EQ(chunk.crc32c, Crc32c("abc"));
  EXPECT_FALSE(answer.has_started() || answer.has_chunk() || answer.in_entry() || answer.complete());
  CAIRN_ASSERT_OK(Feed(answer, {Message().Start("b", 0), Message().Finish()}));
  EXPECT_TRUE(answer.complete());
}

TEST(GetAnswerTest, RefusesMessagesThatMakeNoSense) {
  Message box_outside = Message().Start("a", 4);
  wire::ToProto(Entry::Tensor(KeyPath::Of({"a"}), Dtype::kInt8, {4}, 4),
                box_outside.proto().mutable_start()->mutable_entry());
  wire::ToProto(Box{{2}, {4}}, box_outside.proto().mutable_start()->mutable_box());
  Message wrong_size = Message().Start("a", 5);
  wire::ToProto(Entry::Tensor(KeyPath::Of({"a"}), Dtype::kInt8, {4}, 4),
                wrong_size.proto().mutable_start()->mutable_entry());
  Message wrong_asset = Message().Start("a", 5);
  wrong_asset.proto().mutable_start()->set_bytes(4);
  const Message start = Message().Header(2).Start("a", 4);
  const std::vector<std::pair<std::vector<Message>, std::string>> cases = {
      {{Message().Start("a", 4)}, "without a header"},
      {{Message().Header(1).Start("a", 4, 1)}, "in the middle"},
      {{Message().Header(0).Start("a", 4)}, "more entries than"},
      {{Message().Header(1), Message().Chunk(0, "x")}, "a chunk of no entry"},
      {{start, Message().Chunk(1, "bcd")}, "\"a\" has a chunk at offset 1"},
      {{start, Message().Chunk(0, "abcde")}, "of 5 bytes, expected 0 of 4"},
      {{start, Message().Data("x")}, "bytes without a chunk"},
      {{start, Message().Chunk(0, "abc").Finish()}, "finished after 3 of 4"},
      {{start, Message().Start("b", 4)}, "another entry before"},
      {{Message().Header(1), Message().Header(2)}, "another one after"},
      {{Message().Header(1), Message().Header(1, "u2")}, "another one after"},
      {{Message().Header(1), box_outside}, "makes no sense"},
      {{Message().Header(1), wrong_size}, "do not fit its dtype"},
      {{Message().Header(1), wrong_asset}, "do not fit its size"},
  };
  for (const auto& [messages, part] : cases) {
    GetAnswer answer;
    EXPECT_THAT(Feed(answer, messages), StatusIs(absl::StatusCode::kInternal, HasSubstr(part)));
  }
}

TEST(GetAnswerTest, ChecksumErrorsNameEntryAndOffset) {
  GetAnswer answer;
  CAIRN_ASSERT_OK(Message().Header(1).Start("a", 4).To(answer));
  CAIRN_EXPECT_OK(answer.CheckChunk(2, 7, 7));
  const absl::Status status = answer.CheckChunk(2, 0xab, 7);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("\"a\""), HasSubstr("offset 2"),
                                                                  HasSubstr("00000007, expected 000000ab"))));
  EXPECT_EQ(GetErrorInfo(status).reason, "CHUNK_CHECKSUM");
  Message empty = Message().Chunk(0, "");
  empty.proto().mutable_chunk()->set_crc32c(1);
  EXPECT_THAT(empty.To(answer), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("expected 00000001")));
}

TEST(GetAnswerTest, GoesOnWhereItStoodOnAnotherCall) {
  GetAnswer answer;
  v1::GetTensorRequest request;
  request.set_ref("team/run");
  EXPECT_FALSE(answer.Resume(&request));
  EXPECT_EQ(request.ref(), "team/run") << "nothing has come: the same question again";

  CAIRN_ASSERT_OK(Feed(answer, {Message().Header(3).Start("a", 2).Chunk(0, "ab").Finish(),
                                Message().Start("b", 4).Chunk(0, "abc")}));
  EXPECT_FALSE(answer.Resume(&request));
  EXPECT_EQ(request.ref(), "uid:u1");
  EXPECT_EQ(request.start_entry(), 1u);
  EXPECT_EQ(request.start_offset(), 3u);
  CAIRN_ASSERT_OK(Message().Header(3).Start("b", 4, 3).Chunk(3, "d").To(answer));
  EXPECT_FALSE(answer.has_started()) << "the entry was given out before";
  EXPECT_TRUE(answer.has_chunk());
  answer.TakeChunk();

  // All bytes of `b` are here.
  EXPECT_FALSE(answer.Resume(&request));
  EXPECT_EQ(request.start_entry(), 2u);
  EXPECT_EQ(request.start_offset(), 0u);
  CAIRN_ASSERT_OK(Feed(answer, {Message().Header(3).Start("c", 1).Chunk(0, "x")}));
  EXPECT_TRUE(answer.Resume(&request)) << "only the last word was lost";
  EXPECT_TRUE(answer.complete());
}

TEST(GetAnswerTest, RefusesToGoOnElsewhere) {
  for (const Message& message : {Message().Header(2).Start("a", 4, 1), Message().Header(2).Start("b", 4, 2),
                                 Message().Header(2).Start("a", 5, 2)}) {
    GetAnswer answer;
    CAIRN_ASSERT_OK(Feed(answer, {Message().Header(2).Start("a", 4).Chunk(0, "ab")}));
    v1::GetTensorRequest request;
    EXPECT_FALSE(answer.Resume(&request));
    EXPECT_THAT(message.To(answer), StatusIs(absl::StatusCode::kInternal, HasSubstr("another entry before")));
  }
}

TEST(GetAnswerTest, AnEndThatComesTooSoonIsDataLoss) {
  GetAnswer answer;
  CAIRN_ASSERT_OK(Feed(answer, {Message().Header(2).Start("a", 4)}));
  EXPECT_THAT(answer.Truncated(),
              StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("after 0 of 2"), HasSubstr("within entry \"a\""))));
}

Message WithHave(uint64_t entries) {
  Message message = Message().Header(entries);
  message.proto().mutable_header()->set_have_uid("h1");
  return message;
}

Message Delta(uint64_t offset, const std::string& delta, uint32_t raw_bytes) {
  Message message = Message().Chunk(offset, delta);
  message.proto().mutable_chunk()->set_raw_bytes(raw_bytes);
  message.proto().mutable_chunk()->set_base_digest("sixteen bytes...");
  return message;
}

TEST(GetAnswerTest, ADeltaCountsAsWhatItMakesAndCanBeAskedForAgainAsBytes) {
  GetAnswer answer;
  CAIRN_ASSERT_OK(Feed(answer, {WithHave(2).Start("a", 4), Message().Chunk(0, "x")}));
  EXPECT_EQ(answer.have_uid(), "h1");
  CAIRN_ASSERT_OK(Delta(1, "d", 3).Finish().To(answer));
  const GetAnswer::Chunk chunk = answer.TakeChunk();
  EXPECT_TRUE(chunk.is_delta());
  EXPECT_EQ(chunk.size(), 3u);
  EXPECT_EQ(chunk.base_digest, "sixteen bytes...");
  EXPECT_FALSE(answer.in_entry());

  answer.Unread(chunk);
  EXPECT_TRUE(answer.in_entry());
  v1::GetTensorRequest request;
  EXPECT_FALSE(answer.Resume(&request));
  EXPECT_EQ(request.start_entry(), 0u);
  EXPECT_EQ(request.start_offset(), 1u);
  CAIRN_ASSERT_OK(Feed(answer, {Message().Header(2).Start("a", 4, 1).Chunk(1, "yzw").Finish(), Message().Start("b", 0), Message().Finish()}));
  EXPECT_TRUE(answer.complete());
}

TEST(GetAnswerTest, RefusesDeltasThatNobodyAskedForOrThatMakeTooMuch) {
  const std::vector<std::pair<std::vector<Message>, std::string>> cases = {
      {{Message().Header(1).Start("a", 4), Delta(0, "d", 4)}, "none was asked for"},
      {{WithHave(1).Start("a", 4), Delta(0, "d", 5)}, "of 5 bytes, expected 0 of 4"},
      {{WithHave(1).Start("a", 4), Delta(0, "", 4)}, "a delta of 0 bytes"},
      {{WithHave(1).Start("a", uint64_t{1} << 32), Delta(0, "d", UINT32_MAX)}, "a delta of 1 bytes that makes 4294967295"},
  };
  for (const auto& [messages, part] : cases) {
    GetAnswer answer;
    EXPECT_THAT(Feed(answer, messages), StatusIs(absl::StatusCode::kInternal, HasSubstr(part)));
  }
}

v1::GetTensorResponse::FileChunk FileChunk(uint64_t offset, uint32_t bytes) {
  v1::GetTensorResponse::FileChunk chunk;
  chunk.set_offset(offset);
  chunk.set_bytes(bytes);
  chunk.set_file(3);
  chunk.set_file_offset(500);
  chunk.set_digest(std::string(16, 'd'));
  return chunk;
}

TEST(GetAnswerTest, RangesOfFilesStandForBytes) {
  GetAnswer answer;
  Message message;
  message.Header(1).Start("a", 30).Finish();
  *message.proto().add_file_chunks() = FileChunk(0, 10);
  *message.proto().add_file_chunks() = FileChunk(10, 20);
  CAIRN_ASSERT_OK(message.To(answer));
  const GetAnswer::Chunk chunk = answer.TakeChunk();
  EXPECT_TRUE(chunk.is_file());
  EXPECT_EQ(chunk.size(), 30u);
  EXPECT_EQ(chunk.ranges[1].bytes, 20u);
  EXPECT_EQ(chunk.ranges[1].file, 3u);
  EXPECT_EQ(chunk.ranges[1].file_offset, 500u);
  EXPECT_TRUE(answer.complete());
  // They may turn out not to be there: then the bytes are asked for, from the same place on.
  answer.Unread(chunk);
  v1::GetTensorRequest request;
  EXPECT_FALSE(answer.Resume(&request));
  EXPECT_EQ(request.start_entry(), 0u);
  EXPECT_EQ(request.start_offset(), 0u);
}

TEST(GetAnswerTest, RangesOfFilesInOneMessageTakeBoundedMemory) {
  GetAnswer answer;
  Message message;
  message.Header(1).Start("a", uint64_t{1} << 40);
  *message.proto().add_file_chunks() = FileChunk(0, 32u << 20);
  *message.proto().add_file_chunks() = FileChunk(32u << 20, 33u << 20);
  EXPECT_THAT(message.To(answer), StatusIs(absl::StatusCode::kInternal, HasSubstr("in one message")));
}

TEST(GetAnswerTest, RangesOfFilesThatMakeNoSenseAreRefused) {
  const auto refused = [](const std::vector<v1::GetTensorResponse::FileChunk>& chunks, bool with_bytes = false) {
    GetAnswer answer;
    Message message;
    message.Header(1).Start("a", 30);
    if (with_bytes) message.Chunk(0, "abc");
    for (const auto& chunk : chunks) *message.proto().add_file_chunks() = chunk;
    EXPECT_THAT(message.To(answer), StatusIs(absl::StatusCode::kInternal, HasSubstr("a"))) << message.proto().DebugString();
  };
  refused({FileChunk(1, 10)});
  refused({FileChunk(0, 31)});
  refused({FileChunk(0, 10), FileChunk(11, 5)});
  refused({FileChunk(0, 30), FileChunk(30, 1)});
  refused({FileChunk(0, 0)});
  refused({FileChunk(3, 10)}, /*with_bytes=*/true);
  v1::GetTensorResponse::FileChunk bad_digest = FileChunk(0, 10);
  bad_digest.set_digest("short");
  refused({bad_digest});
  GetAnswer answer;
  Message message;
  message.Header(1);
  *message.proto().add_file_chunks() = FileChunk(0, 10);
  EXPECT_THAT(message.To(answer), StatusIs(absl::StatusCode::kInternal, HasSubstr("no entry")));
}

}  // namespace
}  // namespace cairn::client
