#include "server/convert/allowed_roots.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "common/io/posix_file.h"
#include "common/net/http_client.h"

namespace cairn {

namespace fs = std::filesystem;

absl::Status NotToBeRepeated(const absl::Status& status) {
  ErrorInfo info = GetErrorInfo(status);
  if (!absl::IsUnavailable(status) || info.reason != kUrlReason) return status;
  return WithErrorInfo(absl::FailedPreconditionError(status.message()), std::move(info));
}

absl::StatusOr<AllowedRoots> AllowedRoots::Make(const std::vector<std::string>& folders) {
  AllowedRoots roots;
  for (const std::string& folder : folders) {
    if (!fs::path(folder).is_absolute()) {
      return absl::InvalidArgumentError(absl::StrCat("file root \"", folder, "\": expected an absolute path"));
    }
    std::error_code error;
    const fs::path real = fs::canonical(folder, error);
    if (error) return ErrnoStatus(error.value(), "open file root", folder);
    if (!fs::is_directory(real, error)) {
      return absl::InvalidArgumentError(absl::StrCat("file root \"", folder, "\": expected a folder"));
    }
    roots.folders_.push_back(real.string());
  }
  return roots;
}

absl::Status AllowedRoots::CheckForm(const std::string& path) const {
  if (folders_.empty()) {
    return absl::PermissionDeniedError(
        absl::StrCat("\"", path, "\": this daemon reads and writes no files for its callers; its operator allows it with --file-roots DIR"));
  }
  if (!fs::path(path).is_absolute() || path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("\"", path, "\": expected an absolute path on the daemon's machine"));
  }
  for (absl::string_view segment : absl::StrSplit(path, '/')) {
    if (segment == "..") return absl::InvalidArgumentError(absl::StrCat("\"", path, "\": \"..\" is not allowed in paths for the daemon"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> AllowedRoots::RootOf(const std::string& path, const std::string& canonical) const {
  for (const std::string& folder : folders_) {
    if (IsWithin(canonical, folder)) return folder;
  }
  return WithErrorInfo(absl::PermissionDeniedError(absl::StrCat("\"", path, "\": lies outside the folders that this daemon's operator allows: ",
                                                                absl::StrJoin(folders_, ", "))),
                       {"OUTSIDE_FILE_ROOTS", {{"path", path}}});
}

UrlOptions AllowedRoots::OptionsForUrls(const Cancellation& cancellation) const {
  UrlOptions options;
  options.cancellation = cancellation;
  options.allowed = urls_;
  // So that kUrlSourceBytes is enough.
  options.read_ahead.block_bytes = 4u << 20;
  options.read_ahead.memory_bytes = 16u << 20;
  return options;
}

absl::StatusOr<std::unique_ptr<SourceTree>> AllowedRoots::OpenSource(const std::string& path, const Cancellation& cancellation) const {
  if (IsUrl(path)) return OpenUrlTree(path, OptionsForUrls(cancellation));
  CAIRN_RETURN_IF_ERROR(CheckForm(path));
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  if (error) {
    // What lies outside is none of the caller's business, its absence included.
    CAIRN_RETURN_IF_ERROR(RootOf(path, fs::path(path).lexically_normal().string()).status());
    return ErrnoStatus(error.value(), "open", path);
  }
  CAIRN_ASSIGN_OR_RETURN(std::string root, RootOf(path, real.string()));
  return OpenSourceTree(path, {.confined_to = std::move(root)});
}

absl::StatusOr<std::unique_ptr<SinkTree>> AllowedRoots::CreateTarget(const std::string& path, SinkTreeOptions options, const Cancellation& cancellation) const {
  if (IsUrl(path)) return CreateUrlTree(path, OptionsForUrls(cancellation), options);
  CAIRN_ASSIGN_OR_RETURN(const std::string resolved, ResolveTarget(path));
  return CreateSinkTree(resolved, options);
}

absl::StatusOr<std::string> AllowedRoots::ResolveTarget(const std::string& path) const {
  CAIRN_RETURN_IF_ERROR(CheckForm(path));
  fs::path target(path);
  const bool folder = !target.has_filename();
  if (folder) target = target.parent_path();
  std::error_code error;
  const fs::path parent = fs::canonical(target.parent_path(), error);
  if (error) {
    CAIRN_RETURN_IF_ERROR(RootOf(path, target.lexically_normal().string()).status());
    return ErrnoStatus(error.value(), "open folder", target.parent_path().string());
  }
  const fs::path real = parent / target.filename();
  CAIRN_RETURN_IF_ERROR(RootOf(path, parent.string()).status());
  // A link at the very end would be followed into a folder elsewhere.
  if (const fs::path linked = fs::canonical(real, error); !error) {
    CAIRN_RETURN_IF_ERROR(RootOf(path, linked.string()).status());
  }
  return folder ? real.string() + "/" : real.string();
}

}  // namespace cairn
