#include "client/cli/exit_code.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error_info.h"
#include "common/format/cairndiff/diff_file.h"

namespace cairn::cli {
namespace {

constexpr absl::string_view kUsage = "USAGE";
constexpr absl::string_view kDamagedFile = "DAMAGED_FILE";
constexpr absl::string_view kUrlFailed = "URL_FAILED";  // Of servers other than a daemon (common/net/http_client.h).
constexpr absl::string_view kTlsReason = "TLS_";  // How reasons begin for which no connection comes about.

}  // namespace

absl::Status UsageError(absl::string_view message) {
  return WithErrorInfo(absl::InvalidArgumentError(message), {std::string(kUsage), {}});
}

absl::Status AsDamagedFile(const absl::Status& status) {
  const bool damage = absl::IsInvalidArgument(status) || (absl::IsDataLoss(status) && GetErrorInfo(status).reason.empty());
  if (!damage) return status;
  return WithErrorInfo(status, {std::string(kDamagedFile), {}});
}

int ExitCodeFor(const absl::Status& status) {
  const std::string reason = GetErrorInfo(status).reason;
  if (reason == kUsage) return kExitUsage;
  if (reason == kDamagedFile) return kExitDamaged;
  if (absl::StartsWith(reason, kTlsReason)) return kExitUnreachable;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
      return kExitPrecondition;
    case absl::StatusCode::kDataLoss:
      return kExitDamaged;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnreachable;
    case absl::StatusCode::kCancelled:
      return kExitInterrupted;
    default:
      return kExitError;
  }
}

std::string ErrorWord(const absl::Status& status) {
  if (GetErrorInfo(status).reason == kUsage) return std::string(kUsage);
  return absl::StatusCodeToString(status.code());
}

std::string HintFor(const absl::Status& status, absl::string_view server) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      if (GetErrorInfo(status).reason == kUrlFailed) return "";
      return absl::StrCat(
          "is a daemon running at ", server,
          "? Start one with \"cairnd --data-dir DIR\", or name another with --server or CAIRN_SERVER");
    case absl::StatusCode::kAlreadyExists:
      return "--overwrite replaces what is there";
    case absl::StatusCode::kDataLoss: {
      const std::string reason = GetErrorInfo(status).reason;
      if (reason == kDamagedDiffReason) return "where there is no other copy of the diff, \"cairn diff BASE TARGET --output DST\" makes it anew";
      // What "cairn verify" has to say of a file is this very error.
      return reason == kDamagedFile ? "" : "\"cairn verify\" lists everything that is damaged";
    }
    default:
      return GetErrorInfo(status).reason == kUsage
                 ? "\"cairn --help\" lists the commands, \"cairn COMMAND --help\" options and examples"
                 : "";
  }
}

}  // namespace cairn::cli
