#include "common/net/url_tree.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status_macros.h"
#include "common/io/file_name.h"
#include "common/net/s3_client.h"
#include "common/net/s3_sink_tree.h"

namespace cairn {
namespace {

constexpr size_t kMostFiles = 100'000;

// What lies beside weights, and is looked for where nobody can list.
constexpr absl::string_view kUsualAssets[] = {
    "added_tokens.json", "chat_template.jinja", "config.json",    "generation_config.json", "merges.txt", "params.json", "preprocessor_config.json",
    "special_tokens_map.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt"};

absl::Status NotAFolder(const std::string& tree, const std::string& name) {
  return absl::InvalidArgumentError(absl::StrCat(tree, ": is one file, not a folder with \"", name, "\""));
}

class HttpTree final : public UrlTree {
 public:
  HttpTree(std::shared_ptr<UrlSession> session, Url url) : session_(std::move(session)), url_(std::move(url)), name_(url_.Shown()) {}

  const std::string& name() const override { return name_; }
  bool is_directory() const override { return url_.is_folder(); }
  std::string Identity() const override { return session_->Identity(); }
  absl::Status failure() const override { return session_->failure(); }

  absl::StatusOr<std::vector<std::string>> List() const override {
    if (!is_directory()) return std::vector<std::string>{""};
    absl::MutexLock lock(&mu_);
    if (looked_) return found_;
    for (const absl::string_view name : kUsualAssets) {
      const absl::Status there = session_->Open(url_.Child(name)).status();
      if (there.ok()) found_.emplace_back(name);
      // Some servers say "forbidden" of what is not there; and one of these files that cannot be read keeps nobody from the weights.
      const bool transient = absl::IsUnavailable(there) || absl::IsCancelled(there) || absl::IsAborted(there);
      if (transient) {
        found_.clear();
        return there;
      }
    }
    looked_ = true;
    return found_;
  }

  absl::StatusOr<std::unique_ptr<ByteSource>> Open(const std::string& name) const override {
    if (!is_directory()) return name.empty() ? session_->Open(url_) : NotAFolder(name_, name);
    CAIRN_RETURN_IF_ERROR(CheckFileName(name_, name));
    return session_->Open(url_.Child(name));
  }

  absl::StatusOr<std::unique_ptr<SourceTree>> OpenParent() const override {
    if (is_directory()) return SourceTree::OpenParent();
    return std::make_unique<HttpTree>(session_, url_.Parent());
  }

 private:
  const std::shared_ptr<UrlSession> session_;
  const Url url_;
  const std::string name_;
  mutable absl::Mutex mu_;
  mutable bool looked_ ABSL_GUARDED_BY(mu_) = false;
  mutable std::vector<std::string> found_ ABSL_GUARDED_BY(mu_);
};

class S3Tree final : public UrlTree {
 public:
  // `url` of a folder ends in '/', or has no key.
  S3Tree(std::shared_ptr<UrlSession> session, Url url) : session_(std::move(session)), url_(std::move(url)), name_(url_.Shown()) {}

  const std::string& name() const override { return name_; }
  bool is_directory() const override { return url_.is_folder(); }
  std::string Identity() const override { return session_->Identity(); }
  absl::Status failure() const override { return session_->failure(); }

  absl::StatusOr<std::vector<std::string>> List() const override {
    if (!is_directory()) return std::vector<std::string>{""};
    CAIRN_RETURN_IF_ERROR(session_->Check(url_));
    absl::MutexLock lock(&mu_);
    if (listed_) return found_;
    CAIRN_ASSIGN_OR_RETURN(const S3Listing listing, Client().List(url_.path, /*delimiter=*/true, kMostFiles));
    for (const std::string& key : listing.keys) {
      // A key that is no name of a file could be read under no name.
      if (absl::StartsWith(key, url_.path) && CheckFileName(name_, key.substr(url_.path.size())).ok()) found_.push_back(key.substr(url_.path.size()));
    }
    std::sort(found_.begin(), found_.end());
    listed_ = true;
    return found_;
  }

  absl::StatusOr<std::unique_ptr<ByteSource>> Open(const std::string& name) const override {
    if (!is_directory()) return name.empty() ? session_->Open(url_) : NotAFolder(name_, name);
    CAIRN_RETURN_IF_ERROR(CheckFileName(name_, name));
    return session_->Open(url_.Child(name));
  }

