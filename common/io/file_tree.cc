#include "common/io/file_tree.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/io/file_name.h"
#include "common/io/memory_io.h"
#include "common/io/posix_file.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr absl::string_view kTemporaryMark = ".cairn-tmp-";

absl::StatusOr<std::vector<std::string>> ListRegularFiles(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;  // A dangling link is no regular file.
    if (it->is_regular_file(ignored)) names.push_back(it->path().filename().string());
  }
  if (error) return ErrnoStatus(error.value(), "list", folder);
  std::sort(names.begin(), names.end());
  return names;
}

class LocalSourceTree final : public SourceTree {
 public:
  LocalSourceTree(std::string path, bool is_directory, SourceTreeOptions options)
      : path_(std::move(path)), is_directory_(is_directory), options_(std::move(options)) {}

  const std::string& name() const override { return path_; }
  bool is_directory() const override { return is_directory_; }

  absl::StatusOr<std::vector<std::string>> List() const override {
    if (!is_directory_) return std::vector<std::string>{""};
    return ListRegularFiles(path_);
  }

  absl::StatusOr<std::unique_ptr<ByteSource>> Open(const std::string& name) const override {
    if (!is_directory_) {
      if (name.empty()) return OpenFileSource(path_, {.confined_to = options_.confined_to});
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": is one file, not a folder with \"", name, "\""));
    }
    CAIRN_RETURN_IF_ERROR(CheckFileName(path_, name));
    return OpenFileSource((fs::path(path_) / name).string(), {.confined_to = options_.confined_to});
  }

  absl::StatusOr<std::unique_ptr<SourceTree>> OpenParent() const override {
    if (is_directory_) return SourceTree::OpenParent();
    const fs::path parent = fs::path(path_).parent_path();
    return OpenSourceTree(parent.empty() ? "." : parent.string(), options_);
  }

  absl::StatusOr<std::unique_ptr<SourceTree>> OpenFolder(const std::string& folder) const override {
    if (!is_directory_) return SourceTree::OpenFolder(folder);
    CAIRN_RETURN_IF_ERROR(CheckFileName(path_, folder));
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<SourceTree> tree, OpenSourceTree((fs::path(path_) / folder).string(), options_));
    if (!tree->is_directory()) return SourceTree::OpenFolder(folder);
    return tree;
  }

 private:
  const std::string path_;
  const bool is_directory_;
  const SourceTreeOptions options_;
};

class OneFileMemoryTree final : public SourceTree {
 public:
  OneFileMemoryTree(std::string bytes, std::string name) : bytes_(std::move(bytes)), name_(std::move(name)) {}

  const std::string& name() const override { return name_; }
  bool is_directory() const override { return false; }
  absl::StatusOr<std::vector<std::string>> List() const override { return std::vector<std::string>{""}; }
  absl::StatusOr<std::unique_ptr<ByteSource>> Open(const std::string& name) const override {
    if (!name.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name_, ": is one file, not a folder with \"", name, "\""));
    }
    return std::make_unique<MemorySource>(bytes_, name_);
  }

 private:
  const std::string bytes_;
  const std::string name_;
};

// A file of the tree while it is written. The tree keeps the file itself, since a lone file must not appear
// under its final name before Commit().
struct PendingFile {
  std::string name;
  std::unique_ptr<ByteSink> file;
  bool closed = false;
};

class PendingSink final : public ByteSink {
 public:
  PendingSink(PendingFile* pending, std::string path, bool close_now)
      : pending_(pending), path_(std::move(path)), close_now_(close_now) {}

  const std::string& name() const override { return path_; }
  absl::Status Append(absl::string_view bytes) override { return pending_->file->Append(bytes); }
  uint64_t size() const override { return pending_->file->size(); }
  absl::Status Close() override {
    if (close_now_) {
      CAIRN_RETURN_IF_ERROR(pending_->file->Close());
      pending_->file.reset();
    }
    pending_->closed = true;
    return absl::OkStatus();
  }

 private:
  PendingFile* const pending_;
  const std::string path_;  // The final one, for messages.
  const bool close_now_;
};

class LocalSinkTree final : public SinkTree {
 public:
  enum class Target { kAbsent, kFile, kFolder };

