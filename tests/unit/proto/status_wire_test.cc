#include "proto/wire/status_wire.h"

#include <string>

#include "common/base/error_info.h"
#include "gmock/gmock.h"
#include "google/rpc/error.pb.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::wire {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

absl::Status RoundTrip(const absl::Status& status) { return FromGrpcStatus(ToGrpcStatus(status)); }

TEST(StatusWire, RoundTripsEveryCode) {
  EXPECT_THAT(RoundTrip(absl::OkStatus()), testing::IsOk());
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "what went wrong: \xc3\xbc%\n");
    EXPECT_EQ(static_cast<int>(ToGrpcStatus(status).error_code()), code);
    EXPECT_EQ(RoundTrip(status), status);
  }
}

TEST(StatusWire, KeepsTheErrorInfo) {
  const absl::Status status = WithErrorInfo(
      absl::FailedPreconditionError("wrong offset"),
      {"RESUME_OFFSET", {{"expected", "4096"}, {"path", "params/w\xc3\xbc"}, {"box", "[0:2, 3:6]"}}});
  const absl::Status back = RoundTrip(status);
  EXPECT_EQ(back.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(back.message(), "wrong offset");
  EXPECT_EQ(GetErrorInfo(back).reason, "RESUME_OFFSET");
  EXPECT_EQ(GetErrorInfo(back).metadata, GetErrorInfo(status).metadata);
}

TEST(StatusWire, SendsTheErrorModelOfGoogle) {
  const grpc::Status sent = ToGrpcStatus(WithErrorInfo(absl::NotFoundError("no such"), {"NO_CHECKPOINT", {{"ref", "a@1"}}}));
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(sent.error_details()));
  EXPECT_EQ(details.code(), 5);
  EXPECT_EQ(details.message(), "no such");
  ASSERT_EQ(details.details_size(), 1);
  EXPECT_EQ(details.details(0).type_url(), "type.googleapis.com/google.rpc.ErrorInfo");
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.domain(), "cairn");
  EXPECT_EQ(info.reason(), "NO_CHECKPOINT");
  EXPECT_EQ(info.metadata().at("ref"), "a@1");
}

TEST(StatusWire, SendsNoDetailsWhereThereAreNone) {
  EXPECT_THAT(ToGrpcStatus(absl::NotFoundError("no such")).error_details(), IsEmpty());
}

TEST(StatusWire, TakesCodesThatDoNotExistForUnknown) {
  EXPECT_EQ(FromGrpcStatus(grpc::Status(static_cast<grpc::StatusCode>(31), "odd")).code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(FromGrpcStatus(grpc::Status(static_cast<grpc::StatusCode>(-3), "odd")).code(), absl::StatusCode::kUnknown);
}

TEST(StatusWire, DropsDetailsThatDoNotDecodeOrAreNotOurs) {
  const absl::Status plain = absl::AbortedError("why");
  EXPECT_EQ(FromGrpcStatus(grpc::Status(grpc::ABORTED, "why", "\xff\xff\xff")), plain);

  google::rpc::Status details;
  details.add_details()->set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  details.mutable_details(0)->set_value("\xff");
  EXPECT_EQ(FromGrpcStatus(grpc::Status(grpc::ABORTED, "why", details.SerializeAsString())), plain);

  google::rpc::ErrorInfo info;
  info.set_domain("example.com");
  info.set_reason("THEIRS");
  details.mutable_details(0)->PackFrom(info);
  EXPECT_EQ(FromGrpcStatus(grpc::Status(grpc::ABORTED, "why", details.SerializeAsString())), plain);

  info.set_domain("cairn");
  info.set_reason("OURS\x1f" "a");
  details.add_details()->PackFrom(info);
  EXPECT_EQ(GetErrorInfo(FromGrpcStatus(grpc::Status(grpc::ABORTED, "why", details.SerializeAsString()))).reason,
            "OURS a");
}

// 8 KiB of encoded trailers are all that a client takes by default; code and message must not be lost to it.
TEST(StatusWire, FitsIntoATrailerHoweverLongTheMessageIs) {
  std::string umlauts;
  for (int i = 0; i < 4000; ++i) umlauts += "\xc3\xbc";
  const absl::Status status = WithErrorInfo(absl::DataLossError("begins here " + umlauts),
                                            {"DAMAGED", {{"path", umlauts}, {"found", std::string(5000, 'f')}}});
  const grpc::Status sent = ToGrpcStatus(status);
  size_t encoded = sent.error_details().size() * 4 / 3;
  for (char c : sent.error_message()) encoded += c >= 0x20 && c <= 0x7e && c != '%' ? 1 : 3;
  EXPECT_LT(encoded, 7500u);
  const absl::Status back = FromGrpcStatus(sent);
  EXPECT_EQ(back.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(back.message()), StartsWith("begins here \xc3\xbc"));
  EXPECT_THAT(std::string(back.message()), HasSubstr("bytes left out)"));
  const ErrorInfo info = GetErrorInfo(back);
  EXPECT_EQ(info.reason, "DAMAGED");
  EXPECT_THAT(info.metadata.at("path"), StartsWith("\xc3\xbc"));
  EXPECT_THAT(info.metadata.at("found"), StartsWith("fff"));
}

TEST(StatusWire, SendsBytesThatAreNoTextAsQuestionMarks) {
  const absl::Status back =
      RoundTrip(WithErrorInfo(absl::InvalidArgumentError("bad key \xff\xfe"), {"BAD", {{"path", "a\xff" "b"}}}));
  EXPECT_EQ(back.message(), "bad key ??");
  EXPECT_EQ(GetErrorInfo(back).metadata.at("path"), "a?b");
}

}  // namespace
}  // namespace cairn::wire
