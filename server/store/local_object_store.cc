#include "server/store/local_object_store.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/io/posix_file.h"
#include "server/store/first_reads.h"
#include "server/store/local_object_list.h"
#include "server/store/local_object_writer.h"
#include "server/store/object_file_read.h"
#include "server/store/object_folders.h"
#include "server/store/open_file_cache.h"
#include "server/store/scratch_folder.h"
#include "server/store/store_errno.h"

namespace cairn {
namespace {

constexpr size_t kOpenFiles = 64;

absl::Status NotFound(absl::string_view key, absl::string_view path) {
  return absl::NotFoundError(absl::StrCat("object \"", key, "\": not in the store (", path, ")"));
}

class LocalObjectStore final : public ObjectStore {
 public:
  LocalObjectStore(std::string root, std::string scratch_parent, LocalStoreFolders folders)
      : root_(std::move(root)),
        scratch_parent_(std::move(scratch_parent)),
        folders_(std::make_shared<const LocalStoreFolders>(std::move(folders))) {}

  absl::StatusOr<std::unique_ptr<ObjectWriter>> Create(absl::string_view key, uint64_t size_hint) override {
    CAIRN_RETURN_IF_ERROR(CheckObjectKey(key));
    return CreateLocalObjectWriter(folders_, std::string(key), size_hint);
  }

  absl::Status Read(absl::string_view key, uint64_t offset, absl::Span<char> dst) override {
    return ReadInPieces(key, offset, dst, [](absl::string_view) {});
  }

  absl::Status ReadInPieces(absl::string_view key, uint64_t offset, absl::Span<char> dst,
                            absl::FunctionRef<void(absl::string_view)> seen) override {
    CAIRN_RETURN_IF_ERROR(CheckObjectKey(key));
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<const OpenFile> file, Open(key));
    if (offset > file->size || dst.size() > file->size - offset) {
      return absl::OutOfRangeError(absl::StrCat("object \"", key, "\": ", dst.size(), " bytes from ", offset,
                                                " leave the object of ", file->size, " (", PathOf(key), ")"));
    }
    const bool is_first = file->direct.valid() && first_reads_.NoteRead(key, offset, offset + dst.size());
    const ssize_t read = ReadObjectFile(*file, offset, dst, is_first, seen);
    if (read < 0) {
      return StoreErrno(static_cast<int>(-read), absl::StrCat("read object \"", key, "\" at byte ", offset, " from"),
                        PathOf(key));
    }
    if (static_cast<size_t>(read) < dst.size()) {
      return absl::DataLossError(absl::StrCat("object \"", key, "\": ", PathOf(key), " ends at or before byte ",
                                              offset + static_cast<uint64_t>(read), ", expected ", file->size,
                                              ": it was truncated by somebody else"));
    }
    return absl::OkStatus();
  }

  bool WillRead(absl::string_view key, uint64_t offset, uint64_t length) override {
    if (!CheckObjectKey(key).ok()) return false;
    const absl::StatusOr<std::shared_ptr<const OpenFile>> file = Open(key);
    if (!file.ok() || offset >= (*file)->size) return false;
    // Through the page cache the system reads ahead by itself, best for one reader that goes from front to back; and
    // what POSIX_FADV_WILLNEED brings lies there in single pages, dearer to read ever after.
    length = std::min(length, (*file)->size - offset);
    return IsReadDirectly(**file, length) && first_reads_.IsFirst(key, offset) && !IsMostlyCached((*file)->fd.get(), offset, length);
  }

