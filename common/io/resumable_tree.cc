#include "common/io/resumable_tree.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "common/io/posix_file.h"
#include "common/io/unique_fd.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxJournalBytes = 1u << 20;
constexpr absl::Duration kLockInterval = absl::Milliseconds(20);
constexpr absl::string_view kUnfinished = ".cairn-tmp-";  // In names of files that CreateFileSink is writing.

// What the sinks of a tree tell it.
struct Traffic {
  int skipping = 0;  // Open files that are there already,
  int writing = 0;   // and others.
  int finished = 0;  // Files that were not there and are now.
  bool feeding = false;
};

absl::Status WrittenWhileFeeding(const std::string& path) {
  return absl::InternalError(absl::StrCat(path, ": bytes of a file that is not there yet were left out; begin anew, without resuming"));
}

class WritingSink final : public ByteSink {
 public:
  WritingSink(std::unique_ptr<ByteSink> file, std::string path, std::shared_ptr<Traffic> traffic)
      : file_(std::move(file)), path_(std::move(path)), traffic_(std::move(traffic)) {
    ++traffic_->writing;
  }
  ~WritingSink() override { --traffic_->writing; }

  const std::string& name() const override { return path_; }
  uint64_t size() const override { return file_->size(); }
  absl::Status Append(absl::string_view bytes) override {
    return traffic_->feeding ? WrittenWhileFeeding(path_) : file_->Append(bytes);
  }
  absl::Status Close() override {
    CAIRN_RETURN_IF_ERROR(file_->Close());
    ++traffic_->finished;
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<ByteSink> file_;
  const std::string path_;  // The final one, for messages.
  const std::shared_ptr<Traffic> traffic_;
};

class SkippingSink final : public ByteSink {
 public:
  // `kept`: the folder that an interrupted run has left.
  SkippingSink(uint64_t size, std::string path, std::string kept, std::shared_ptr<Traffic> traffic)
      : expected_(size), path_(std::move(path)), kept_(std::move(kept)), traffic_(std::move(traffic)) {
    ++traffic_->skipping;
  }
  ~SkippingSink() override { --traffic_->skipping; }

  const std::string& name() const override { return path_; }
  uint64_t size() const override { return size_; }
  absl::Status Append(absl::string_view bytes) override {
    size_ += bytes.size();
    return absl::OkStatus();
  }
  absl::Status Close() override {
    if (size_ == expected_) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(path_, ": an interrupted run has left ", expected_, " bytes, now there are ", size_,
                                                      "; to begin anew remove ", kept_));
  }

 private:
  const uint64_t expected_;
  uint64_t size_ = 0;
  const std::string path_;
  const std::string kept_;
  const std::shared_ptr<Traffic> traffic_;
};

// The tree keeps the file, which must not appear under its name before Commit().
class LoneSink final : public ByteSink {
 public:
  LoneSink(std::shared_ptr<ResumableFile> file, std::string path, std::shared_ptr<Traffic> traffic)
      : file_(std::move(file)), path_(std::move(path)), traffic_(std::move(traffic)) {
    ++traffic_->writing;
  }
  ~LoneSink() override { --traffic_->writing; }

  const std::string& name() const override { return path_; }
  uint64_t size() const override { return file_->size(); }
  absl::Status Append(absl::string_view bytes) override { return file_->Append(bytes); }
  absl::Status Close() override {
    CAIRN_RETURN_IF_ERROR(file_->Close());
    ++traffic_->finished;
    return absl::OkStatus();
  }

 private:
  const std::shared_ptr<ResumableFile> file_;
  const std::string path_;
  const std::shared_ptr<Traffic> traffic_;
};

fs::path KeptFor(const fs::path& target) {
  return target.parent_path() / absl::StrCat(".", target.filename().string(), kUnfinished, "resume");
}

