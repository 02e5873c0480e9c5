#include "proto/wire/frame.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cairn/v1/checkpoint_service.pb.h"
#include "common/base/crc32c.h"
#include "gmock/gmock.h"
#include "grpcpp/support/slice.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::wire {
namespace {

using ::cairn::testing::IsOk;
using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kMaxHeader = 64 << 10;

std::string Flatten(const grpc::ByteBuffer& frame) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(frame.Dump(&slices).ok());
  std::string flat;
  for (const grpc::Slice& slice : slices) flat.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return flat;
}

std::string Flatten(const std::vector<Buffer>& pieces) {
  std::string flat;
  for (const Buffer& piece : pieces) flat.append(piece.data(), piece.size());
  return flat;
}

// A frame of these bytes whose slices end at `cuts` (ascending).
grpc::ByteBuffer Cut(const std::string& bytes, const std::vector<size_t>& cuts) {
  std::vector<grpc::Slice> slices;
  size_t begin = 0;
  for (size_t cut : cuts) {
    slices.emplace_back(bytes.data() + begin, cut - begin);
    begin = cut;
  }
  slices.emplace_back(bytes.data() + begin, bytes.size() - begin);
  return grpc::ByteBuffer(slices.data(), slices.size());
}

v1::PutTensorRequest Request(const std::string& data) {
  v1::PutTensorRequest request;
  request.mutable_open()->set_session_id("session");
  request.mutable_open()->set_writer(3);
  v1::Entry* entry = request.mutable_declare()->mutable_entry();
  entry->mutable_path()->add_segments()->set_key("params");
  entry->mutable_path()->add_segments()->set_index(-7);
  entry->mutable_tensor()->set_dtype(v1::DTYPE_BFLOAT16);
  entry->mutable_tensor()->add_shape(12);
  request.mutable_chunk()->set_offset(uint64_t{1} << 40);
  request.mutable_chunk()->set_crc32c(Crc32c(data));
  request.set_finish(true);
  return request;
}

TEST(Frame, IsWhatTheGeneratedMessageWouldSend) {
  const std::string data(1000, 'x');
  const v1::PutTensorRequest header = Request(data);
  const std::vector<Buffer> pieces = {Buffer::FromString(data.substr(0, 1)), Buffer(),
                                      Buffer::FromString(data.substr(1))};
  v1::PutTensorRequest whole = header;
  whole.set_data(data);
  EXPECT_EQ(Flatten(MakeFrame(header, pieces)), whole.SerializeAsString());

  v1::PutTensorRequest parsed;
  ASSERT_TRUE(parsed.ParseFromString(Flatten(MakeFrame(header, pieces))));
  EXPECT_EQ(parsed.data(), data);
}

TEST(Frame, WithoutPiecesIsTheHeaderAlone) {
  const v1::PutTensorRequest header = Request("");
  EXPECT_EQ(Flatten(MakeFrame(header, {})), header.SerializeAsString());
  EXPECT_EQ(MakeFrame(v1::PutTensorRequest(), {}).Length(), 0u);
}

TEST(Frame, ReadsWhatTheGeneratedMessageSendsHoweverItIsCut) {
  std::string data;
  for (int i = 0; i < 100; ++i) data.push_back(static_cast<char>(i));
  v1::PutTensorRequest header = Request(data);
  v1::PutTensorRequest whole = header;
  whole.set_data(data);
  const std::string bytes = whole.SerializeAsString();
  for (size_t first = 0; first <= bytes.size(); ++first) {
    for (size_t second : {first, first + 1, bytes.size()}) {
      if (second > bytes.size()) continue;
      v1::PutTensorRequest parsed;
      std::vector<Buffer> pieces;
      ASSERT_THAT(ParseFrame(Cut(bytes, {first, second}), kMaxHeader, &parsed, &pieces), IsOk()) << first;
      ASSERT_EQ(parsed.SerializeAsString(), header.SerializeAsString()) << first;
      ASSERT_EQ(Flatten(pieces), data) << first;
      for (const Buffer& piece : pieces) ASSERT_FALSE(piece.empty());
    }
  }
  std::vector<size_t> everywhere;
  for (size_t i = 1; i < bytes.size(); ++i) everywhere.push_back(i);
  v1::PutTensorRequest parsed;
  std::vector<Buffer> pieces;
  CAIRN_ASSERT_OK(ParseFrame(Cut(bytes, everywhere), kMaxHeader, &parsed, &pieces));
  EXPECT_EQ(Flatten(pieces), data);
  EXPECT_GT(pieces.size(), 1u);
}

TEST(Frame, LargePayloadSurvivesTheRoundTripWithoutACopy) {
  const Buffer payload = Buffer::FromString(std::string(3 << 20, 'p'));
  v1::GetTensorResponse header;
  header.mutable_chunk()->set_offset(5);
  v1::GetTensorResponse parsed;
  std::vector<Buffer> pieces;
  CAIRN_ASSERT_OK(ParseFrame(MakeFrame(header, {payload}), kMaxHeader, &parsed, &pieces));
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(static_cast<const void*>(pieces[0].data()), static_cast<const void*>(payload.data()));
}

