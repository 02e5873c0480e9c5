#include "server/store/store_errno.h"

#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/io/posix_file.h"

namespace cairn {
namespace {

std::string Advice(int error) {
  switch (error) {
    case ENOSPC:
      return "free space on this file system (delete checkpoints, then collect garbage) or enlarge it";
    case EDQUOT:
      return "free space or raise the disk quota of this user";
    case EFBIG:
      return "raise the file size limit of the process (ulimit -f) or use a file system that takes larger "
             "files";
    case EMFILE:
    case ENFILE:
      return "raise the limit of open files (ulimit -n)";
    case EACCES:
    case EPERM:
      return absl::StrCat("allow user ", ::geteuid(), " to read and write there, or run as the owner");
    case EROFS:
      return "the file system is mounted read-only; remount it or choose another directory";
    case EIO:
      return "the disk reports an error; check it before anything else";
    default:
      return "";
  }
}

}  // namespace

absl::Status StoreErrno(int error, absl::string_view what, absl::string_view path) {
  const absl::Status status = ErrnoStatus(error, what, path);
  if (error == ENOENT) {
    return absl::InternalError(
        absl::StrCat(status.message(), "; a folder of the store was removed or unmounted"));
  }
  const std::string advice = Advice(error);
  if (advice.empty()) return status;
  return absl::Status(status.code(), absl::StrCat(status.message(), "; ", advice));
}

}  // namespace cairn
