#include "common/handover/file_giver.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/handover/handover_socket.h"

namespace cairn {
namespace {

using namespace handover_internal;

constexpr int kBacklog = 64;
constexpr int kNoDescriptorsPauseMillis = 100;
// Each has a descriptor here; a client has one for each of its loads.
constexpr size_t kMaxPeers = 256;

bool MayHaveFiles(int socket) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid();
}

}  // namespace

bool FilePeer::Give(uint32_t number, int file) {
  char bytes[kNumberBytes];
  for (size_t i = 0; i < kNumberBytes; ++i) bytes[i] = static_cast<char>(number >> (8 * i));
  return SendPacket(socket_.get(), absl::string_view(bytes, sizeof(bytes)), file);
}

absl::StatusOr<std::unique_ptr<FileGiver>> FileGiver::Listen(const std::string& socket_path, mode_t mode) {
  const std::string path = absl::StrCat(socket_path, kSuffix);
  struct stat info;
  if (::lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) {
      return absl::FailedPreconditionError(absl::StrCat(path, ": expected a socket or nothing, found something else; remove it, or choose another unix_socket"));
    }
    ::unlink(path.c_str());
  }
  // Not open to anybody before its mode is set.
  const mode_t mask = ::umask(0177);
  absl::StatusOr<UniqueFd> listener = BindSocket(path);
  ::umask(mask);
  CAIRN_RETURN_IF_ERROR(listener.status());
  if (::chmod(path.c_str(), mode) != 0 || ::listen(listener->get(), kBacklog) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("listen at ", path));
  }
  if (::lstat(path.c_str(), &info) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("look at ", path));
  int stop[2];
  if (::pipe2(stop, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "make a pipe");
  return std::unique_ptr<FileGiver>(new FileGiver(path, info.st_ino, *std::move(listener), UniqueFd(stop[0]), UniqueFd(stop[1])));
}

FileGiver::FileGiver(std::string path, ino_t inode, UniqueFd listener, UniqueFd stop_reader, UniqueFd stop_writer)
    : path_(std::move(path)),
      inode_(inode),
      listener_(std::move(listener)),
      stop_reader_(std::move(stop_reader)),
      stop_writer_(std::move(stop_writer)),
      thread_([this] { Run(); }) {}

FileGiver::~FileGiver() {
  // Another daemon may have begun while this one drained.
  struct stat info;
  if (::lstat(path_.c_str(), &info) == 0 && info.st_ino == inode_) ::unlink(path_.c_str());
  const char stop = 0;
  while (::write(stop_writer_.get(), &stop, 1) < 0 && errno == EINTR) {
  }
  thread_.join();
}

std::shared_ptr<FilePeer> FileGiver::Find(absl::string_view ticket) const {
  absl::MutexLock lock(&mu_);
  const auto found = peers_.find(ticket);
  return found == peers_.end() ? nullptr : found->second;
}

bool FileGiver::Accept() {
  UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
  std::string ticket(kTicketBytes, '\0');
  if (!MayHaveFiles(socket.get()) || ::getrandom(ticket.data(), ticket.size(), 0) != static_cast<ssize_t>(ticket.size())) return true;
  auto peer = std::make_shared<FilePeer>(std::move(socket));
  {
    absl::MutexLock lock(&mu_);
    if (peers_.size() >= kMaxPeers) return true;
    peers_[ticket] = peer;
  }
  // A peer that does not get it hangs up, which Run() sees.
  SendPacket(peer->socket_.get(), absl::StrCat(kGreeting, ticket), -1);
  return true;
}

void FileGiver::Run() {
  bool accepts = true;
  while (true) {
    // Whoever waits at the listener stays there while nobody can be let in: looking at once would keep a processor busy.
    std::vector<pollfd> waits = {{stop_reader_.get(), POLLIN, 0}, {accepts ? listener_.get() : -1, POLLIN, 0}};
    std::vector<std::string> tickets;
    {
      absl::MutexLock lock(&mu_);
      for (const auto& [ticket, peer] : peers_) {
        tickets.push_back(ticket);
        waits.push_back({peer->socket_.get(), POLLIN | POLLRDHUP, 0});
      }
    }
    if (::poll(waits.data(), waits.size(), accepts ? -1 : kNoDescriptorsPauseMillis) < 0 && errno != EINTR) return;
    if (waits[0].revents != 0) return;
    // Peers have nothing to say: whatever comes from one is its end.
    for (size_t i = 0; i < tickets.size(); ++i) {
      if (waits[i + 2].revents == 0) continue;
      absl::MutexLock lock(&mu_);
      peers_.erase(tickets[i]);
    }
    accepts = waits[1].revents == 0 || Accept();
  }
}

}  // namespace cairn
