#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/net/http_client.h"
#include "common/net/range_file.h"

namespace cairn {

// "bytes 5-9/100".
struct ContentRange {
  uint64_t begin = 0;
  uint64_t end = 0;  // Behind the last byte.
  uint64_t total = 0;
};
// FAILED_PRECONDITION for anything else, an unknown total included.
absl::StatusOr<ContentRange> ParseContentRange(absl::string_view text);

// A file behind http or S3 that is read by ranges. All bytes are of one state of it: it is asked for under the ETag (or
// the time of change) that it had at first, and one that has changed is ABORTED, never a mixture.
class RemoteFile final : public RangeFile {
 public:
  // `client` and `sign_with` (null: unsigned) must outlive it. `name` is for messages. FAILED_PRECONDITION for a server that
  // gives no ranges, unless the file is a small one: that is kept.
  static absl::StatusOr<std::shared_ptr<RemoteFile>> Open(HttpClient& client, const Url& url, const AwsSettings* sign_with, std::string name);

  uint64_t size() const override { return size_; }
  const std::string& name() const override { return name_; }
  absl::Status Fetch(uint64_t offset, absl::Span<char> dst) const override;
  // The first bytes, which came when it was opened.
  absl::string_view head() const { return head_; }
  // What tells this state from another. Empty where the server does not say.
  const std::string& identity() const { return identity_; }

 private:
  RemoteFile(HttpClient& client, const Url& url, const AwsSettings* sign_with, std::string name)
      : client_(client), url_(url), sign_with_(sign_with), name_(std::move(name)) {}

  absl::Status ReadHead();
  absl::Status Learn(const HttpResponse& response, uint64_t size);
  absl::Status CheckSame(const HttpResponse& response) const;
  absl::Status Changed(absl::string_view what) const;
  HttpRequest RangeRequest(const Url& url, uint64_t begin, absl::Span<char> into) const;
  Url UrlNow(bool* moved) const ABSL_LOCKS_EXCLUDED(mu_);
  void RememberUrl(const Url& url) const ABSL_LOCKS_EXCLUDED(mu_);

  HttpClient& client_;
  const Url url_;
  const AwsSettings* const sign_with_;
  const std::string name_;
  uint64_t size_ = 0;
  std::string head_;
  bool redirected_ = false;
  std::string etag_;           // Empty, or a strong one.
  std::string weak_etag_;
  std::string last_modified_;
  std::string identity_;

  mutable absl::Mutex mu_;
  // Where a redirect led to, and since when. Such places are often for some minutes only.
  mutable Url moved_to_ ABSL_GUARDED_BY(mu_);
  mutable absl::Time moved_at_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace cairn
