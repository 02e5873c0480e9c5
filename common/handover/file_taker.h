#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/io/unique_fd.h"

namespace cairn {

// A client's end of the file socket: the files that the daemon hands over to it. One thread at a time.
class FileTaker {
 public:
  // `socket_path` is that of the daemon's own socket. Null where nobody hands out files: an older daemon, or one of another user.
  static std::unique_ptr<FileTaker> Connect(const std::string& socket_path);

  // Says, in a call of the daemon's API, who its caller is here.
  const std::string& ticket() const { return ticket_; }

  // The file of that number, which stays open as long as this object lives. Waits for it for some seconds; UNAVAILABLE if
  // it does not come, FAILED_PRECONDITION if what came is no regular file.
  absl::StatusOr<int> File(uint32_t number);

 private:
  FileTaker(UniqueFd socket, std::string ticket) : socket_(std::move(socket)), ticket_(std::move(ticket)) {}

  const UniqueFd socket_;
  const std::string ticket_;
  absl::flat_hash_map<uint32_t, UniqueFd> files_;
};

}  // namespace cairn
