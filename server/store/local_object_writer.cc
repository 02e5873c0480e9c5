#include "server/store/local_object_writer.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/fail_point.h"
#include "common/base/status_macros.h"
#include "common/io/direct_writer.h"
#include "common/io/io_buffer.h"
#include "server/store/io_vector.h"
#include "server/store/store_errno.h"

namespace cairn {
namespace {

// Write-back starts each time that so much has gathered, so that the fsync at the end finds little to do and
// dirty pages stay few.
constexpr uint64_t kWriteBackBytes = 32u << 20;

// Direct writing. Four writes under way at once, within reserved room, keep a disk busy whose requests take their
// time; three did not. As long as half of the memory is left for others an object gets as much again for what comes meanwhile.
constexpr size_t kDirectWriteBytes = 1u << 20;
constexpr size_t kDirectThreads = 4;
constexpr size_t kDirectBuffers = 4;
constexpr size_t kFewDirectBuffers = 2;

absl::Status KeyMeetsFolder(const ObjectFolders& objects, const std::string& key) {
  return absl::FailedPreconditionError(
      absl::StrCat("object \"", key, "\": ", objects.PathOf(key),
                   " is or lies below the place of another key; choose a key that is no folder of "
                   "another one and has none as its folder"));
}

// OK if nothing has the name of `key`.
//
// ALREADY_EXISTS is an answer on which the caller may build ("the bytes are stored"), and the one who sealed
// the object may be on the way to its own fsync: so the name is made durable before the answer is given.
absl::Status CheckKeyIsFree(const LocalStoreFolders& folders, const std::string& key) {
  struct stat info;
  if (::fstatat(folders.objects.fd(), key.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    if (errno == ENOTDIR) return KeyMeetsFolder(folders.objects, key);
    return StoreErrno(errno, "stat", folders.objects.PathOf(key));
  }
  if (S_ISDIR(info.st_mode)) return KeyMeetsFolder(folders.objects, key);
  if (folders.durable) CAIRN_RETURN_IF_ERROR(folders.objects.SyncParents(key));
  return absl::AlreadyExistsError(absl::StrCat("object \"", key, "\": ", folders.objects.PathOf(key),
                                               " exists already; objects are immutable"));
}

class LocalObjectWriter final : public ObjectWriter {
 public:
  LocalObjectWriter(std::shared_ptr<const LocalStoreFolders> folders, std::string key,
                    std::string scratch_name, UniqueFd fd, uint64_t size_hint)
      : folders_(std::move(folders)),
        key_(std::move(key)),
        scratch_name_(std::move(scratch_name)),
        fd_(std::move(fd)) {
    if (!folders_->direct_writes || !folders_->durable) return;
    ByteBudget& memory = *folders_->direct_memory;
    direct_memory_ = memory.TryAcquire(kDirectBuffers * IoBuffer::kBytes, /*leave=*/memory.limit() / 2);
    if (direct_memory_.bytes() == 0) direct_memory_ = memory.TryAcquire(kFewDirectBuffers * IoBuffer::kBytes);
    if (direct_memory_.bytes() == 0) return;
    const DirectWriterOptions options = {.buffers = direct_memory_.bytes() / IoBuffer::kBytes,
                                         .write_bytes = kDirectWriteBytes,
                                         .threads = kDirectThreads,
                                         .expected_end = size_hint,
                                         .pool = folders_->direct_buffers.get()};
    direct_ = std::make_unique<DirectWriter>(fd_.get(), 0, ScratchPath(), options);
  }

  ~LocalObjectWriter() override { Discard(); }

  absl::Status Append(absl::Span<const Buffer> pieces) override {
    CAIRN_RETURN_IF_ERROR(state_);
    state_ = Write(pieces);
    if (!state_.ok()) Discard();  // Gives the room back at once: the disk may be full.
    return state_;
  }

  uint64_t size() const override { return size_; }

  absl::Status Seal() override {
    CAIRN_RETURN_IF_ERROR(state_);
    const absl::Status sealed = Publish();
    state_ = sealed.ok()
                 ? absl::FailedPreconditionError(absl::StrCat("object \"", key_, "\": its writer is sealed"))
                 : sealed;
    Discard();
    return sealed;
  }

 private:
  absl::Status Write(absl::Span<const Buffer> pieces);
  absl::Status WriteVector(absl::Span<iovec> vector);
  absl::Status Publish();
  absl::Status Link();

  void EndDirectWriting() {
    direct_.reset();
    direct_memory_.Release();
  }

  // Removes the scratch file; what is sealed has a name of its own.
  void Discard() {
    if (!fd_.valid()) return;
    EndDirectWriting();
    ::unlinkat(folders_->scratch->fd(), scratch_name_.c_str(), 0);
    fd_ = UniqueFd();
  }

  std::string ScratchPath() const { return folders_->scratch->PathOf(scratch_name_); }

  const std::shared_ptr<const LocalStoreFolders> folders_;
  const std::string key_;
  const std::string scratch_name_;
  UniqueFd fd_;  // None once discarded.
  ByteBudget::Reservation direct_memory_;
  std::unique_ptr<DirectWriter> direct_;  // Ends before fd_ does. Null: through the page cache.
  uint64_t size_ = 0;
  uint64_t written_back_ = 0;
  absl::Status state_;  // Why there is nothing more to do; OK while there is.
};

absl::Status LocalObjectWriter::Write(absl::Span<const Buffer> pieces) {
  if (direct_ != nullptr) {
    for (const Buffer& piece : pieces) {
      CAIRN_RETURN_IF_ERROR(direct_->Append(piece.bytes()));
      size_ += piece.size();
    }
    return absl::OkStatus();
  }
  std::vector<iovec> vector;
  vector.reserve(std::min<size_t>(pieces.size(), IOV_MAX));
  for (const Buffer& piece : pieces) {
    if (piece.empty()) continue;
    vector.push_back({const_cast<char*>(piece.data()), piece.size()});
    if (vector.size() < IOV_MAX) continue;
    CAIRN_RETURN_IF_ERROR(WriteVector(absl::MakeSpan(vector)));
    vector.clear();
  }
  return WriteVector(absl::MakeSpan(vector));
}

absl::Status LocalObjectWriter::WriteVector(absl::Span<iovec> vector) {
  while (!vector.empty()) {
    const ssize_t written = ::writev(fd_.get(), vector.data(), static_cast<int>(vector.size()));
    if (written < 0) {
      if (errno == EINTR) continue;
      return StoreErrno(errno, absl::StrCat("write object \"", key_, "\" at byte ", size_, " to"),
                        ScratchPath());
    }
    size_ += static_cast<uint64_t>(written);
    vector = RemoveWritten(vector, static_cast<size_t>(written));
    if (folders_->durable && size_ - written_back_ >= kWriteBackBytes) {
      // A hint: what goes wrong here comes out of the fsync.
      ::sync_file_range(fd_.get(), static_cast<off_t>(written_back_),
                        static_cast<off_t>(size_ - written_back_), SYNC_FILE_RANGE_WRITE);
      written_back_ = size_;
    }
  }
  return absl::OkStatus();
}

absl::Status LocalObjectWriter::Publish() {
  if (direct_ != nullptr) {
    CAIRN_RETURN_IF_ERROR(direct_->Finish());
    EndDirectWriting();  // The next object has its memory while this one is made durable.
  }
  CAIRN_FAIL_POINT("local_store.before_sync");
  if (folders_->durable && ::fsync(fd_.get()) != 0) {
    return StoreErrno(errno, absl::StrCat("fsync object \"", key_, "\" in"), ScratchPath());
  }
  CAIRN_FAIL_POINT("local_store.before_link");
  CAIRN_RETURN_IF_ERROR(Link());
  CAIRN_FAIL_POINT("local_store.after_link");
  // Should this fail, the object stays visible: somebody may have built on it already. A second writer of the
  // key gets ALREADY_EXISTS only once the folders are durable.
  if (folders_->durable) CAIRN_RETURN_IF_ERROR(folders_->objects.SyncParents(key_));
  return absl::OkStatus();
}

absl::Status LocalObjectWriter::Link() {
  // A Delete() may remove a folder between the making and the use of it, once for each object deleted in it.
  constexpr int kAttempts = 1000;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    // link() refuses an existing name, which rename() would replace silently.
    if (::linkat(folders_->scratch->fd(), scratch_name_.c_str(), folders_->objects.fd(), key_.c_str(), 0) ==
        0) {
      return absl::OkStatus();
    }
    const int error = errno;
    if (error == EXDEV) {
      return absl::FailedPreconditionError(absl::StrCat(
          "object \"", key_, "\": ", folders_->objects.PathOf(key_), " lies on another file system than ",
          ScratchPath(), "; keep the store on one file system"));
    }
    if (error != ENOENT && error != EEXIST && error != ENOTDIR) {
      return StoreErrno(error, absl::StrCat("link ", ScratchPath(), " to"), folders_->objects.PathOf(key_));
    }
    CAIRN_RETURN_IF_ERROR(CheckKeyIsFree(*folders_, key_));
    struct stat info;
    if (::fstat(fd_.get(), &info) == 0 && info.st_nlink == 0)
      return StoreErrno(ENOENT, "link", ScratchPath());
    CAIRN_RETURN_IF_ERROR(folders_->objects.MakeParents(key_));
  }
  return absl::UnavailableError(absl::StrCat("object \"", key_, "\": its folder was removed ", kAttempts,
                                             " times while it was made; try again"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ObjectWriter>> CreateLocalObjectWriter(
    std::shared_ptr<const LocalStoreFolders> folders, std::string key, uint64_t size_hint) {
  CAIRN_RETURN_IF_ERROR(CheckKeyIsFree(*folders, key));
  std::string name = folders->scratch->NextName();
  // A sealed object is read-only for everybody; the descriptor that made it may write nevertheless.
  UniqueFd fd(::openat(folders->scratch->fd(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0440));
  if (!fd.valid()) return StoreErrno(errno, "create", folders->scratch->PathOf(name));
  return std::make_unique<LocalObjectWriter>(std::move(folders), std::move(key), std::move(name),
                                             std::move(fd), size_hint);
}

}  // namespace cairn
