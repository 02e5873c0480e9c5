#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/cancellation.h"
#include "common/io/byte_source.h"
#include "common/net/aws_settings.h"
#include "common/net/http_client.h"
#include "common/net/read_ahead.h"
#include "common/net/remote_file.h"
#include "common/net/url.h"

namespace cairn {

struct UrlOptions {
  Cancellation cancellation;
  // As HttpOptions::interrupted; raises the cancellation.
  std::function<bool()> interrupted;
  // What may be asked for, each redirect and each file that an index names included. Null: everything. A daemon gives its
  // own list, and then none of the URLs has a user or a password.
  std::shared_ptr<const AllowedUrls> allowed;
  ReadAheadOptions read_ahead;
};

// What the files of one checkpoint behind a URL share: connections, credentials, memory for reading ahead, and what is
// known of each file. Thread-safe.
class UrlSession : public std::enable_shared_from_this<UrlSession> {
 public:
  // Of S3 also the credentials: FAILED_PRECONDITION where there are none.
  static absl::StatusOr<std::shared_ptr<UrlSession>> Make(const Url& first, const UrlOptions& options);
  ~UrlSession() { http_.Stop(); }

  // PERMISSION_DENIED for what is not allowed.
  absl::Status Check(const Url& url) const;
  absl::StatusOr<std::unique_ptr<ByteSource>> Open(const Url& url);
  // The states of all files that were opened until now, in a text.
  std::string Identity() const;
  // What last went wrong while bytes were read.
  absl::Status failure() const ABSL_LOCKS_EXCLUDED(mu_);
  void set_failure(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  HttpClient& http() { return http_; }
  const AwsSettings& aws() const { return *aws_; }  // Of S3 only.

 private:
  UrlSession(HttpOptions http, std::optional<AwsSettings> aws, UrlOptions options);
  absl::StatusOr<std::shared_ptr<RemoteFile>> OpenFile(const Url& url);

  const std::optional<AwsSettings> aws_;
  const UrlOptions options_;
  const uint64_t number_;  // At random: stands for the state of files of which servers tell none.
  HttpClient http_;
  mutable absl::Mutex mu_;
  // Formats open a file several times, to look at it and to read it. The last one used is in front.
  std::list<std::pair<std::string, std::shared_ptr<RemoteFile>>> open_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::string> identities_ ABSL_GUARDED_BY(mu_);
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  ReadAhead read_ahead_;  // Its threads use what stands before it.
};

}  // namespace cairn
