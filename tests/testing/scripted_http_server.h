#pragma once

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace cairn::testing {

// Answers the requests over HTTP, in their order, with the bytes that a test wrote down, whatever was asked for; each on a
// connection of its own. A request that nothing is left for gets no answer, and its connection stays open until the client
// leaves it.
class ScriptedHttpServer {
 public:
  explicit ScriptedHttpServer(std::vector<std::string> answers);
  ~ScriptedHttpServer();

  uint16_t port() const { return port_; }
  // "http://127.0.0.1:PORT" and `path`.
  std::string Url(const std::string& path) const;
  // Heads of the requests until now.
  std::vector<std::string> requests() const ABSL_LOCKS_EXCLUDED(mu_);
  // Before the first request: answers often name the server itself.
  void set_answers(std::vector<std::string> answers) ABSL_LOCKS_EXCLUDED(mu_);
  // Waits until a client has left a request without an answer.
  void AwaitLeft() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run();
  void Serve(int connection);

  int listener_ = -1;
  uint16_t port_ = 0;
  mutable absl::Mutex mu_;
  std::vector<std::string> answers_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> requests_ ABSL_GUARDED_BY(mu_);
  bool left_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> connections_;  // The acceptor's, and after it the destructor's.
  std::thread acceptor_;
};

}  // namespace cairn::testing
