#include "proto/wire/status_wire.h"

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error_info.h"
#include "common/base/utf8.h"
#include "google/rpc/error.pb.h"

namespace cairn::wire {
namespace {

constexpr char kDomain[] = "cairn";
constexpr char kErrorInfoType[] = "google.rpc.ErrorInfo";

// A gRPC peer throws away a whole trailer above 8 KiB and answers RESOURCE_EXHAUSTED instead of what happened. What is
// counted there is the encoded text: three bytes for one outside ASCII in a message, four for three in the details.
constexpr size_t kMaxMessageBytes = 1500;
constexpr size_t kMaxDetailsBytes = 4500;

size_t EncodedSize(char c) { return c >= 0x20 && c <= 0x7e && c != '%' ? 1 : 3; }

// The beginning of `text` that takes `limit` bytes at most when encoded, never half a character, and a mark where
// something is missing.
std::string Clip(absl::string_view text, size_t limit) {
  size_t encoded = 0;
  for (char c : text) encoded += EncodedSize(c);
  if (encoded <= limit) return std::string(text);
  size_t keep = 0;
  for (size_t used = 0; keep < text.size() && used + EncodedSize(text[keep]) <= limit; ++keep) {
    used += EncodedSize(text[keep]);
  }
  const auto continues = [&](size_t at) { return (static_cast<uint8_t>(text[at]) & 0xc0) == 0x80; };
  while (keep > 0 && continues(keep)) --keep;
  return absl::StrCat(text.substr(0, keep), "... (", text.size() - keep, " bytes left out)");
}

// protobuf strings are UTF-8, or the peer drops the details.
std::string AsUtf8(absl::string_view text) {
  if (IsUtf8(text)) return std::string(text);
  std::string ascii(text);
  for (char& c : ascii) {
    if (static_cast<uint8_t>(c) >= 0x80) c = '?';
  }
  return ascii;
}

std::string EncodeDetails(absl::StatusCode code, const std::string& message, const ErrorInfo& info) {
  google::rpc::ErrorInfo proto;
  proto.set_reason(AsUtf8(info.reason));
  proto.set_domain(kDomain);
  for (const auto& [key, value] : info.metadata) (*proto.mutable_metadata())[AsUtf8(key)] = AsUtf8(value);

  google::rpc::Status status;
  status.set_code(static_cast<int>(code));
  status.set_message(message);  // Python's grpc_status refuses details whose message differs.
  for (size_t limit = kMaxDetailsBytes / 2;; limit /= 2) {
    status.clear_details();
    status.add_details()->PackFrom(proto);
    if (status.ByteSizeLong() <= kMaxDetailsBytes) return status.SerializeAsString();
    if (limit < 32) return std::string();  // Hundreds of facts: a program has the code, a person the message.
    for (auto& [key, value] : *proto.mutable_metadata()) value = Clip(value, limit);
  }
}

// common/base/error_info.h separates facts by control characters.
std::string WithoutControls(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x20; }, ' ');
  return text;
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // absl::Status::code() is one of the sixteen that gRPC knows, by the same numbers.
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const std::string message = Clip(AsUtf8(status.message()), kMaxMessageBytes);
  const ErrorInfo info = GetErrorInfo(status);
  if (info.empty()) return grpc::Status(code, message);
  return grpc::Status(code, message, EncodeDetails(status.code(), message, info));
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const int number = static_cast<int>(status.error_code());
  const bool known = number >= 1 && number <= 16;
  absl::Status result(known ? static_cast<absl::StatusCode>(number) : absl::StatusCode::kUnknown,
                      status.error_message());
  google::rpc::Status details;
  if (status.error_details().empty() || !details.ParseFromString(status.error_details())) return result;
  for (const google::protobuf::Any& any : details.details()) {
    google::rpc::ErrorInfo proto;
    if (!absl::EndsWith(any.type_url(), absl::StrCat("/", kErrorInfoType)) || !proto.ParseFromString(any.value()) ||
        proto.domain() != kDomain) {
      continue;
    }
    ErrorInfo info;
    info.reason = WithoutControls(proto.reason());
    for (const auto& [key, value] : proto.metadata()) info.metadata[WithoutControls(key)] = WithoutControls(value);
    return WithErrorInfo(std::move(result), info);
  }
  return result;
}

}  // namespace cairn::wire