  LocalSinkTree(std::string name, fs::path path, Target target, SinkTreeOptions options)
      : name_(std::move(name)),
        path_(std::move(path)),
        target_(target),
        is_directory_(target == Target::kFolder || name_.back() == '/'),
        options_(options) {}

  ~LocalSinkTree() override {
    files_.clear();
    RemoveTemporary();
  }

  const std::string& name() const override { return name_; }
  bool is_directory() const override { return is_directory_; }

  std::vector<std::string> ExistingFiles() const override {
    if (target_ != Target::kFolder || !options_.overwrite) return {};
    return ListRegularFiles(path_.string()).value_or(std::vector<std::string>{});
  }

  absl::StatusOr<std::unique_ptr<ByteSink>> Create(const std::string& name) override {
    const bool lone = name.empty();
    if (!files_.empty() && (lone || files_.front()->name.empty())) {
      return absl::InvalidArgumentError(
          absl::StrCat(name_, ": cannot be both one file and a folder of files"));
    }
    if (lone && is_directory_) {
      return absl::InvalidArgumentError(absl::StrCat(name_, ": is a folder, expected the path of a file"));
    }
    if (!lone && target_ == Target::kFile) {
      return absl::InvalidArgumentError(absl::StrCat(name_, ": is a file, expected the path of a folder"));
    }
    auto pending = std::make_unique<PendingFile>();
    pending->name = name;
    std::string final_path = path_.string();
    std::string written_path = final_path;
    if (!lone) {
      CAIRN_RETURN_IF_ERROR(CheckFileName(name_, name));
      CAIRN_RETURN_IF_ERROR(MakeTemporary());
      final_path = (path_ / name).string();
      written_path = (temporary_ / name).string();
      CAIRN_RETURN_IF_ERROR(MakeParents(temporary_, name));
    }
    CAIRN_ASSIGN_OR_RETURN(
        pending->file,
        CreateFileSink(written_path, {.overwrite = lone && options_.overwrite, .durable = options_.durable}));
    files_.push_back(std::move(pending));
    return std::make_unique<PendingSink>(files_.back().get(), std::move(final_path), !lone);
  }

  absl::Status Commit() override {
    for (const auto& file : files_) {
      if (!file->closed) {
        return absl::FailedPreconditionError(
            absl::StrCat(name_, ": file \"", file->name, "\" was not closed before the commit"));
      }
    }
    if (files_.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(name_, ": nothing was written before the commit"));
    }
    if (files_.front()->name.empty()) return files_.front()->file->Close();
    if (target_ == Target::kAbsent) return MoveFolder();
    return MoveFiles();
  }

 private:
  absl::Status MakeTemporary() {
    if (!temporary_.empty()) return absl::OkStatus();
    // Beside a folder to be, so that one rename makes it; inside a folder that exists, which may be a file
    // system of its own.
    const fs::path parent = target_ == Target::kFolder ? path_ : path_.parent_path();
    std::string folder;
    int failed = 0;
    do {
      folder = TemporaryPath(parent.string(), path_.filename().string());
      failed = ::mkdir(folder.c_str(), 0777);
    } while (failed != 0 && errno == EEXIST);
    if (failed != 0) return ErrnoStatus(errno, "create a folder in", parent.string());
    temporary_ = folder;
    return absl::OkStatus();
  }

  // Makes the folders of `name` under `root`.
  absl::Status MakeParents(const fs::path& root, const std::string& name) {
    std::error_code error;
    fs::create_directories((root / name).parent_path(), error);
    if (error) return ErrnoStatus(error.value(), "create a folder for", (root / name).string());
    return absl::OkStatus();
  }

  absl::Status MoveFolder() {
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
      // rename() itself refuses to replace a file or a folder that is not empty.
      if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR) {
        return absl::AlreadyExistsError(absl::StrCat(name_, ": appeared while it was written"));
      }
      return ErrnoStatus(errno, "rename to", path_.string());
    }
    temporary_.clear();
    return Sync(path_.parent_path());
  }

  absl::Status MoveFiles() {
    if (options_.overwrite) {
      const std::string last = (path_ / files_.back()->name).string();
      if (::unlink(last.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, "replace", last);
      CAIRN_RETURN_IF_ERROR(Sync(path_));
    }
    for (const auto& file : files_) {
      if (file == files_.back()) CAIRN_RETURN_IF_ERROR(Sync(path_));
      const std::string from = (temporary_ / file->name).string();
      const fs::path to = path_ / file->name;
      CAIRN_RETURN_IF_ERROR(MakeParents(path_, file->name));
      const int failed =
          options_.overwrite ? ::rename(from.c_str(), to.c_str()) : ::link(from.c_str(), to.c_str());
      if (failed != 0) return ErrnoStatus(errno, "rename to", to.string());
      if (to.parent_path() != path_) CAIRN_RETURN_IF_ERROR(Sync(to.parent_path()));
    }
    RemoveTemporary();
    return Sync(path_);
  }

  absl::Status Sync(const fs::path& folder) {
    return options_.durable ? SyncDirectory(folder.string()) : absl::OkStatus();
  }

  void RemoveTemporary() {
    if (temporary_.empty()) return;
    std::error_code ignored;
    fs::remove_all(temporary_, ignored);
    temporary_.clear();
  }

  const std::string name_;
  const fs::path path_;  // Absolute, without a trailing '/'.
  const Target target_;
  const bool is_directory_;
  const SinkTreeOptions options_;
  fs::path temporary_;  // Empty before the first file, and once it is moved.
  std::vector<std::unique_ptr<PendingFile>> files_;
};

