#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/io/unique_fd.h"

namespace cairn {

// A process that is connected to the file socket. Thread-safe.
class FilePeer {
 public:
  explicit FilePeer(UniqueFd socket) : socket_(std::move(socket)) {}

  // Hands over a file that is open for reading, as `number`. Never waits. False if the peer is gone or has too many that it
  // did not take yet: its bytes have to be sent, then.
  bool Give(uint32_t number, int file);

 private:
  friend class FileGiver;
  const UniqueFd socket_;
};

// The daemon's end of the file socket, at the path of its Unix socket and ".files". Serves processes of the daemon's own
// user, and root: they can open its files by themselves, if they find them. Others are let go at once. Thread-safe.
class FileGiver {
 public:
  // `socket_path` is that of the daemon's own socket, which this process holds: what lies at the path beside it is left from a
  // daemon that was killed, and is replaced if it is a socket. FAILED_PRECONDITION if it is none.
  static absl::StatusOr<std::unique_ptr<FileGiver>> Listen(const std::string& socket_path, mode_t mode);
  ~FileGiver();
  FileGiver(const FileGiver&) = delete;
  FileGiver& operator=(const FileGiver&) = delete;

  // Who was given that ticket; null if nobody was, or he is gone.
  std::shared_ptr<FilePeer> Find(absl::string_view ticket) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  FileGiver(std::string path, ino_t inode, UniqueFd listener, UniqueFd stop_reader, UniqueFd stop_writer);
  void Run();
  // False if there is no descriptor for one more.
  bool Accept() ABSL_LOCKS_EXCLUDED(mu_);

  const std::string path_;
  const ino_t inode_;  // Of the socket there.
  const UniqueFd listener_;
  const UniqueFd stop_reader_, stop_writer_;  // A pipe; its end stops the thread.
  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, std::shared_ptr<FilePeer>> peers_ ABSL_GUARDED_BY(mu_);  // By ticket.
  std::thread thread_;
};

}  // namespace cairn
