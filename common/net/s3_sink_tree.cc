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
#include "common/base/status_macros.h"
#include "common/base/thread_pool.h"
#include "common/io/file_name.h"
#include "common/net/s3_client.h"

namespace cairn {
namespace {

constexpr int kUploads = 2;  // At once; one more part is being filled.
constexpr size_t kMostFiles = 100'000;
constexpr int kMostParts = 10'000;
constexpr uint64_t kMaxWaiting = 16u << 20;  // Of small files, which go up whole at the commit.

// Nobody says beforehand how long a file becomes, and it may have so many parts only: the later ones are larger. In all
// more than 900 GiB.
uint64_t PartBytes(size_t number) { return (number < 2000 ? uint64_t{16} : number < 6000 ? uint64_t{64} : uint64_t{160}) << 20; }

class S3File {
 public:
  // `cleaner` gives up what is not completed; `waiting`: bytes of small files of the whole tree that wait here.
  S3File(S3Client& client, S3Client& cleaner, ThreadPool& pool, uint64_t& waiting, std::string key, std::string name)
      : client_(client), cleaner_(cleaner), pool_(pool), waiting_(waiting), key_(std::move(key)), name_(std::move(name)) {}

  // What runs refers to this.
  ~S3File() {
    Wait(0);
    if (!upload_.empty()) cleaner_.AbortUpload(key_, upload_).IgnoreError();
  }

  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }

  absl::Status Append(absl::string_view bytes) {
    size_ += bytes.size();
    while (!bytes.empty()) {
      const uint64_t part = PartBytes(parts_);
      if (buffer_.capacity() < part && size_ > part / 4) buffer_.reserve(part);
      const size_t count = std::min<uint64_t>(bytes.size(), part - buffer_.size());
      buffer_.append(bytes.data(), count);
      bytes.remove_prefix(count);
      if (buffer_.size() == part) CAIRN_RETURN_IF_ERROR(SendPart());
    }
    return absl::OkStatus();
  }

  // All bytes are with the server, and the file is not there yet.
  absl::Status Close() {
    const bool may_wait = parts_ == 0 && (buffer_.empty() || waiting_ + buffer_.size() <= kMaxWaiting);
    if (may_wait) {
      waiting_ += buffer_.size();
      buffer_.shrink_to_fit();
    } else if (!buffer_.empty()) {
      CAIRN_RETURN_IF_ERROR(SendPart());
    }
    Wait(0);
    closed_ = true;
    absl::MutexLock lock(&mu_);
    return failure_;
  }
  bool closed() const { return closed_; }

  absl::Status Publish() {
    if (parts_ == 0) {
      // A small one waits here.
      CAIRN_RETURN_IF_ERROR(client_.Put(key_, buffer_));
      return absl::OkStatus();
    }
    std::vector<std::string> etags;
    {
      absl::MutexLock lock(&mu_);
      etags.assign(etags_.begin(), etags_.end());
    }
    CAIRN_RETURN_IF_ERROR(client_.FinishUpload(key_, upload_, etags, size_));
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
      CAIRN_ASSIGN_OR_RETURN(upload_, client_.StartUpload(key_));
    }
    Wait(kUploads - 1);
    const size_t number = parts_++;
    absl::MutexLock lock(&mu_);
    CAIRN_RETURN_IF_ERROR(failure_);
    etags_.emplace_back();
    ++running_;
    auto bytes = std::make_shared<std::string>(std::move(buffer_));
    buffer_.clear();
    pool_.Schedule([this, number, bytes] {
      absl::StatusOr<std::string> etag = client_.PutPart(key_, upload_, static_cast<int>(number) + 1, *bytes);
      absl::MutexLock done(&mu_);
      --running_;
      if (etag.ok()) {
        etags_[number] = *std::move(etag);
      } else if (failure_.ok()) {
        failure_ = etag.status();
      }
    });
    return absl::OkStatus();
  }

  // Until at most so many parts are on their way.
  void Wait(int running) {
    absl::MutexLock lock(&mu_);
    const auto few = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return running_ <= running; };
    mu_.Await(absl::Condition(&few));
  }

  S3Client& client_;
  S3Client& cleaner_;
  ThreadPool& pool_;
  uint64_t& waiting_;
  const std::string key_;
  const std::string name_;
  std::string buffer_;
  std::string upload_;  // Empty: none, or it is completed.
  uint64_t size_ = 0;
  size_t parts_ = 0;
  bool closed_ = false;

  absl::Mutex mu_;
  int running_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<std::string> etags_ ABSL_GUARDED_BY(mu_);
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
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
        pool_("s3-put", kUploads) {}

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
    files_.push_back(std::make_unique<S3File>(client_, cleaner_, pool_, waiting_, url.path, url.Shown()));
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
  uint64_t waiting_ = 0;
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