  absl::StatusOr<UniqueFd> OpenAsFile(absl::string_view key) override {
    CAIRN_RETURN_IF_ERROR(CheckObjectKey(key));
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<const OpenFile> file, Open(key));
    // A file description of its own: what its owner does to it shall not be felt here.
    UniqueFd fd(::open(absl::StrCat("/proc/self/fd/", file->fd.get()).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return StoreErrno(errno, "open", PathOf(key));
    return fd;
  }

  absl::StatusOr<uint64_t> Size(absl::string_view key) override {
    CAIRN_RETURN_IF_ERROR(CheckObjectKey(key));
    struct stat info;
    if (::fstatat(folders_->objects.fd(), std::string(key).c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) return NotFound(key, PathOf(key));
      return StoreErrno(errno, "stat", PathOf(key));
    }
    if (!S_ISREG(info.st_mode)) return NotFound(key, PathOf(key));
    return static_cast<uint64_t>(info.st_size);
  }

  absl::Status Delete(absl::string_view key) override {
    CAIRN_RETURN_IF_ERROR(CheckObjectKey(key));
    const int failed = ::unlinkat(folders_->objects.fd(), std::string(key).c_str(), 0);
    // A folder of other keys is no object.
    if (failed && errno != ENOENT && errno != ENOTDIR && errno != EISDIR) {
      return StoreErrno(errno, "remove", PathOf(key));
    }
    open_files_.Erase(key);
    first_reads_.Forget(key);
    folders_->objects.RemoveEmptyParents(key);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix, absl::string_view start_after,
                                               size_t limit) override {
    return ListLocalObjects(folders_->objects, prefix, start_after, limit);
  }

  absl::StatusOr<uint64_t> RemoveLeftovers() override { return RemoveDeadScratchFolders(scratch_parent_); }

  absl::StatusOr<Space> GetSpace() override {
    struct statvfs info;
    if (::fstatvfs(folders_->objects.fd(), &info) != 0)
      return StoreErrno(errno, "ask for the free space of", root_);
    // What an ordinary user may fill, without the reserve of the superuser.
    return Space{static_cast<uint64_t>(info.f_bavail) * info.f_frsize,
                 static_cast<uint64_t>(info.f_blocks) * info.f_frsize};
  }

  std::string Describe() const override { return root_; }

 private:
  std::string PathOf(absl::string_view key) const { return folders_->objects.PathOf(key); }

  absl::StatusOr<std::shared_ptr<const OpenFile>> Open(absl::string_view key) {
    OpenFileCache::Found found = open_files_.Find(key);
    struct stat info;
    if (found.file != nullptr) {
      if (::fstat(found.file->fd.get(), &info) == 0 && info.st_nlink > 0) return std::move(found.file);
      // Another process deleted the object; the key may have a new one.
      open_files_.Erase(key);
      found = open_files_.Find(key);
    }
    UniqueFd fd(
        ::openat(folders_->objects.fd(), std::string(key).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid()) {
      // ELOOP: a symbolic link, which is no object of ours.
      if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return NotFound(key, PathOf(key));
      return StoreErrno(errno, "open", PathOf(key));
    }
    if (::fstat(fd.get(), &info) != 0) return StoreErrno(errno, "stat", PathOf(key));
    if (!S_ISREG(info.st_mode)) return NotFound(key, PathOf(key));
    UniqueFd direct;
    if (folders_->direct_reads && static_cast<uint64_t>(info.st_size) >= kMinDirectBytes && CanTellWhatIsCached(fd.get())) {
      // Of this very file, whatever its name may mean by now.
      direct = UniqueFd(::open(absl::StrCat("/proc/self/fd/", fd.get()).c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    }
    auto file = std::make_shared<const OpenFile>(
        OpenFile{std::move(fd), static_cast<uint64_t>(info.st_size), std::move(direct)});
    open_files_.Insert(key, file, found.epoch);
    return file;
  }

  const std::string root_;
  const std::string scratch_parent_;
  const std::shared_ptr<const LocalStoreFolders> folders_;
  OpenFileCache open_files_{kOpenFiles};
  FirstReads first_reads_;
};

// Files of these are the page cache.
bool LiesInMemory(int fd) {
  struct statfs info;
  return ::fstatfs(fd, &info) == 0 && (info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC);
}

absl::Status CheckOneFileSystem(int objects, int scratch, const std::string& root) {
  struct stat of_objects;
  struct stat of_scratch;
  if (::fstat(objects, &of_objects) != 0 || ::fstat(scratch, &of_scratch) != 0)
    return StoreErrno(errno, "stat", root);
  if (of_objects.st_dev == of_scratch.st_dev) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      root,
      ": objects/ and tmp/ lie on different file systems, expected one; mount the whole directory instead"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ObjectStore>> OpenLocalObjectStore(LocalObjectStoreOptions options) {
  if (options.root.empty()) return absl::InvalidArgumentError("local object store: no root directory given");
  std::error_code failed;
  // Absolute, so that messages help and a later chdir() does no harm.
  const std::filesystem::path absolute = std::filesystem::absolute(options.root, failed);
  if (failed) return StoreErrno(failed.value(), "find", options.root);
  std::string root = absolute.lexically_normal().string();
  if (root.size() > 1 && root.back() == '/') root.pop_back();

  const std::string parent = std::filesystem::path(root).parent_path().string();
  if (::access(parent.c_str(), F_OK) != 0 && errno == ENOENT) {
    return absl::NotFoundError(
        absl::StrCat("local object store ", root, ": ", parent, " is missing; make it first"));
  }
  CAIRN_RETURN_IF_ERROR(OpenOrMakeFolder(root).status());
  std::string scratch_parent = absl::StrCat(root, "/tmp");
  CAIRN_RETURN_IF_ERROR(OpenOrMakeFolder(scratch_parent).status());
  CAIRN_ASSIGN_OR_RETURN(ObjectFolders objects, ObjectFolders::Open(absl::StrCat(root, "/objects")));
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<const ScratchFolder> scratch, ScratchFolder::Make(scratch_parent));
  CAIRN_RETURN_IF_ERROR(CheckOneFileSystem(objects.fd(), scratch->fd(), root));
  if (options.durable) {
    CAIRN_RETURN_IF_ERROR(SyncDirectory(root));
    CAIRN_RETURN_IF_ERROR(SyncDirectory(parent));
  }
  const bool on_disk = !LiesInMemory(objects.fd());
  return std::make_unique<LocalObjectStore>(
      std::move(root), std::move(scratch_parent),
      LocalStoreFolders{std::move(objects), std::move(scratch), options.durable, options.direct_reads && on_disk,
                        options.direct_write_bytes > 0 && on_disk,
                        std::make_unique<ByteBudget>(options.direct_write_bytes)});
}

}  // namespace cairn
