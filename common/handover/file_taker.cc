#include "common/handover/file_taker.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/handover/handover_socket.h"

namespace cairn {
namespace {

using namespace handover_internal;

constexpr timeval kFileWait = {10, 0};  // It was sent before anybody could ask for it.

// The rule by which daemons choose, seen from here: in a folder where everybody may make sockets, this one may be somebody else's.
bool MayBeTheDaemon(int socket) {
  ucred listener = {};
  socklen_t size = sizeof(listener);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &listener, &size) != 0) return false;
  return ::geteuid() == 0 || listener.uid == ::geteuid();
}

}  // namespace

std::unique_ptr<FileTaker> FileTaker::Connect(const std::string& socket_path) {
  absl::StatusOr<UniqueFd> socket = ConnectSocket(absl::StrCat(socket_path, kSuffix));
  if (!socket.ok() || !MayBeTheDaemon(socket->get())) return nullptr;
  const absl::StatusOr<Packet> greeting = ReceivePacket(socket->get());
  if (!greeting.ok() || !absl::StartsWith(greeting->bytes, kGreeting) ||
      greeting->bytes.size() != kGreeting.size() + kTicketBytes) {
    return nullptr;
  }
  ::setsockopt(socket->get(), SOL_SOCKET, SO_RCVTIMEO, &kFileWait, sizeof(kFileWait));
  return std::unique_ptr<FileTaker>(new FileTaker(*std::move(socket), greeting->bytes.substr(kGreeting.size())));
}

absl::StatusOr<int> FileTaker::File(uint32_t number) {
  while (true) {
    if (const auto found = files_.find(number); found != files_.end()) return found->second.get();
    CAIRN_ASSIGN_OR_RETURN(Packet packet, ReceivePacket(socket_.get()));
    struct stat info;
    if (packet.bytes.size() != kNumberBytes || !packet.file.valid() || ::fstat(packet.file.get(), &info) != 0 ||
        !S_ISREG(info.st_mode)) {
      return absl::FailedPreconditionError("the daemon's file socket: expected a number and a regular file, found something else");
    }
    uint32_t given = 0;
    for (size_t i = 0; i < kNumberBytes; ++i) given |= uint32_t{static_cast<uint8_t>(packet.bytes[i])} << (8 * i);
    files_[given] = std::move(packet.file);
  }
}

}  // namespace cairn
