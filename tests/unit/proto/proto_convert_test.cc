#include "proto/wire/proto_convert.h"

#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::wire {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

v1::Entry TensorProto(v1::Dtype dtype, const std::vector<int64_t>& shape) {
  v1::Entry proto;
  proto.mutable_path()->add_segments()->set_key("layers.0/w");
  proto.mutable_tensor()->set_dtype(dtype);
  for (int64_t extent : shape) proto.mutable_tensor()->add_shape(extent);
  return proto;
}

TEST(ProtoConvert, RoundTripsEveryKindOfEntry) {
  const KeyPath path({KeyPath::Segment("params"), KeyPath::Segment(int64_t{-3}), KeyPath::Segment("w/\xc3\xbc")});
  const Entry entries[] = {
      Entry::Tensor(path, Dtype::kBfloat16, {3, 0, 7}, 0),
      Entry::Tensor(path, Dtype::kFloat32, {}, 4),
      Entry::Tensor(path, Dtype::kF4Packed, {2, 8}, 8),
      Entry::OfValue(path, Value::String("adam")),
      Entry::Asset(KeyPath::Of({"tokenizer", "tokenizer.json"}), 123456),
      Entry::Alias(path, KeyPath::Of({"params", "embed"})),
  };
  for (const Entry& entry : entries) {
    v1::Entry proto;
    proto.set_value("left over");
    ToProto(entry, &proto);
    v1::Entry sent;
    ASSERT_TRUE(sent.ParseFromString(proto.SerializeAsString()));
    CAIRN_ASSERT_OK_AND_ASSIGN(const Entry back, FromProto(sent));
    EXPECT_EQ(back.path, entry.path);
    EXPECT_EQ(back.kind, entry.kind);
    EXPECT_EQ(back.dtype, entry.dtype);
    EXPECT_EQ(back.shape, entry.shape);
    EXPECT_EQ(back.byte_size, entry.byte_size);
    EXPECT_EQ(back.value, entry.value);
    EXPECT_EQ(back.target, entry.target);
  }
}

TEST(ProtoConvert, ChecksAnEntryAsThePeerWill) {
  const KeyPath path = KeyPath::Of({"w"});
  KeyPath deep, long_control, long_plain;
  for (int i = 0; i < 65; ++i) deep.Append(int64_t{i});
  long_control.Append(std::string(2000, '\x01'));  // Four characters each when it is shown.
  long_plain.Append(std::string(4096, 'x'));
  const Entry entries[] = {
      Entry::Tensor(path, Dtype::kFloat32, {2, 3}, 24),
      Entry::Tensor(long_plain, Dtype::kFloat32, {}, 4),
      Entry::OfValue(path, Value::String("adam")),
      Entry::Asset(path, 7),
      Entry::Alias(path, KeyPath::Of({"v"})),
      Entry::Tensor(KeyPath(), Dtype::kFloat32, {2, 3}, 24),
      Entry::Tensor(deep, Dtype::kFloat32, {2, 3}, 24),
      Entry::Tensor(long_control, Dtype::kFloat32, {2, 3}, 24),
      Entry::Tensor(path, Dtype::kInvalid, {2, 3}, 24),
      Entry::Tensor(path, static_cast<Dtype>(250), {2, 3}, 24),
      Entry::Tensor(path, Dtype::kFloat32, {-1}, 24),
      Entry::Tensor(path, Dtype::kFloat64, {int64_t{1} << 61}, 24),
      Entry::Tensor(path, Dtype::kInt8, Shape(33, 1), 1),
      Entry::Asset(path, uint64_t{1} << 63),
      Entry::Alias(path, KeyPath()),
  };
  int refused = 0;
  for (const Entry& entry : entries) {
    v1::Entry proto;
    ToProto(entry, &proto);
    EXPECT_EQ(CheckEntry(entry), FromProto(proto).status()) << entry.path.ToString();
    refused += !CheckEntry(entry).ok();
  }
  EXPECT_EQ(refused, 10);
}

TEST(ProtoConvert, DtypeNumbersAreThoseOfTheDomain) {
  for (const Dtype dtype : AllDtypes()) {
    EXPECT_TRUE(v1::Dtype_IsValid(static_cast<int>(dtype))) << DtypeName(dtype);
    CAIRN_ASSERT_OK_AND_ASSIGN(const Dtype back, FromProto(ToProto(dtype)));
    EXPECT_EQ(back, dtype);
  }
  EXPECT_EQ(v1::Dtype_ARRAYSIZE, static_cast<int>(AllDtypes().size()) + 1);
  for (int number : {0, -1, 200, 256 + 1, 1 << 20, std::numeric_limits<int>::min()}) {
    EXPECT_THAT(FromProto(static_cast<v1::Dtype>(number)), StatusIs(kInvalid, HasSubstr("dtype number")));
  }
}

TEST(ProtoConvert, RefusesShapesThatOverflow) {
  EXPECT_THAT(FromProto(TensorProto(v1::DTYPE_INT8, {int64_t{1} << 40, int64_t{1} << 40})), StatusIs(kInvalid));
  EXPECT_THAT(FromProto(TensorProto(v1::DTYPE_FLOAT64, {int64_t{1} << 61})), StatusIs(kInvalid));
  EXPECT_THAT(FromProto(TensorProto(v1::DTYPE_INT8, {-1})), StatusIs(kInvalid, HasSubstr("layers.0\\/w")));
  EXPECT_THAT(FromProto(TensorProto(v1::DTYPE_INT8, std::vector<int64_t>(33, 1))),
              StatusIs(kInvalid, HasSubstr("33 dimensions")));
  EXPECT_THAT(FromProto(TensorProto(v1::DTYPE_UNSPECIFIED, {1})), StatusIs(kInvalid));
  EXPECT_THAT(FromProto(TensorProto(static_cast<v1::Dtype>(256 + 1), {1})), StatusIs(kInvalid));
}

