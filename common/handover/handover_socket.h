#pragma once

#include <sys/time.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/io/unique_fd.h"

namespace cairn::handover_internal {

// A packet socket (SOCK_SEQPACKET) beside the daemon's. The daemon sends, and nothing is ever sent to it:
// first a greeting, kGreeting and a ticket; then for each file a packet of its number (4 bytes, little-endian) with the
// descriptor.
inline constexpr absl::string_view kSuffix = ".files";
inline constexpr absl::string_view kGreeting = "CAIRNFD1";
inline constexpr size_t kTicketBytes = 16;
inline constexpr size_t kNumberBytes = 4;

// A socket that is bound to, or connected to, `path`. INVALID_ARGUMENT for a path that is too long for one.
absl::StatusOr<UniqueFd> BindSocket(const std::string& path);
// Waits no longer than kGreetingWait for somebody who listens and lets nobody in, and for what he sends then.
absl::StatusOr<UniqueFd> ConnectSocket(const std::string& path);
inline constexpr timeval kGreetingWait = {2, 0};

// One packet with a descriptor, if `file` is one. False if the peer is gone, or takes nothing now.
bool SendPacket(int socket, absl::string_view bytes, int file);

struct Packet {
  std::string bytes;
  UniqueFd file;
};
// Waits as long as the socket's own limit says. UNAVAILABLE if nothing comes.
absl::StatusOr<Packet> ReceivePacket(int socket);

}  // namespace cairn::handover_internal