  absl::StatusOr<std::unique_ptr<SourceTree>> OpenParent() const override {
    if (is_directory()) return SourceTree::OpenParent();
    return std::make_unique<S3Tree>(session_, url_.Parent());
  }

  absl::StatusOr<std::unique_ptr<SourceTree>> OpenFolder(const std::string& folder) const override {
    if (!is_directory()) return SourceTree::OpenFolder(folder);
    CAIRN_RETURN_IF_ERROR(CheckFileName(name_, folder));
    const Url url = url_.Child(absl::StrCat(folder, "/"));
    CAIRN_RETURN_IF_ERROR(session_->Check(url));
    CAIRN_ASSIGN_OR_RETURN(const S3Listing listing, Client().List(url.path, /*delimiter=*/true, 1, /*cut=*/true));
    if (listing.keys.empty() && listing.prefixes.empty()) return SourceTree::OpenFolder(folder);
    return std::make_unique<S3Tree>(session_, url);
  }

 private:
  S3Client Client() const { return S3Client(session_->http(), session_->aws(), url_.host); }

  const std::shared_ptr<UrlSession> session_;
  const Url url_;
  const std::string name_;
  mutable absl::Mutex mu_;
  mutable bool listed_ ABSL_GUARDED_BY(mu_) = false;
  mutable std::vector<std::string> found_ ABSL_GUARDED_BY(mu_);
};

absl::StatusOr<std::unique_ptr<UrlTree>> OpenS3(std::shared_ptr<UrlSession> session, Url url) {
  absl::Status as_file;
  if (!url.is_folder()) {
    as_file = session->Open(url).status();
    if (as_file.ok()) return std::make_unique<S3Tree>(std::move(session), std::move(url));
    if (!absl::IsNotFound(as_file)) return as_file;
    url.path.push_back('/');
  }
  CAIRN_RETURN_IF_ERROR(session->Check(url));
  S3Client client(session->http(), session->aws(), url.host);
  CAIRN_ASSIGN_OR_RETURN(const S3Listing listing, client.List(url.path, /*delimiter=*/true, 1, /*cut=*/true));
  if (!listing.keys.empty() || !listing.prefixes.empty()) return std::make_unique<S3Tree>(std::move(session), std::move(url));
  if (!as_file.ok()) return as_file;
  return absl::NotFoundError(absl::StrCat(url.Shown(), ": no object has a key that begins so"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<UrlTree>> OpenUrlTree(const std::string& text, const UrlOptions& options) {
  CAIRN_ASSIGN_OR_RETURN(Url url, Url::Parse(text));
  if (options.allowed != nullptr) CAIRN_RETURN_IF_ERROR(options.allowed->Check(url));
  if (!url.is_s3() && url.is_folder()) {
    return absl::InvalidArgumentError(absl::StrCat(url.Shown(), ": http lists no folders; expected the URL of a file, of an index (model.safetensors.index.json) for several"));
  }
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<UrlSession> session, UrlSession::Make(url, options));
  if (url.is_s3()) return OpenS3(std::move(session), std::move(url));
  // Detection takes any error for "not this format", so what is wrong with the server is said here.
  CAIRN_RETURN_IF_ERROR(session->Open(url).status());
  return std::make_unique<HttpTree>(std::move(session), std::move(url));
}

absl::StatusOr<std::unique_ptr<SinkTree>> CreateUrlTree(const std::string& text, const UrlOptions& options, SinkTreeOptions sink_options) {
  CAIRN_ASSIGN_OR_RETURN(const Url url, Url::Parse(text));
  if (options.allowed != nullptr) CAIRN_RETURN_IF_ERROR(options.allowed->Check(url));
  if (!url.is_s3()) {
    return absl::InvalidArgumentError(absl::StrCat(url.Shown(), ": nothing can be written over http; expected a path or s3://BUCKET/KEY"));
  }
  if (url.path.empty()) return absl::InvalidArgumentError(absl::StrCat(url.Shown(), ": expected s3://BUCKET/KEY, or s3://BUCKET/KEY/ for a folder"));
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<UrlSession> session, UrlSession::Make(url, options));
  return CreateS3SinkTree(std::move(session), url, sink_options);
}

}  // namespace cairn
