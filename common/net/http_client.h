#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/base/cancellation.h"
#include "common/base/clock.h"
#include "common/net/aws_settings.h"
#include "common/net/sigv4.h"
#include "common/net/url.h"

namespace cairn {

struct HttpOptions {
  Cancellation cancellation;
  // Asked now and then by whoever waits, in the thread that waits; true ends everything, like the cancellation. May be empty.
  std::function<bool()> interrupted;
  // Asked before a byte goes to a URL, that of a redirect too. Empty: every one is fine.
  std::function<absl::Status(const Url&)> permit;
  absl::Duration connect_timeout = absl::Seconds(10);
  absl::Duration stall_timeout = absl::Seconds(30);  // Without (almost) any byte.
  int attempts = 6;
  absl::Duration first_pause = absl::Milliseconds(200);  // Doubled each time, and cut at random to half of it at least.
  absl::Duration longest_pause = absl::Seconds(10);
  const Clock* clock = &Clock::Real();
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // By name in lower case.
  std::string body;      // What did not go into the request's buffer; of an error the begin of it.
  uint64_t received = 0;  // Bytes in the request's buffer.
  Url url;               // Where it came from in the end.
  const std::string& Header(const std::string& name) const;
};

struct HttpRequest {
  std::string method = "GET";
  Url url;  // http or https.
  HttpHeaders headers;
  absl::string_view body;
  const AwsSettings* sign_with = nullptr;  // Then redirects are not followed, also where nothing is signed (anonymous).
  // Where the body of a 206 goes; one that has more is an error.
  absl::Span<char> partial_into;
  uint64_t max_body = 16u << 20;  // Of what goes into HttpResponse::body.
  // Looks at status and headers of what is no redirect before the body comes; not OK ends the transfer.
  std::function<absl::Status(const HttpResponse&)> accept;
};

// What came of one try.
struct HttpAttempt {
  absl::Status status;     // OK: there is a response, whatever its status.
  bool may_retry = false;  // The same request may fare better later.
  HttpResponse response;   // Headers and bytes so far, also where the transfer broke.
};

// HTTP/1.1 over kept connections. Certificates are checked, with SSL_CERT_FILE, CURL_CA_BUNDLE or AWS_CA_BUNDLE in place of
// the system's authorities. No cookies, no .netrc, no content coding. Thread-safe; calls block.
class HttpClient {
 public:
  explicit HttpClient(HttpOptions options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Follows up to 5 redirects, by its own hand: https never becomes http, and user and password of the URL stay with its
  // origin.
  HttpAttempt Try(const HttpRequest& request);
  // Tries until there is an answer that is not to be tried again, or attempts are used up. A status of 400 and above is an
  // error (StatusOfResponse), unless it is in `expected`.
  absl::StatusOr<HttpResponse> Send(const HttpRequest& request, absl::Span<const int> expected = {});
  // Waits before the attempt after number `attempt` (from 1). What went wrong, where there is none.
  absl::Status Pause(int attempt, const HttpAttempt& failed);
  // Ends what runs and whatever would begin. For destructors.
  void Stop() { stopped_ = true; }
  // Whether nothing more is to be done: stopped, cancelled or interrupted.
  bool Ends() const { return stopped_ || options_.cancellation.cancelled() || (options_.interrupted && options_.interrupted()); }

  const HttpOptions& options() const { return options_; }

 private:
  struct Transfer;
  HttpAttempt One(const HttpRequest& request, const Url& url, bool with_user);

  const HttpOptions options_;
  std::atomic<bool> stopped_{false};
  absl::Mutex mu_;
  std::vector<void*> idle_ ABSL_GUARDED_BY(mu_);  // Handles of the library, each with its connections.
};

// The reason (error_info.h) of errors that a server, or the way there, is the cause of.
inline constexpr absl::string_view kUrlReason = "URL_FAILED";

// The error that a response stands for. PERMISSION_DENIED, NOT_FOUND, UNAVAILABLE, ...; with what S3 says in its body.
absl::Status StatusOfResponse(const HttpResponse& response, absl::string_view what);

}  // namespace cairn
