#include "tests/testing/counting_proxy.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <utility>

namespace cairn::testing {
namespace {

constexpr int kNapMilliseconds = 50;  // After which a thread looks whether it shall stop.

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) std::abort();
  path.copy(address.sun_path, path.size());
  return address;
}

bool SendAll(int fd, const char* bytes, ssize_t size) {
  while (size > 0) {
    const ssize_t sent = ::send(fd, bytes, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes += sent;
    size -= sent;
  }
  return true;
}

// Moves what is there; false at the end of the connection, or where it is to break.
bool Move(int from, int to, std::atomic<uint64_t>* count, std::atomic<int64_t>* break_after) {
  std::array<char, 64 << 10> block;
  const ssize_t got = ::recv(from, block.data(), block.size(), 0);
  if (got <= 0) return false;
  *count += got;
  if (*break_after >= 0) {
    *break_after -= got;
    if (*break_after <= 0) {
      *break_after = -1;
      return false;
    }
  }
  return SendAll(to, block.data(), got);
}

}  // namespace

CountingProxy::CountingProxy(std::string listen, std::string target) : listen_(std::move(listen)), target_(std::move(target)) {
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = AddressOf(listen_);
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 || ::listen(listener_, 16) != 0) std::abort();
  acceptor_ = std::thread([this] { Accept(); });
}

CountingProxy::~CountingProxy() {
  stop_ = true;
  acceptor_.join();
  std::vector<std::thread> threads;
  {
    absl::MutexLock lock(&mu_);
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
  ::close(listener_);
}

void CountingProxy::Accept() {
  while (!stop_) {
    pollfd wait = {listener_, POLLIN, 0};
    if (::poll(&wait, 1, kNapMilliseconds) <= 0) continue;
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    ++connections_;
    absl::MutexLock lock(&mu_);
    threads_.emplace_back([this, client] { Serve(client); });
  }
}

void CountingProxy::Serve(int client) {
  const int daemon = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = AddressOf(target_);
  bool open = ::connect(daemon, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  while (open && !stop_) {
    std::array<pollfd, 2> wait = {{{client, POLLIN, 0}, {daemon, POLLIN, 0}}};
    if (::poll(wait.data(), wait.size(), kNapMilliseconds) <= 0) continue;
    if (wait[0].revents != 0) open = Move(client, daemon, &to_daemon_, &break_to_daemon_);
    if (open && wait[1].revents != 0) open = Move(daemon, client, &to_client_, &break_to_client_);
  }
  ::close(client);
  ::close(daemon);
}

}  // namespace cairn::testing
