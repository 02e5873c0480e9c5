#include "tests/benchmark/programs/sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tests/benchmark/programs/fail.h"

namespace cairn::benchmark {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
};

Address Parse(const std::string& text) {
  Address address;
  if (text.rfind("unix:", 0) == 0) {
    auto* path = reinterpret_cast<sockaddr_un*>(&address.storage);
    path->sun_family = AF_UNIX;
    if (text.size() - 5 >= sizeof(path->sun_path)) Fail(text + ": the path of the socket is too long");
    std::memcpy(path->sun_path, text.c_str() + 5, text.size() - 4);
    address.size = sizeof(sockaddr_un);
    return address;
  }
  const size_t colon = text.rfind(':');
  auto* host = reinterpret_cast<sockaddr_in*>(&address.storage);
  host->sin_family = AF_INET;
  if (colon == std::string::npos || ::inet_pton(AF_INET, text.substr(0, colon).c_str(), &host->sin_addr) != 1) {
    Fail(text + " is no address; write IPV4:PORT or unix:/PATH");
  }
  host->sin_port = htons(static_cast<uint16_t>(std::atoi(text.c_str() + colon + 1)));
  address.size = sizeof(sockaddr_in);
  return address;
}

int NewSocket(int family) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) FailErrno("cannot make a socket");
  return fd;
}

void NoDelay(int fd, int family) {
  const int on = 1;
  if (family == AF_INET) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

}  // namespace

int Listen(std::string* address) {
  const Address parsed = Parse(*address);
  const int fd = NewSocket(parsed.family());
  if (::bind(fd, parsed.get(), parsed.size) != 0 || ::listen(fd, 128) != 0) FailErrno("cannot listen on " + *address);
  if (parsed.family() == AF_INET) {
    sockaddr_in bound{};
    socklen_t size = sizeof(bound);
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
    *address = address->substr(0, address->rfind(':') + 1) + std::to_string(ntohs(bound.sin_port));
  }
  return fd;
}

int Accept(int listening) {
  sockaddr_storage peer{};
  socklen_t size = sizeof(peer);
  const int fd = ::accept4(listening, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC);
  if (fd < 0) FailErrno("cannot accept a connection");
  NoDelay(fd, peer.ss_family);
  return fd;
}

int Connect(const std::string& address) {
  const Address parsed = Parse(address);
  const int fd = NewSocket(parsed.family());
  if (::connect(fd, parsed.get(), parsed.size) != 0) FailErrno("cannot connect to " + address);
  NoDelay(fd, parsed.family());
  return fd;
}

void SendAll(int socket, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t sent = ::send(socket, data, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) FailErrno("cannot send");
    data += sent;
    size -= static_cast<size_t>(sent);
  }
}

size_t Receive(int socket, char* data, size_t size) {
  while (true) {
    const ssize_t got = ::recv(socket, data, size, 0);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) FailErrno("cannot receive");
  }
}

void ReceiveAll(int socket, char* data, size_t size) {
  while (size > 0) {
    const size_t got = Receive(socket, data, size);
    if (got == 0) Fail("the other side closed the connection too early");
    data += got;
    size -= got;
  }
}

}  // namespace cairn::benchmark
