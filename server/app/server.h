#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/app/options.h"

namespace cairn {

// A running daemon: data directory, store, registry, engine, pools and gRPC server, started and stopped in order.
// Start and Stop in one thread. The process's log must have been set up.
class Server {
 public:
  // Opens everything and begins to serve. FAILED_PRECONDITION if another daemon has the data directory or it is of a
  // newer version; UNAVAILABLE, naming the address, if it cannot listen there; what TlsFiles::Load() gives for
  // certificates that cannot be used.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const DaemonOptions& options);

  virtual ~Server() = default;

  // Where it listens, with the real ports: "localhost:7710", "unix:/run/cairn/cairnd.sock".
  virtual const std::vector<std::string>& addresses() const = 0;

  // Health says NOT_SERVING, new calls are refused, running ones may go on for so long; then everything is closed.
  virtual void Stop(absl::Duration drain) = 0;
};

}  // namespace cairn