TEST(ProtoConvert, RefusesPathsThatAreNone) {
  v1::KeyPath proto;
  EXPECT_THAT(FromProto(proto), StatusIs(kInvalid, HasSubstr("without segments")));
  proto.add_segments();
  EXPECT_THAT(FromProto(proto), StatusIs(kInvalid, HasSubstr("neither a key nor an index")));
}

TEST(ProtoConvert, BoundsPaths) {
  v1::KeyPath proto;
  for (int i = 0; i < 64; ++i) proto.add_segments()->set_index(i);
  CAIRN_EXPECT_OK(FromProto(proto));
  proto.add_segments()->set_index(64);
  EXPECT_THAT(FromProto(proto), StatusIs(kInvalid, HasSubstr("65 segments")));

  v1::KeyPath text;
  text.add_segments()->set_key(std::string(4096, 'k'));
  CAIRN_EXPECT_OK(FromProto(text));
  text.mutable_segments(0)->set_key(std::string(4097, 'k'));
  EXPECT_THAT(FromProto(text), StatusIs(kInvalid, HasSubstr("4097 bytes")));
  text.mutable_segments(0)->set_key(std::string(2049, '/'));
  EXPECT_THAT(FromProto(text), StatusIs(kInvalid, HasSubstr("4098 bytes"))) << "what counts is the shown path";
}

TEST(ProtoConvert, RefusesEntriesThatAreNone) {
  v1::Entry proto;
  proto.mutable_path()->add_segments()->set_key("w");
  EXPECT_THAT(FromProto(proto), StatusIs(kInvalid, HasSubstr("entry \"w\"")));
  proto.set_value("\xff\xff no value");
  EXPECT_THAT(FromProto(proto), StatusIs(kInvalid, HasSubstr("entry \"w\"")));
  proto.mutable_alias_of();
  EXPECT_THAT(FromProto(proto), StatusIs(kInvalid, HasSubstr("without segments")));
  proto.mutable_asset()->set_bytes(std::numeric_limits<uint64_t>::max());
  EXPECT_THAT(FromProto(proto), StatusIs(kInvalid, HasSubstr("too large")));
}

TEST(ProtoConvert, RefusesBoxesThatLeaveTheirTensor) {
  const Box box{{1, 2}, {3, 0}};
  v1::Box proto;
  ToProto(box, &proto);
  CAIRN_ASSERT_OK_AND_ASSIGN(const Box back, FromProto(proto, {4, 2}));
  EXPECT_EQ(back, box);
  EXPECT_THAT(FromProto(proto, {3, 2}), StatusIs(kInvalid));
  EXPECT_THAT(FromProto(proto, {4, 2, 1}), StatusIs(kInvalid));
  proto.add_offset(0);
  EXPECT_THAT(FromProto(proto, {4, 2}), StatusIs(kInvalid));
  v1::Box wraps;
  wraps.add_offset(std::numeric_limits<int64_t>::max());
  wraps.add_extent(2);
  EXPECT_THAT(FromProto(wraps, {4}), StatusIs(kInvalid));
}

TEST(ProtoConvert, RoundTripsTimesBeforeAndAfterTheEpoch) {
  for (const absl::Time time : {absl::UnixEpoch(), absl::FromUnixNanos(1'700'000'000'123'456'789),
                                absl::FromUnixNanos(-1), absl::FromUnixSeconds(-5'000'000'000)}) {
    google::protobuf::Timestamp proto;
    ToProto(time, &proto);
    EXPECT_GE(proto.nanos(), 0);
    EXPECT_LT(proto.nanos(), 1'000'000'000);
    EXPECT_EQ(FromProto(proto), time);
  }
  google::protobuf::Timestamp proto;
  ToProto(absl::InfiniteFuture(), &proto);
  EXPECT_EQ(proto.seconds(), 253'402'300'799);
  ToProto(absl::InfinitePast(), &proto);
  EXPECT_EQ(proto.seconds(), -62'135'596'800);
  proto.set_seconds(std::numeric_limits<int64_t>::max());
  proto.set_nanos(std::numeric_limits<int32_t>::min());
  FromProto(proto);  // Whatever a peer sends: no trap.
}

TEST(ProtoConvert, RoundTripsDurations) {
  for (const absl::Duration duration : {absl::ZeroDuration(), absl::Milliseconds(1500), absl::Nanoseconds(-1500000001)}) {
    google::protobuf::Duration proto;
    ToProto(duration, &proto);
    EXPECT_EQ(FromProto(proto), duration);
  }
  google::protobuf::Duration proto;
  ToProto(absl::InfiniteDuration(), &proto);
  EXPECT_EQ(proto.seconds(), 315'576'000'000);
  EXPECT_EQ(proto.nanos(), 0);
  ToProto(-absl::InfiniteDuration(), &proto);
  EXPECT_EQ(proto.seconds(), -315'576'000'000);
}

}  // namespace
}  // namespace cairn::wire
