#include "server/app/socket_path.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/io/posix_file.h"
#include "common/io/unique_fd.h"

namespace cairn {
namespace {

bool IsServed(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;
  std::copy(path.begin(), path.end(), address.sun_path);
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // EAGAIN: somebody listens, but has no room for one more at the moment.
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 || errno == EAGAIN;
}

}  // namespace

absl::Status CheckSocketPath(const std::string& path) {
  const auto bad = [&](absl::string_view why) {
    return absl::FailedPreconditionError(absl::StrCat("unix_socket ", path, ": ", why));
  };
  struct stat info;
  if (::lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) {
      return bad(absl::StrCat("expected a socket or nothing, found ",
                              S_ISLNK(info.st_mode) ? "a link" : KindOfFile(info.st_mode), "; choose another path"));
    }
    return IsServed(path) ? bad("another process serves there; stop it or choose another path") : absl::OkStatus();
  }
  if (errno != ENOENT && errno != ENOTDIR) return ErrnoStatus(errno, "look at unix_socket", path);
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (folder.empty() || (::stat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode))) return absl::OkStatus();
  return bad(absl::StrCat("there is no folder ", folder, "; make it first"));
}

}  // namespace cairn
