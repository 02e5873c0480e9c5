#include "common/net/s3_sink_tree.h"

#include <algorithm>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "common/base/thread_pool.h"
#include "common/io/file_name.h"
#include "common/net/s3_client.h"

namespace cairn {
namespace {

constexpr int kUploads = 2;  // At once, of all files; in each that is open, one more part is being filled.
constexpr uint64_t kLeastPart = 5u << 20;  // What S3 demands, but of the last one.
constexpr absl::Duration kLookEvery = absl::Milliseconds(100);
constexpr size_t kMostFiles = 100'000;
constexpr int kMostParts = 10'000;
constexpr uint64_t kMaxWaiting = 16u << 20;  // Of small files, which go up whole at the commit.

// Nobody says beforehand how long a file becomes, and it may have so many parts only: the later ones are larger. In all
// more than 900 GiB. Files that are written side by side share the memory, as far as S3 takes small parts.
uint64_t PartBytes(size_t number, int open_files) {
  const uint64_t alone = (number < 2000 ? uint64_t{16} : number < 6000 ? uint64_t{64} : uint64_t{160}) << 20;
  return std::max(kLeastPart, alone / static_cast<uint64_t>(std::max(open_files, 1)));
}

// What the files of a tree share.
struct Uploads {
  S3Client& client;
  HttpClient& cleaning;
  S3Client& cleaner;  // Gives up what is not completed, over `cleaning`.
  const HttpClient& http;  // Which may end.
  ThreadPool& pool;
  uint64_t waiting = 0;  // Bytes of small files that wait here.
  int open_files = 0;
  absl::Mutex mu;
  int running ABSL_GUARDED_BY(mu) = 0;  // Parts on their way.
};

class S3File {
 public:
  S3File(Uploads& uploads, std::string key, std::string name) : uploads_(uploads), key_(std::move(key)), name_(std::move(name)) { ++uploads_.open_files; }

  // What runs refers to this.
  ~S3File() {
    WaitForOwn();
    MarkClosed();
    if (upload_.empty()) return;
    // There may be many files, and a server that is gone is waited for once.
    if (absl::IsUnavailable(uploads_.cleaner.AbortUpload(key_, upload_))) uploads_.cleaning.Stop();
  }

  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }

  absl::Status Append(absl::string_view bytes) {
    size_ += bytes.size();
    while (!bytes.empty()) {
      if (buffer_.empty()) part_bytes_ = PartBytes(parts_, uploads_.open_files);
      if (buffer_.capacity() < part_bytes_ && size_ > part_bytes_ / 4) buffer_.reserve(part_bytes_);
      const size_t count = std::min<uint64_t>(bytes.size(), part_bytes_ - buffer_.size());
      buffer_.append(bytes.data(), count);
      bytes.remove_prefix(count);
      if (buffer_.size() == part_bytes_) CAIRN_RETURN_IF_ERROR(SendPart());
    }
    return absl::OkStatus();
  }

  // All bytes are with the server, and the file is not there yet.
  absl::Status Close() {
    const bool may_wait = parts_ == 0 && (buffer_.empty() || uploads_.waiting + buffer_.size() <= kMaxWaiting);
    if (may_wait) {
      uploads_.waiting += buffer_.size();
      buffer_.shrink_to_fit();
    } else if (!buffer_.empty()) {
      CAIRN_RETURN_IF_ERROR(SendPart());
    }
    WaitForOwn();
    MarkClosed();
    absl::MutexLock lock(&uploads_.mu);
    return failure_;
  }
  bool closed() const { return closed_; }

  absl::Status Publish() {
    if (parts_ == 0) {
      // A small one waits here.
      CAIRN_RETURN_IF_ERROR(uploads_.client.Put(key_, buffer_));
      return absl::OkStatus();
    }
    std::vector<std::string> etags;
    {
      absl::MutexLock lock(&uploads_.mu);
      etags.assign(etags_.begin(), etags_.end());
    }
    CAIRN_RETURN_IF_ERROR(uploads_.client.FinishUpload(key_, upload_, etags, size_));
    upload_.clear();
    return absl::OkStatus();
  }
  const std::string& key() const { return key_; }

