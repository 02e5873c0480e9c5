#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "common/base/cancellation.h"
#include "common/base/clock.h"

namespace cairn::client {

// TLS (1.2 or newer) towards a daemon that has a certificate. PEM texts, not file names. For TCP only: a Unix socket is
// always plain.
struct TlsOptions {
  std::string root_certificates;   // Of the authorities that may have issued the daemon's. Empty: those of the system.
  std::string client_certificate;  // For a daemon that wants one (mutual TLS), its chain behind it; with its key.
  std::string client_key;          // Without a passphrase.
  // The name that the daemon's certificate must be for, if it is not that of the target: for tunnels and tests.
  std::string server_name;
};

struct Options {
  // How long a call that finds nobody (UNAVAILABLE) is tried again, counted from the first failure after
  // something worked. Zero: not at all.
  absl::Duration retry_for = absl::Minutes(2);
  absl::Duration initial_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(5);

  // For one attempt of a unary call. FinishWriter, CommitSave and DeleteCheckpoint may have to wait for much work and
  // take the second.
  absl::Duration call_timeout = absl::Seconds(60);
  absl::Duration long_call_timeout = absl::Minutes(15);

  // Payload of one message. Rounded down to fit the server's extents and limit.
  uint32_t chunk_bytes = 1 << 20;
  // Bytes of one PutStream on their way into the network, and of one GetStream received but not yet read. HTTP/2 has
  // room for 64 KiB and the message that comes next: over long distances one stream moves little more than a chunk per
  // round trip, about 100 MB/s at 10 ms with chunks of 1 MiB; several streams move as much more.
  uint64_t window_bytes = 8 << 20;
  // Over a Unix socket to a daemon of the same user: read loads from files that it hands over, instead of having the bytes
  // sent. They are compared with digests, as those on the wire are with checksums.
  bool take_files = true;
  // Bytes pushed into a PutStream (not those that it pulls) that the stream keeps a reference to until they are
  // durable, so that it can send them again. At least four extents. Below the size of the server's objects (64 MiB
  // by default) the server has to seal them early.
  uint64_t max_retained_bytes = 64 << 20;
  // Bytes of one PutStream that were sent but are not yet durable: what is read and sent again after a lost
  // connection, at the worst.
  uint64_t max_unacknowledged_bytes = uint64_t{512} << 20;

  // Calls stop with CANCELLED within a moment of its being raised.
  std::optional<Cancellation> cancellation;
  // For those who cannot raise a flag, but have to look: asked by the thread that is in a call, several times a second
  // while it waits and before each piece of bytes, without any lock held. True ends that call, and the stream that it
  // is of, with CANCELLED; it must stay true until the call has returned.
  std::function<bool()> interrupted;
  std::optional<TlsOptions> tls;  // Absent: plain text.
  std::string bearer_token;       // Sent as "authorization: Bearer ..." if set. With TLS or a Unix socket only.
  std::string user_agent;         // In front of the library's own.

  // For tests; must outlive the connection.
  const Clock* clock = &Clock::Real();
};

}  // namespace cairn::client
