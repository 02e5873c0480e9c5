#include "common/handover/handover_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace cairn::handover_internal {
namespace {

constexpr size_t kMaxPacketBytes = 64;

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": longer than the ", sizeof(address.sun_path) - 1, " bytes that a socket's path may have"));
  }
  std::copy(path.begin(), path.end(), address.sun_path);
  return address;
}

absl::StatusOr<UniqueFd> MakeSocket() {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return absl::ErrnoToStatus(errno, "make a packet socket");
  return socket;
}

}  // namespace

absl::StatusOr<UniqueFd> BindSocket(const std::string& path) {
  CAIRN_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  CAIRN_ASSIGN_OR_RETURN(UniqueFd socket, MakeSocket());
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("bind a socket to ", path));
  }
  return socket;
}

absl::StatusOr<UniqueFd> ConnectSocket(const std::string& path) {
  CAIRN_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  CAIRN_ASSIGN_OR_RETURN(UniqueFd socket, MakeSocket());
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kGreetingWait, sizeof(kGreetingWait));  // Of connect().
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kGreetingWait, sizeof(kGreetingWait));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("connect to ", path));
  }
  return socket;
}

bool SendPacket(int socket, absl::string_view bytes, int file) {
  iovec data = {const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (file >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &file, sizeof(int));
  }
  while (true) {
    const ssize_t sent = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<size_t>(sent) == bytes.size();
    if (errno != EINTR) return false;
  }
}

absl::StatusOr<Packet> ReceivePacket(int socket) {
  char bytes[kMaxPacketBytes];
  iovec data = {bytes, sizeof(bytes)};
  // Room for more than one, so that none that somebody adds is left open unseen.
  alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))];
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t received;
  do {
    received = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return absl::UnavailableError(absl::StrCat("the daemon's file socket: ", std::strerror(errno)));
  Packet packet;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int file;
      std::memcpy(&file, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      packet.file = UniqueFd(file);  // The last one stays; the others are closed.
    }
  }
  if (received == 0) return absl::UnavailableError("the daemon's file socket was closed");
  packet.bytes.assign(bytes, static_cast<size_t>(received));
  return packet;
}

}  // namespace cairn::handover_internal