 private:
  absl::Status SendPart() {
    if (parts_ == kMostParts) {
      return absl::ResourceExhaustedError(absl::StrCat(name_, ": an object has at most ", kMostParts, " parts; cut the checkpoint into shards (--max-shard-size)"));
    }
    if (upload_.empty()) {
      CAIRN_ASSIGN_OR_RETURN(upload_, uploads_.client.StartUpload(key_));
    }
    // Large parts go one at a time, so that they take less memory.
    WaitForRoom(part_bytes_ > (16u << 20) ? 1 : kUploads);
    const size_t number = parts_++;
    absl::MutexLock lock(&uploads_.mu);
    CAIRN_RETURN_IF_ERROR(failure_);
    etags_.emplace_back();
    ++running_;
    ++uploads_.running;
    auto bytes = std::make_shared<std::string>(std::move(buffer_));
    buffer_.clear();
    uploads_.pool.Schedule([this, number, bytes]() mutable {
      absl::StatusOr<std::string> etag = uploads_.client.PutPart(key_, upload_, static_cast<int>(number) + 1, *bytes);
      bytes.reset();
      absl::MutexLock done(&uploads_.mu);
      --running_;
      --uploads_.running;
      if (etag.ok()) {
        etags_[number] = *std::move(etag);
      } else if (failure_.ok()) {
        failure_ = etag.status();
      }
    });
    return absl::OkStatus();
  }

  // Until fewer than `most` parts of all files are on their way.
  void WaitForRoom(int most) {
    const auto few = [this, most]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(uploads_.mu) { return uploads_.running < most; };
    WaitFor(few);
  }
  // Until no part of this file is.
  void WaitForOwn() {
    const auto none = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(uploads_.mu) { return running_ == 0; };
    WaitFor(none);
  }
  template <typename Until>
  void WaitFor(const Until& until) {
    absl::MutexLock lock(&uploads_.mu);
    // Whether all of it shall end is asked in the thread that waits; that ends the transfers, too.
    while (!uploads_.mu.AwaitWithTimeout(absl::Condition(&until), kLookEvery)) uploads_.http.Ends();
  }

  void MarkClosed() {
    if (!std::exchange(closed_, true)) --uploads_.open_files;
  }

  Uploads& uploads_;
  const std::string key_;
  const std::string name_;
  std::string buffer_;
  std::string upload_;  // Empty: none, or it is completed.
  uint64_t size_ = 0;
  uint64_t part_bytes_ = 0;  // Of the part that is being filled.
  size_t parts_ = 0;
  bool closed_ = false;

  int running_ ABSL_GUARDED_BY(uploads_.mu) = 0;
  std::deque<std::string> etags_ ABSL_GUARDED_BY(uploads_.mu);
  absl::Status failure_ ABSL_GUARDED_BY(uploads_.mu);
};

class S3Sink final : public ByteSink {
 public:
  explicit S3Sink(S3File* file) : file_(file) {}
  const std::string& name() const override { return file_->name(); }
  absl::Status Append(absl::string_view bytes) override { return file_->Append(bytes); }
  uint64_t size() const override { return file_->size(); }
  absl::Status Close() override { return file_->Close(); }

 private:
  S3File* const file_;  // The tree's.
};

class S3SinkTree final : public SinkTree {
 public:
  S3SinkTree(std::shared_ptr<UrlSession> session, const Url& url, bool is_directory, std::vector<std::string> existing, SinkTreeOptions options)
      : session_(std::move(session)),
        name_(url.Shown()),
        url_(url),
        is_directory_(is_directory),
        existing_(std::move(existing)),
        options_(options),
        client_(session_->http(), session_->aws(), url.host),
        cleaning_({.connect_timeout = absl::Seconds(3), .stall_timeout = absl::Seconds(5), .attempts = 2}),
        cleaner_(cleaning_, session_->aws(), url.host),
        pool_("s3-put", kUploads),
        uploads_{client_, cleaning_, cleaner_, session_->http(), pool_} {}

