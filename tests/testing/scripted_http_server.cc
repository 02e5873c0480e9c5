#include "tests/testing/scripted_http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace cairn::testing {

ScriptedHttpServer::ScriptedHttpServer(std::vector<std::string> answers) : answers_(std::move(answers)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  const bool listens = ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0 && ::listen(listener_, 64) == 0 &&
                       ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  if (!listens) std::abort();
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Run(); });
}

ScriptedHttpServer::~ScriptedHttpServer() {
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  for (std::thread& connection : connections_) connection.join();
  ::close(listener_);
}

std::string ScriptedHttpServer::Url(const std::string& path) const { return absl::StrCat("http://127.0.0.1:", port_, path); }

std::vector<std::string> ScriptedHttpServer::requests() const {
  absl::MutexLock lock(&mu_);
  return requests_;
}

void ScriptedHttpServer::set_answers(std::vector<std::string> answers) {
  absl::MutexLock lock(&mu_);
  answers_ = std::move(answers);
}

void ScriptedHttpServer::AwaitLeft() const {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(&left_));
}

void ScriptedHttpServer::Run() {
  while (true) {
    const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) return;
    connections_.emplace_back([this, connection] { Serve(connection); });
  }
}

void ScriptedHttpServer::Serve(int connection) {
  std::string head;
  char bytes[4096];
  ssize_t got = 0;
  while (!absl::StrContains(head, "\r\n\r\n") && (got = ::recv(connection, bytes, sizeof(bytes), 0)) > 0) head.append(bytes, static_cast<size_t>(got));
  std::string answer;
  {
    absl::MutexLock lock(&mu_);
    if (requests_.size() < answers_.size()) answer = answers_[requests_.size()];
    requests_.push_back(head);
  }
  for (size_t sent = 0; sent < answer.size();) {
    const ssize_t count = ::send(connection, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) break;
    sent += static_cast<size_t>(count);
  }
  if (answer.empty()) {
    while (::recv(connection, bytes, sizeof(bytes), 0) > 0) {
    }
    absl::MutexLock lock(&mu_);
    left_ = true;
  }
  ::close(connection);
}

}  // namespace cairn::testing
