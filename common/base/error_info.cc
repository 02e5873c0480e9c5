#include "common/base/error_info.h"

#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace cairn {
namespace {

constexpr absl::string_view kUrl = "cairn/error-info";
constexpr char kSeparator = '\x1f';  // Between fields; facts are text and have no control characters.

}  // namespace

absl::Status WithErrorInfo(absl::Status status, const ErrorInfo& info) {
  if (status.ok()) return status;
  ErrorInfo merged = GetErrorInfo(status);
  if (!info.reason.empty()) merged.reason = info.reason;
  for (const auto& [key, value] : info.metadata) merged.metadata[key] = value;
  std::string encoded = merged.reason;
  for (const auto& [key, value] : merged.metadata) {
    absl::StrAppend(&encoded, std::string(1, kSeparator), key, std::string(1, kSeparator), value);
  }
  status.SetPayload(kUrl, absl::Cord(encoded));
  return status;
}

ErrorInfo GetErrorInfo(const absl::Status& status) {
  ErrorInfo info;
  const auto payload = status.GetPayload(kUrl);
  if (!payload.has_value()) return info;
  const std::vector<std::string> fields = absl::StrSplit(std::string(*payload), kSeparator);
  info.reason = fields[0];
  for (size_t i = 1; i + 1 < fields.size(); i += 2) info.metadata[fields[i]] = fields[i + 1];
  return info;
}

}  // namespace cairn
