#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace cairn::testing {

// Stands on a Unix socket between a client and a daemon on another one: counts every byte that goes over the wire, headers
// and frames of HTTP/2 included, and breaks connections where a test says so.
class CountingProxy {
 public:
  // `listen` and `target` are paths of sockets.
  CountingProxy(std::string listen, std::string target);
  ~CountingProxy();

  std::string target() const { return "unix:" + listen_; }
  uint64_t to_daemon() const { return to_daemon_; }
  uint64_t to_client() const { return to_client_; }
  int connections() const { return connections_; }

  // Once so many more bytes have gone that way, the connection that they went over ends, and the next goes on.
  void BreakAfterToDaemon(int64_t bytes) { break_to_daemon_ = bytes; }
  void BreakAfterToClient(int64_t bytes) { break_to_client_ = bytes; }

 private:
  void Accept();
  void Serve(int client);

  const std::string listen_;
  const std::string target_;
  int listener_ = -1;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> to_daemon_{0};
  std::atomic<uint64_t> to_client_{0};
  std::atomic<int64_t> break_to_daemon_{-1};
  std::atomic<int64_t> break_to_client_{-1};
  std::atomic<int> connections_{0};
  absl::Mutex mu_;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mu_);
  std::thread acceptor_;
};

}  // namespace cairn::testing