TEST(Frame, KeepsItsPiecesAliveForAsLongAsItLivesAndNoLonger) {
  // Less than 8 KiB would be copied.
  constexpr size_t kSize = 10'000;
  auto owner = std::make_shared<const std::string>(kSize, 'x');
  const std::weak_ptr<const std::string> alive = owner;
  {
    grpc::ByteBuffer frame = MakeFrame(v1::PutTensorRequest(), {Buffer(*owner, owner)});
    owner.reset();
    EXPECT_FALSE(alive.expired());

    v1::PutTensorRequest header;
    std::vector<Buffer> pieces;
    CAIRN_ASSERT_OK(ParseFrame(frame, kMaxHeader, &header, &pieces));
    frame.Clear();
    EXPECT_FALSE(alive.expired()) << "parsed pieces borrow the frame's slices";
    EXPECT_EQ(Flatten(pieces), std::string(kSize, 'x'));
  }
  EXPECT_TRUE(alive.expired());
}

TEST(Frame, KeepsFieldsThatThisVersionDoesNotKnow) {
  // Field 9 as varint, fixed64, bytes and fixed32, then the flush.
  const std::string bytes("\x48\x96\x01\x49" "12345678" "\x4a\x03" "abc" "\x4d" "1234" "\x28\x01", 24);
  v1::PutTensorRequest parsed;
  std::vector<Buffer> pieces;
  CAIRN_ASSERT_OK(ParseFrame(Cut(bytes, {3}), kMaxHeader, &parsed, &pieces));
  EXPECT_TRUE(parsed.flush());
  EXPECT_THAT(pieces, IsEmpty());
}

struct Hostile {
  const char* what;
  std::string bytes;
  const char* message;
};

TEST(Frame, RefusesHostileBytes) {
  using namespace std::string_literals;
  const Hostile frames[] = {
      {"field number 0", "\x02\x00"s, "no field has the tag"},
      {"tag beyond 32 bits", "\xff\xff\xff\xff\x7f\x00"s, "no field has the tag"},
      {"cut-off tag", "\x80"s, "cut off"},
      {"endless varint", "\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s, "more than 64 bits"},
      {"overlong tag", std::string(11, '\x80') + "\x01", "more than 64 bits"},
      {"group", "\x0b\x0c"s, "wire type 3"},
      {"wire type 6", "\x0e"s, "wire type 6"},
      {"wire type 7", "\x0f"s, "wire type 7"},
      {"length beyond the frame", "\x0a\x05""abc"s, "only 3 follow"},
      {"length near 2^64", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01""abc"s, "only 3 follow"},
      {"cut-off length", "\x0a\x80"s, "cut off"},
      {"cut-off fixed64", "\x49""1234567"s, "only 7 follow"},
      {"cut-off fixed32", "\x4d""123"s, "only 3 follow"},
      {"data as a number", "\x78\x01"s, "wire type 0"},
      {"data beyond the frame", "\x7a\x05""abc"s, "only 3 follow"},
      {"data near 2^64", "\x7a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01""abc"s, "only 3 follow"},
      {"data twice", "\x7a\x01""a\x7a\x01""b"s, "must be the last"},
      {"data before another field", "\x7a\x01""a\x28\x01"s, "must be the last"},
      {"empty data before another field", "\x7a\x00\x28\x01"s, "must be the last"},
      {"a header that is no message", "\x0a\x02\x0a\x05"s, "no cairn.v1.PutTensorRequest"},
      {"text that is not UTF-8", "\x0a\x03\x0a\x01\xff"s, "no cairn.v1.PutTensorRequest"},
  };
  for (const Hostile& hostile : frames) {
    for (size_t cut = 0; cut <= hostile.bytes.size(); ++cut) {
      v1::PutTensorRequest header;
      std::vector<Buffer> pieces;
      EXPECT_THAT(ParseFrame(Cut(hostile.bytes, {cut}), kMaxHeader, &header, &pieces),
                  StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(hostile.message)))
          << hostile.what;
      EXPECT_THAT(pieces, IsEmpty()) << hostile.what;
    }
  }
}

TEST(Frame, BoundsWhatStandsBesidesTheData) {
  v1::PutTensorRequest request;
  request.mutable_declare()->mutable_entry()->set_value(std::string(1000, 'v'));
  const uint64_t size = request.ByteSizeLong();
  const grpc::ByteBuffer frame = MakeFrame(request, {Buffer::FromString(std::string(5000, 'd'))});
  v1::PutTensorRequest parsed;
  std::vector<Buffer> pieces;
  CAIRN_EXPECT_OK(ParseFrame(frame, size, &parsed, &pieces));
  EXPECT_EQ(TotalSize(pieces), 5000u);
  EXPECT_THAT(ParseFrame(frame, size - 1, &parsed, &pieces),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("besides the data")));
  EXPECT_THAT(pieces, IsEmpty());
}

TEST(Frame, RefusesABufferThatIsNone) {
  v1::PutTensorRequest header;
  std::vector<Buffer> pieces;
  EXPECT_THAT(ParseFrame(grpc::ByteBuffer(), kMaxHeader, &header, &pieces),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace cairn::wire