// A run that died right after its commit has left the target under a second name, for which nobody will ask any more: it would
// keep the bytes when the target is removed.
void RemoveLinkTo(const std::string& target) {
  std::error_code error;
  const fs::path path = fs::absolute(target, error).lexically_normal();
  if (error || !path.has_filename()) return;
  const fs::path kept = KeptFor(path);
  struct stat written, bytes;
  if (::lstat(path.c_str(), &written) != 0 || ::lstat((kept / "file" / "bytes").c_str(), &bytes) != 0) return;
  if (written.st_ino != bytes.st_ino || written.st_dev != bytes.st_dev || bytes.st_uid != ::geteuid()) return;
  const UniqueFd lock(::open((kept / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (lock.valid() && ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) fs::remove_all(kept, error);
}

uint64_t BytesBelow(const fs::path& folder) {
  std::error_code error;
  uint64_t bytes = 0;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (const uint64_t size = it->file_size(ignored); !ignored) bytes += size;
  }
  return bytes;
}

class LocalResumableTree final : public ResumableTree {
 public:
  LocalResumableTree(std::string name, fs::path path, bool is_directory, ResumableTreeOptions options)
      : name_(std::move(name)),
        path_(std::move(path)),
        kept_(KeptFor(path_)),
        is_directory_(is_directory),
        options_(std::move(options)) {}

  ~LocalResumableTree() override {
    std::error_code ignored;
    if (lock_.valid() && (committed_ || !IsWorthKeeping())) fs::remove_all(kept_, ignored);
  }

  // Takes what an interrupted run has left, or makes room.
  absl::Status Prepare() {
    std::error_code error;
    CAIRN_RETURN_IF_ERROR(CheckFileSystem());
    const absl::Time deadline = absl::Now() + options_.wait;
    for (;;) {
      CAIRN_ASSIGN_OR_RETURN(const bool locked, TakeLock());
      if (locked) break;
      CAIRN_RETURN_IF_ERROR(options_.cancellation.Check());
      if (absl::Now() >= deadline) return absl::FailedPreconditionError(absl::StrCat(name_, ": another process is writing it"));
      absl::SleepFor(kLockInterval);
    }
    const absl::StatusOr<std::string> journal = ReadSmallFile(Journal(), kMaxJournalBytes);
    fs::remove_all(Scratch(), error);
    if (journal.ok() && *journal == options_.identity) return FindFinished();
    const uint64_t useless = BytesBelow(kept_);
    for (const fs::path& path : {Files(), Lone()}) {
      fs::remove_all(path, error);
      if (error) return ErrnoStatus(error.value(), "remove", path.string());
    }
    if (journal.ok() && useless > 0) {
      Note(absl::StrCat(name_, ": begins anew, since an interrupted run had another source, other options or another version of this program: ",
                        useless, " bytes of it are removed"));
    }
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSink> sink,
                           CreateFileSink(Journal(), {.overwrite = true, .durable = options_.durable}));
    CAIRN_RETURN_IF_ERROR(sink->Append(options_.identity));
    CAIRN_RETURN_IF_ERROR(sink->Close());
    return MakeFolders();
  }

  ResumableFile* file() override { return file_.get(); }
  std::string ScratchFolder() const override { return Scratch().string(); }
  const std::string& name() const override { return name_; }
  bool is_directory() const override { return is_directory_; }
  bool Skips() const override { return traffic_->skipping > 0 && traffic_->writing == 0; }
  void SetFeeding(bool feeding) override { traffic_->feeding = feeding; }

  std::vector<std::string> ExistingFiles() const override {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator it(path_, error), end; !error && it != end; it.increment(error)) {
      std::error_code ignored;
      if (it->is_regular_file(ignored)) names.push_back(it->path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::StatusOr<std::unique_ptr<ByteSink>> Create(const std::string& name) override {
    if (name.empty()) return CreateLone();
    if (file_ != nullptr) return absl::InvalidArgumentError(absl::StrCat(name_, ": cannot be both one file and a folder of files"));
    std::error_code failed;
    if (fs::exists(path_, failed) && !fs::is_directory(path_, failed)) {
      return absl::InvalidArgumentError(absl::StrCat(name_, ": is a file, expected the path of a folder"));
    }
    for (const absl::string_view segment : absl::StrSplit(name, '/')) {
      if (segment.empty() || segment == "." || segment == ".." || absl::StrContains(segment, '\0') || absl::StrContains(segment, kUnfinished)) {
        return absl::InvalidArgumentError(absl::StrCat(name_, ": file name \"", name, "\": expected a name inside the folder"));
      }
    }
    created_.push_back(name);
    const std::string final_path = (path_ / name).string();
    if (const auto finished = finished_.find(name); finished != finished_.end()) {
      return std::make_unique<SkippingSink>(finished->second, final_path, kept_.string(), traffic_);
    }
    if (traffic_->feeding) return WrittenWhileFeeding(final_path);
    const fs::path written = Files() / name;
    std::error_code error;
    fs::create_directories(written.parent_path(), error);
    if (error) return ErrnoStatus(error.value(), "create a folder for", written.string());
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSink> file, CreateFileSink(written.string(), {.durable = options_.durable}));
    return std::make_unique<WritingSink>(std::move(file), final_path, traffic_);
  }

  absl::Status Commit() override {
    if (traffic_->skipping + traffic_->writing > 0 || created_.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(name_, ": nothing was written, or not closed, before the commit"));
    }
    if (file_ != nullptr) return CommitLone();
    for (const auto& [name, size] : finished_) {
      if (std::find(created_.begin(), created_.end(), name) != created_.end()) continue;
      if (::unlink((Files() / name).c_str()) != 0) return ErrnoStatus(errno, "remove", (Files() / name).string());
    }
    // One rename makes a folder, also in place of an empty one.
    if (::rename(Files().c_str(), path_.c_str()) != 0) {
      const int why = errno;
      const bool taken = why == ENOTEMPTY || why == EEXIST;
      if (!taken) return ErrnoStatus(why, "rename to", path_.string());
      if (!options_.overwrite) return absl::AlreadyExistsError(absl::StrCat(name_, ": appeared while it was written"));
      CAIRN_RETURN_IF_ERROR(MoveFiles());
    }
    committed_ = true;
    return Sync(path_.parent_path());
  }

 private:
  // What is kept stands beside the folder, and is moved to it in the end: only within one file system.
  absl::Status CheckFileSystem() const {
    struct stat folder, parent;
    if (::stat(path_.c_str(), &folder) != 0 || ::stat(path_.parent_path().c_str(), &parent) != 0) return absl::OkStatus();
    if (folder.st_dev == parent.st_dev) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        name_, ": is a file system of its own, where what is written beside it cannot be moved to; expected a folder within it"));
  }

  // Of the folder of what is kept, which is made. False while another has it.
  absl::StatusOr<bool> TakeLock() {
    if (::mkdir(kept_.c_str(), 0700) != 0 && errno != EEXIST) return ErrnoStatus(errno, "create folder", kept_.string());
    // Its name is known before, so somebody else could have made it, and what we find in it.
    struct stat info;
    if (::lstat(kept_.c_str(), &info) != 0) {
      if (errno == ENOENT) return false;  // Another has just removed it.
      return ErrnoStatus(errno, "open", kept_.string());
    }
    if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid()) {
      return absl::FailedPreconditionError(absl::StrCat(kept_.string(), ": expected a folder of this user's, found ", KindOfFile(info.st_mode),
                                                        " of user ", info.st_uid, "; remove it"));
    }
    lock_ = UniqueFd(::open((kept_ / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (!lock_.valid() && errno == ENOENT) return false;
    if (!lock_.valid()) return ErrnoStatus(errno, "create", (kept_ / "lock").string());
    if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
      lock_ = UniqueFd();
      return false;
    }
    // Whoever held the lock may have removed it, with all that he had, after it was opened here: then it keeps nobody away.
    struct stat locked, there;
    if (::fstat(lock_.get(), &locked) != 0) return ErrnoStatus(errno, "stat", (kept_ / "lock").string());
    if (::lstat((kept_ / "lock").c_str(), &there) != 0 || locked.st_ino != there.st_ino || locked.st_dev != there.st_dev) {
      lock_ = UniqueFd();
      return false;
    }
    return true;
  }

  bool IsWorthKeeping() const {
    if (file_ != nullptr) return file_->IsWorthKeeping() || traffic_->finished > 0;
    std::error_code ignored;
    // One that nobody has asked for yet, since the source was refused, say, is there still.
    return traffic_->finished > 0 || !finished_.empty() || (created_.empty() && fs::exists(Lone() / "record", ignored));
  }

  absl::StatusOr<std::unique_ptr<ByteSink>> CreateLone() {
    if (is_directory_) return absl::InvalidArgumentError(absl::StrCat(name_, ": is a folder, expected the path of a file"));
    if (!created_.empty()) return absl::InvalidArgumentError(absl::StrCat(name_, ": cannot be both one file and a folder of files"));
    ResumableFileOptions file;
    file.path = path_.string();
    file.durable = options_.durable;
    file.block_bytes = options_.block_bytes;
    CAIRN_ASSIGN_OR_RETURN(file_, ResumableFile::Open(Lone().string(), std::move(file)));
    created_.push_back("");
    if (file_->lost() > 0) {
      Note(absl::StrCat(name_, ": of what an interrupted run has written, ", file_->lost(), " bytes are damaged or behind damage and are written again, ",
                        file_->kept(), " are kept"));
    }
    return std::make_unique<LoneSink>(file_, path_.string(), traffic_);
  }

  absl::Status CommitLone() {
    const std::string bytes = (Lone() / "bytes").string();
    if (options_.overwrite) {
      if (::rename(bytes.c_str(), path_.c_str()) != 0) return ErrnoStatus(errno, "rename to", path_.string());
    } else if (::link(bytes.c_str(), path_.c_str()) != 0) {  // rename() would replace.
      if (errno == EEXIST) return absl::AlreadyExistsError(absl::StrCat(name_, ": appeared while it was written"));
      return ErrnoStatus(errno, "create", path_.string());
    }
    committed_ = true;
    return Sync(path_.parent_path());
  }

  absl::Status MakeFolders() {
    std::error_code error;
    for (const fs::path& path : {Files(), Lone(), Scratch()}) {
      fs::create_directory(path, error);
      if (error) return ErrnoStatus(error.value(), "create folder", path.string());
    }
    return absl::OkStatus();
  }

  void Note(const std::string& text) const {
    if (options_.note != nullptr) options_.note(text);
  }

  fs::path Files() const { return kept_ / "files"; }
  fs::path Lone() const { return kept_ / "file"; }
  fs::path Scratch() const { return kept_ / "scratch"; }
  std::string Journal() const { return (kept_ / "journal").string(); }
  absl::Status Sync(const fs::path& folder) { return options_.durable ? SyncDirectory(folder.string()) : absl::OkStatus(); }

  absl::Status FindFinished() {
    std::error_code error;
    std::vector<fs::path> unfinished;
    for (fs::recursive_directory_iterator it(Files(), error), end; !error && it != end; it.increment(error)) {
      if (!it->is_regular_file(error)) continue;
      if (absl::StrContains(it->path().filename().string(), kUnfinished)) {
        unfinished.push_back(it->path());
      } else {
        finished_[it->path().lexically_relative(Files()).string()] = it->file_size(error);
      }
    }
    if (error && error != std::errc::no_such_file_or_directory) return ErrnoStatus(error.value(), "list", Files().string());
    for (const fs::path& path : unfinished) fs::remove(path, error);
    return MakeFolders();
  }

  // As a tree that is not resumable: the file that makes sense of the others is away while they change, and comes last.
  absl::Status MoveFiles() {
    const std::string last = (path_ / created_.back()).string();
    if (::unlink(last.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, "replace", last);
    CAIRN_RETURN_IF_ERROR(Sync(path_));
    for (const std::string& name : created_) {
      if (name == created_.back()) CAIRN_RETURN_IF_ERROR(Sync(path_));
      const fs::path to = path_ / name;
      std::error_code error;
      fs::create_directories(to.parent_path(), error);
      if (::rename((Files() / name).c_str(), to.c_str()) != 0) return ErrnoStatus(errno, "rename to", to.string());
      if (to.parent_path() != path_) CAIRN_RETURN_IF_ERROR(Sync(to.parent_path()));
    }
    return Sync(path_);
  }

  const std::string name_;
  const fs::path path_;  // Absolute, without a trailing '/'.
  const fs::path kept_;
  const bool is_directory_;
  const ResumableTreeOptions options_;
  UniqueFd lock_;
  std::map<std::string, uint64_t> finished_;  // What an interrupted run has left: sizes by name.
  std::vector<std::string> created_;
  std::shared_ptr<ResumableFile> file_;  // The target, if that is one file.
  std::shared_ptr<Traffic> traffic_ = std::make_shared<Traffic>();
  bool committed_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ResumableTree>> ResumableTree::Open(const std::string& path, ResumableTreeOptions options) {
  RemoveLinkTo(path);
  // Says what is in the way, and leaves nothing.
  CAIRN_RETURN_IF_ERROR(CreateSinkTree(path, {.overwrite = options.overwrite}).status());
  std::error_code error;
  fs::path target = fs::absolute(path, error).lexically_normal();
  if (error) return ErrnoStatus(error.value(), "open", path);
  if (!target.has_filename()) target = target.parent_path();
  const bool is_directory = path.back() == '/' || fs::is_directory(target, error);
  if (path.back() == '/' && fs::exists(target, error) && !fs::is_directory(target, error)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is a file, expected the path of a folder"));
  }
  // A link to a folder stays one: what is moved is moved to where it leads.
  if (fs::is_directory(target, error)) {
    target = fs::canonical(target, error);
    if (error) return ErrnoStatus(error.value(), "open", path);
  }
  auto tree = std::make_unique<LocalResumableTree>(path, std::move(target), is_directory, std::move(options));
  CAIRN_RETURN_IF_ERROR(tree->Prepare());
  return tree;
}

std::string InterruptedRun(const std::string& target) {
  std::error_code error;
  fs::path path = fs::absolute(target, error).lexically_normal();
  if (error) return "";
  if (!path.has_filename()) path = path.parent_path();
  const fs::path kept = KeptFor(path);
  return fs::is_directory(fs::symlink_status(kept, error)) ? kept.string() : "";
}

}  // namespace cairn