  const std::string& name() const override { return name_; }
  bool is_directory() const override { return is_directory_; }
  std::vector<std::string> ExistingFiles() const override { return options_.overwrite ? existing_ : std::vector<std::string>{}; }

  absl::StatusOr<std::unique_ptr<ByteSink>> Create(const std::string& name) override {
    const bool lone = name.empty();
    if (!files_.empty() && (lone || lone_)) return absl::InvalidArgumentError(absl::StrCat(name_, ": cannot be both one file and a folder of files"));
    if (lone && is_directory_) return absl::InvalidArgumentError(absl::StrCat(name_, ": is a folder, expected the path of a file"));
    Url url = url_;
    if (!lone) {
      CAIRN_RETURN_IF_ERROR(CheckFileName(name_, name));
      if (!url.is_folder()) url.path.push_back('/');
      url = url.Child(name);
    }
    CAIRN_RETURN_IF_ERROR(session_->Check(url));
    lone_ = lone;
    files_.push_back(std::make_unique<S3File>(uploads_, url.path, url.Shown()));
    return std::make_unique<S3Sink>(files_.back().get());
  }

  absl::Status Commit() override {
    if (files_.empty()) return absl::FailedPreconditionError(absl::StrCat(name_, ": nothing was written before the commit"));
    for (const auto& file : files_) {
      if (!file->closed()) return absl::FailedPreconditionError(absl::StrCat(file->name(), ": was not closed before the commit"));
    }
    for (const auto& file : files_) {
      if (options_.overwrite) break;
      CAIRN_ASSIGN_OR_RETURN(const std::optional<S3Client::Object> there, client_.Head(file->key()));
      if (there.has_value()) return absl::AlreadyExistsError(absl::StrCat(file->name(), ": appeared while it was written"));
    }
    // What makes sense of the others is away while they change, so that no mixture looks whole.
    if (options_.overwrite && files_.size() > 1) CAIRN_RETURN_IF_ERROR(client_.Delete(files_.back()->key()));
    for (const auto& file : files_) CAIRN_RETURN_IF_ERROR(file->Publish());
    return absl::OkStatus();
  }

 private:
  const std::shared_ptr<UrlSession> session_;
  const std::string name_;
  const Url url_;
  const bool is_directory_;
  const std::vector<std::string> existing_;
  const SinkTreeOptions options_;
  S3Client client_;
  // Parts are given up also when the caller has cancelled everything else, and nobody waits long for it.
  HttpClient cleaning_;
  S3Client cleaner_;
  ThreadPool pool_;
  Uploads uploads_;
  std::vector<std::unique_ptr<S3File>> files_;
  bool lone_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SinkTree>> CreateS3SinkTree(std::shared_ptr<UrlSession> session, const Url& url, SinkTreeOptions options) {
  CAIRN_RETURN_IF_ERROR(session->Check(url));
  S3Client client(session->http(), session->aws(), url.host);
  const std::string folder = url.is_folder() ? url.path : absl::StrCat(url.path, "/");
  if (!url.is_folder()) {
    CAIRN_ASSIGN_OR_RETURN(const std::optional<S3Client::Object> there, client.Head(url.path));
    if (there.has_value() && !options.overwrite) {
      return absl::AlreadyExistsError(absl::StrCat(url.Shown(), ": exists already; ask for overwriting or choose another name"));
    }
  }
  CAIRN_ASSIGN_OR_RETURN(const S3Listing listing, client.List(folder, /*delimiter=*/true, kMostFiles));
  std::vector<std::string> existing;
  for (const std::string& key : listing.keys) {
    if (key != folder && absl::StartsWith(key, folder)) existing.push_back(key.substr(folder.size()));
  }
  const bool taken = !existing.empty() || !listing.prefixes.empty();
  if (taken && !options.overwrite) {
    return absl::AlreadyExistsError(absl::StrCat("s3://", url.host, "/", folder, ": holds objects already; ask for overwriting or choose another name"));
  }
  std::sort(existing.begin(), existing.end());
  return std::make_unique<S3SinkTree>(std::move(session), url, url.is_folder() || taken, std::move(existing), options);
}

}  // namespace cairn
