#include "common/io/resumable_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/io/posix_file.h"

namespace cairn {
namespace {

constexpr uint64_t kMaxRecordBytes = 256u << 20;
constexpr absl::string_view kRecordVersion = "cairn-record 1 ";

absl::Status WriteAll(int fd, absl::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "write", path);
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ResumableFile>> ResumableFile::Open(const std::string& folder, ResumableFileOptions options) {
  auto file = std::unique_ptr<ResumableFile>(new ResumableFile(folder, std::move(options)));
  CAIRN_RETURN_IF_ERROR(file->Prepare());
  return file;
}

ResumableFile::~ResumableFile() {
  if (writer_ != nullptr) writer_->Finish().IgnoreError();
}

absl::Status ResumableFile::Prepare() {
  // What others can read is decided by the umask, as for any other file.
  fd_ = UniqueFd(::open(BytesPath().c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!fd_.valid()) return ErrnoStatus(errno, "create", BytesPath());
  // A run that died right after its commit has left the target itself here, under its second name. That is not to be written to.
  struct stat info;
  if (::fstat(fd_.get(), &info) != 0) return ErrnoStatus(errno, "stat", BytesPath());
  if (info.st_nlink > 1) {
    if (::unlink(BytesPath().c_str()) != 0) return ErrnoStatus(errno, "remove", BytesPath());
    fd_ = UniqueFd(::open(BytesPath().c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (!fd_.valid()) return ErrnoStatus(errno, "create", BytesPath());
    return RewriteRecord();
  }
  if (const absl::StatusOr<std::string> record = ReadSmallFile(RecordPath(), kMaxRecordBytes); record.ok()) {
    CAIRN_RETURN_IF_ERROR(TakeRecord(*record));
  }
  if (::ftruncate(fd_.get(), static_cast<off_t>(kept_)) != 0) return ErrnoStatus(errno, "cut", BytesPath());
  return RewriteRecord();
}

absl::Status ResumableFile::TakeRecord(absl::string_view record) {
  if (!absl::ConsumePrefix(&record, absl::StrCat(kRecordVersion, options_.block_bytes, "\n"))) return absl::OkStatus();
  std::vector<Run> runs;
  // A line without its end was not written whole.
  for (size_t end = record.find('\n'); end != absl::string_view::npos; end = record.find('\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(record.substr(0, end), ' ');
    record.remove_prefix(end + 1);
    if (words.size() == 2 && words[0] == "block") {
      digests_.emplace_back(words[1]);
      continue;
    }
    Run run;
    const bool understood = words.size() == 5 && words[0] == "run" && absl::SimpleAtoi(words[1], &run.entry) && absl::SimpleAtoi(words[2], &run.offset) &&
                            absl::SimpleAtoi(words[3], &run.bytes.position) && absl::SimpleAtoi(words[4], &run.bytes.length);
    if (!understood) break;
    runs.push_back(run);
  }
  CAIRN_RETURN_IF_ERROR(CountKept());
  for (const Run& run : runs) {
    const auto& [position, length] = run.bytes;
    if (length == 0 || position >= kept_ || length > kept_ - position) continue;
    runs_[{run.entry, run.offset}] = run.bytes;
  }
  return absl::OkStatus();
}

absl::Status ResumableFile::CountKept() {
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> source, OpenFileSource(BytesPath()));
  std::string piece(std::min<uint64_t>(options_.block_bytes, 1u << 20), '\0');
  size_t good = 0;
  for (; good < digests_.size(); ++good) {
    const uint64_t begin = good * options_.block_bytes;
    if (begin > source->size() || source->size() - begin < options_.block_bytes) break;
    for (uint64_t done = 0; done < options_.block_bytes;) {
      const uint64_t length = std::min<uint64_t>(piece.size(), options_.block_bytes - done);
      CAIRN_RETURN_IF_ERROR(source->ReadAt(begin + done, absl::MakeSpan(piece.data(), length)));
      digester_.Update(absl::string_view(piece.data(), length));
      done += length;
    }
    if (digester_.Finish().ToHex() == digests_[good]) continue;
    lost_ = (digests_.size() - good) * options_.block_bytes;
    break;
  }
  digests_.resize(good);
  kept_ = good * options_.block_bytes;
  if (kept_ > 0) front_ = std::move(source);
  return absl::OkStatus();
}

std::string ResumableFile::Describe(const Run& run) {
  return absl::StrCat("run ", run.entry, " ", run.offset, " ", run.bytes.position, " ", run.bytes.length, "\n");
}

// Without what is not kept, and under its name at once: a run that dies on its way through the front loses nothing.
absl::Status ResumableFile::RewriteRecord() {
  const std::string fresh = RecordPath() + ".new";
  record_ = UniqueFd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_APPEND, 0666));
  if (!record_.valid()) return ErrnoStatus(errno, "create", fresh);
  std::string text = absl::StrCat(kRecordVersion, options_.block_bytes, "\n");
  for (const auto& [key, bytes] : runs_) text += Describe({key.first, key.second, bytes});
  for (const std::string& digest : digests_) absl::StrAppend(&text, "block ", digest, "\n");
  CAIRN_RETURN_IF_ERROR(WriteAll(record_.get(), text, fresh));
  if (::rename(fresh.c_str(), RecordPath().c_str()) != 0) return ErrnoStatus(errno, "rename to", RecordPath());
  return absl::OkStatus();
}

std::optional<KeptBytes> ResumableFile::Find(uint64_t entry, uint64_t offset) const {
  auto run = runs_.upper_bound({entry, offset});
  if (run == runs_.begin()) return std::nullopt;
  --run;
  const auto& [key, bytes] = *run;
  if (key.first != entry || offset - key.second >= bytes.length) return std::nullopt;
  const uint64_t into = offset - key.second;
  return KeptBytes{bytes.position + into, bytes.length - into};
}

absl::Status ResumableFile::ReadKept(uint64_t position, absl::Span<char> dst) const {
  if (position > kept_ || dst.size() > kept_ - position) return absl::OutOfRangeError(absl::StrCat(BytesPath(), ": ", position, " leaves what is kept"));
  return front_->ReadAt(position, dst);
}

absl::Status ResumableFile::Append(absl::string_view bytes) {
  const absl::string_view all = expected_.bytes;
  // Memory of two objects has an order only so.
  const std::less_equal<const char*> at_most;
  const bool is_expected = !bytes.empty() && !all.empty() && at_most(all.data(), bytes.data()) && at_most(bytes.data() + bytes.size(), all.data() + all.size());
  const uint64_t into = is_expected ? static_cast<uint64_t>(bytes.data() - all.data()) : 0;
  for (uint64_t done = 0; done < bytes.size();) {
    const uint64_t left = options_.block_bytes - size_ % options_.block_bytes;
    const absl::string_view piece = bytes.substr(done, left);
    digester_.Update(piece);
    if (size_ >= kept_) {
      if (writer_ == nullptr) {
        writer_ = std::make_unique<DirectWriter>(fd_.get(), size_, options_.path);
        synced_ = size_;
      }
      CAIRN_RETURN_IF_ERROR(writer_->Append(piece));
      if (is_expected) AddRun(expected_.entry, expected_.offset + into + done, size_, piece.size());
    }
    size_ += piece.size();
    done += piece.size();
    if (size_ % options_.block_bytes == 0) CAIRN_RETURN_IF_ERROR(FinishBlock());
  }
  return absl::OkStatus();
}

void ResumableFile::AddRun(uint64_t entry, uint64_t offset, uint64_t position, uint64_t length) {
  if (!new_runs_.empty()) {
    Run& last = new_runs_.back();
    if (last.entry == entry && last.offset + last.bytes.length == offset && last.bytes.position + last.bytes.length == position) {
      last.bytes.length += length;
      return;
    }
  }
  new_runs_.push_back({entry, offset, {position, length}});
}

absl::Status ResumableFile::FinishBlock() {
  const std::string digest = digester_.Finish().ToHex();
  if (size_ <= kept_) return digest == digests_[size_ / options_.block_bytes - 1] ? absl::OkStatus() : Changed();
  // It may stand here before the block is on the disk: whoever comes next looks.
  std::string text;
  for (const Run& run : new_runs_) text += Describe(run);
  new_runs_.clear();
  absl::StrAppend(&text, "block ", digest, "\n");
  CAIRN_RETURN_IF_ERROR(WriteAll(record_.get(), text, RecordPath()));
  ++recorded_blocks_;
  if (!options_.durable || size_ - synced_ < options_.sync_bytes) return absl::OkStatus();
  synced_ = size_;
  if (::fdatasync(fd_.get()) != 0) return ErrnoStatus(errno, "fsync", BytesPath());
  if (::fdatasync(record_.get()) != 0) return ErrnoStatus(errno, "fsync", RecordPath());
  return absl::OkStatus();
}

absl::Status ResumableFile::Changed() {
  spoiled_ = true;
  return absl::FailedPreconditionError(absl::StrCat(options_.path, ": what an interrupted run has left differs, in the ", options_.block_bytes, " bytes before ",
                                                    size_, ", from what is written now; it is removed: run the same command again to begin anew"));
}

absl::Status ResumableFile::Close() {
  if (size_ < kept_) return Changed();
  if (writer_ != nullptr) {
    CAIRN_RETURN_IF_ERROR(writer_->Finish());
    writer_.reset();
  }
  if (options_.durable && ::fsync(fd_.get()) != 0) return ErrnoStatus(errno, "fsync", BytesPath());
  return absl::OkStatus();
}

}  // namespace cairn
