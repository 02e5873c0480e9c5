#include "common/net/url_session.h"

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr size_t kMostOpen = 32;

class RemoteSource final : public ByteSource {
 public:
  RemoteSource(std::shared_ptr<UrlSession> session, ReadAhead& read_ahead, std::shared_ptr<const RemoteFile> file)
      : session_(std::move(session)), read_ahead_(read_ahead), file_(std::move(file)) {}

  uint64_t size() const override { return file_->size(); }
  const std::string& name() const override { return file_->name(); }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const override {
    // What came when the file was opened needs no memory of its own.
    if (offset <= file_->head().size() && dst.size() <= file_->head().size() - offset) return file_->Fetch(offset, dst);
    absl::Status status = read_ahead_.Read(file_, offset, dst);
    if (!status.ok() && !absl::IsOutOfRange(status)) session_->set_failure(status);
    return status;
  }

 private:
  const std::shared_ptr<UrlSession> session_;
  ReadAhead& read_ahead_;  // The session's.
  const std::shared_ptr<const RemoteFile> file_;
};

}  // namespace

UrlSession::UrlSession(HttpOptions http, std::optional<AwsSettings> aws, UrlOptions options)
    : aws_(std::move(aws)), options_(std::move(options)), number_(absl::Uniform<uint64_t>(absl::BitGen())), http_(std::move(http)), read_ahead_(options_.read_ahead) {}

absl::StatusOr<std::shared_ptr<UrlSession>> UrlSession::Make(const Url& first, const UrlOptions& given) {
  UrlOptions options = given;
  HttpOptions http;
  http.cancellation = options.cancellation;
  if (options.interrupted) {
    // Threads that fetch ahead hear of it through the flag.
    http.interrupted = options.read_ahead.interrupted = [cancellation = options.cancellation, interrupted = options.interrupted] {
      if (!interrupted()) return cancellation.cancelled();
      cancellation.Cancel();
      return true;
    };
  }
  // For networks that are slower or faster than most.
  int seconds = 0;
  if (absl::SimpleAtoi(EnvironmentVariable("CAIRN_URL_TIMEOUT"), &seconds) && seconds > 0) {
    http.stall_timeout = absl::Seconds(seconds);
    http.connect_timeout = std::min(http.connect_timeout, http.stall_timeout);
  }
  std::optional<AwsSettings> aws;
  if (first.is_s3()) {
    CAIRN_ASSIGN_OR_RETURN(aws, AwsSettings::FromEnvironment());
  } else if (options.allowed != nullptr) {
    http.permit = [allowed = options.allowed](const Url& url) { return allowed->Check(url); };
  }
  return std::shared_ptr<UrlSession>(new UrlSession(std::move(http), std::move(aws), std::move(options)));
}

absl::Status UrlSession::Check(const Url& url) const { return options_.allowed == nullptr ? absl::OkStatus() : options_.allowed->Check(url); }

absl::StatusOr<std::shared_ptr<RemoteFile>> UrlSession::OpenFile(const Url& url) {
  CAIRN_RETURN_IF_ERROR(Check(url));
  const std::string key = url.is_s3() ? url.Shown() : url.ForRequest();
  {
    absl::MutexLock lock(&mu_);
    const auto found = std::find_if(open_.begin(), open_.end(), [&](const auto& one) { return one.first == key; });
    if (found != open_.end()) {
      open_.splice(open_.begin(), open_, found);
      return open_.front().second;
    }
  }
  const Url target = url.is_s3() ? aws_->UrlOf(url.host, url.path) : url;
  absl::StatusOr<std::shared_ptr<RemoteFile>> opened = RemoteFile::Open(http_, target, url.is_s3() ? &*aws_ : nullptr, url.Shown());
  if (!opened.ok()) {
    // The address behind s3:// says little to people.
    return Annotate(opened.status(), url.Shown());
  }
  std::shared_ptr<RemoteFile> file = *std::move(opened);
  const std::string state = file->identity().empty() ? absl::StrCat(number_, " ", file->size()) : file->identity();
  absl::MutexLock lock(&mu_);
  const auto [known, is_new] = identities_.try_emplace(key, state);
  if (!is_new && known->second != state) {
    return absl::AbortedError(absl::StrCat(file->name(), ": has changed while it was read; run the command again"));
  }
  open_.emplace_front(key, file);
  if (open_.size() > kMostOpen) open_.pop_back();
  return file;
}

absl::StatusOr<std::unique_ptr<ByteSource>> UrlSession::Open(const Url& url) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<RemoteFile> file, OpenFile(url));
  return std::make_unique<RemoteSource>(shared_from_this(), read_ahead_, std::move(file));
}

absl::Status UrlSession::failure() const {
  absl::MutexLock lock(&mu_);
  return failure_;
}

void UrlSession::set_failure(const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  failure_ = status;
}

std::string UrlSession::Identity() const {
  absl::MutexLock lock(&mu_);
  std::string text;
  for (const auto& [key, identity] : identities_) absl::StrAppend(&text, key.size(), ":", key, " ", identity, "\n");
  return text;
}

}  // namespace cairn
