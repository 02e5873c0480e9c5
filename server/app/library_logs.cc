#include "server/app/library_logs.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "server/app/logging.h"

namespace cairn {
namespace {

// The path of a source file is where Debian built it.
std::string Place(absl::string_view file, int line) {
  const size_t slash = file.rfind('/');
  return absl::StrCat(slash == absl::string_view::npos ? file : file.substr(slash + 1), ":", line);
}

void FromGrpc(gpr_log_func_args* args) {
  const LogLevel level = args->severity == GPR_LOG_SEVERITY_ERROR  ? LogLevel::kError
                         : args->severity == GPR_LOG_SEVERITY_INFO ? LogLevel::kInfo
                                                                   : LogLevel::kDebug;
  Log(level, "grpc",
      {{"detail", std::string(absl::StripSuffix(args->message, "\n"))}, {"source", Place(args->file, args->line)}});
}

void FromProtobuf(google::protobuf::LogLevel severity, const char* file, int line, const std::string& message) {
  const LogLevel level = severity >= google::protobuf::LOGLEVEL_ERROR     ? LogLevel::kError
                         : severity == google::protobuf::LOGLEVEL_WARNING ? LogLevel::kWarning
                                                                          : LogLevel::kInfo;
  Log(level, "protobuf", {{"detail", message}, {"source", Place(file, line)}});
}

}  // namespace

void RouteLibraryLogs() {
  gpr_set_log_function(FromGrpc);
  google::protobuf::SetLogHandler(FromProtobuf);
}

}  // namespace cairn