absl::StatusOr<bool> IsEmptyFolder(const fs::path& path) {
  std::error_code error;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    // What a killed writer left is not worth a refusal.
    if (!absl::StrContains(it->path().filename().string(), kTemporaryMark)) return false;
  }
  if (error) return ErrnoStatus(error.value(), "list", path.string());
  return true;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SourceTree>> OpenSourceTree(const std::string& path, SourceTreeOptions options) {
  if (!options.confined_to.empty()) {
    std::error_code error;
    const fs::path real = fs::canonical(path, error);
    if (error) return ErrnoStatus(error.value(), "open", path);
    if (!IsWithin(real.string(), options.confined_to)) {
      return absl::PermissionDeniedError(
          absl::StrCat(path, ": leads out of ", options.confined_to, ", the only folder that may be read"));
    }
  }
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, "open", path);
  if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a file or a folder, found ", KindOfFile(info.st_mode)));
  }
  if (::access(path.c_str(), R_OK) != 0) return ErrnoStatus(errno, "open", path);
  return std::make_unique<LocalSourceTree>(path, S_ISDIR(info.st_mode), std::move(options));
}

absl::StatusOr<std::unique_ptr<SinkTree>> CreateSinkTree(const std::string& path, SinkTreeOptions options) {
  std::error_code error;
  fs::path target = fs::absolute(path, error).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();
  if (path.empty() || error || !target.has_filename()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", path, "\": expected the path of a file or folder to write"));
  }
  const fs::path parent = target.parent_path();
  struct stat info;
  if (::stat(parent.c_str(), &info) != 0) return ErrnoStatus(errno, "open folder", parent.string());
  if (!S_ISDIR(info.st_mode)) {
    return absl::NotFoundError(absl::StrCat(parent.string(), ": expected a folder, found a file"));
  }
  auto kind = LocalSinkTree::Target::kAbsent;
  if (::stat(target.c_str(), &info) == 0) {
    const bool folder = S_ISDIR(info.st_mode);
    kind = folder ? LocalSinkTree::Target::kFolder : LocalSinkTree::Target::kFile;
    bool empty = false;
    if (folder) {
      CAIRN_ASSIGN_OR_RETURN(empty, IsEmptyFolder(target));
    }
    if (!options.overwrite && !empty) {
      return absl::AlreadyExistsError(
          absl::StrCat(path, ": exists already; ask for overwriting or choose another name"));
    }
    if (!folder && !S_ISREG(info.st_mode)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": expected a file or folder to replace, found ", KindOfFile(info.st_mode)));
    }
  } else if (errno != ENOENT) {
    return ErrnoStatus(errno, "open", path);
  }
  return std::make_unique<LocalSinkTree>(path, std::move(target), kind, options);
}

std::unique_ptr<SourceTree> MemorySourceTree(std::string bytes, std::string name) {
  return std::make_unique<OneFileMemoryTree>(std::move(bytes), std::move(name));
}

}  // namespace cairn
