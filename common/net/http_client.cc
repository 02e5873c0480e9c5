#include "common/net/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "common/net/s3_xml.h"

namespace cairn {
namespace {

constexpr int kMostRedirects = 5;
constexpr uint64_t kMaxErrorBody = 16u << 10;
constexpr size_t kMostIdle = 8;
constexpr long kStallBytesPerSecond = 256;
constexpr absl::Duration kTick = absl::Milliseconds(50);

std::string AuthoritiesFile() {
  for (const char* const name : {"CURL_CA_BUNDLE", "SSL_CERT_FILE", "AWS_CA_BUNDLE"}) {
    if (std::string path = EnvironmentVariable(name); !path.empty()) return path;
  }
  return std::string();
}

bool IsRedirect(int status) { return status == 301 || status == 302 || status == 303 || status == 307 || status == 308; }

bool IsTransientStatus(int status) { return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504; }

// Those that say that a connection could not be made or broke, and not that the answer is wrong.
bool IsTransient(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_AGAIN:
      return true;
    default:
      return false;
  }
}

}  // namespace

const std::string& HttpResponse::Header(const std::string& name) const {
  static const auto& none = *new std::string;
  const auto found = headers.find(name);
  return found == headers.end() ? none : found->second;
}

// What the library's callbacks see.
struct HttpClient::Transfer {
  HttpClient* client = nullptr;
  const HttpRequest* request = nullptr;
  HttpResponse* response = nullptr;
  absl::Status refused;      // By us, and why.
  bool accepted = false;
  bool enough = false;       // Of an error's body.
  uint64_t sent = 0;

  bool Accept() {
    if (accepted || IsRedirect(response->status)) return true;
    accepted = true;
    if (request->accept) refused = request->accept(*response);
    return refused.ok();
  }

  static size_t OnHeader(char* data, size_t size, size_t count, void* user) {
    auto* transfer = static_cast<Transfer*>(user);
    const absl::string_view line = absl::StripAsciiWhitespace(absl::string_view(data, size * count));
    HttpResponse& response = *transfer->response;
    if (absl::StartsWith(line, "HTTP/")) {
      // Answers before the last one (100 Continue, a proxy's) are over.
      response.headers.clear();
      const size_t space = line.find(' ');
      if (space == absl::string_view::npos || !absl::SimpleAtoi(line.substr(space + 1, 3), &response.status)) response.status = 0;
    } else if (const size_t colon = line.find(':'); colon != absl::string_view::npos) {
      response.headers[absl::AsciiStrToLower(line.substr(0, colon))] = std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
    }
    return size * count;
  }

  static size_t OnBody(char* data, size_t size, size_t count, void* user) {
    auto* transfer = static_cast<Transfer*>(user);
    const size_t bytes = size * count;
    HttpResponse& response = *transfer->response;
    if (!transfer->Accept()) return 0;
    if (response.status >= 300) {
      const size_t room = kMaxErrorBody - std::min<uint64_t>(kMaxErrorBody, response.body.size());
      response.body.append(data, std::min(room, bytes));
      transfer->enough = bytes > room;
      return transfer->enough ? 0 : bytes;
    }
    const absl::Span<char> into = transfer->request->partial_into;
    if (response.status == 206 && !into.empty()) {
      if (bytes > into.size() - response.received) {
        transfer->refused = absl::FailedPreconditionError(absl::StrCat("sent more than the ", into.size(), " bytes that were asked for"));
        return 0;
      }
      std::memcpy(into.data() + response.received, data, bytes);
      response.received += bytes;
      return bytes;
    }
    if (bytes > transfer->request->max_body - std::min(transfer->request->max_body, static_cast<uint64_t>(response.body.size()))) {
      transfer->refused = absl::FailedPreconditionError(absl::StrCat("sent more than ", transfer->request->max_body, " bytes"));
      return 0;
    }
    response.body.append(data, bytes);
    return bytes;
  }

  static size_t OnRead(char* out, size_t size, size_t count, void* user) {
    auto* transfer = static_cast<Transfer*>(user);
    const absl::string_view rest = transfer->request->body.substr(transfer->sent);
    const size_t bytes = std::min(rest.size(), size * count);
    std::memcpy(out, rest.data(), bytes);
    transfer->sent += bytes;
    return bytes;
  }

  static int OnSeek(void* user, curl_off_t offset, int origin) {
    auto* transfer = static_cast<Transfer*>(user);
    if (origin != SEEK_SET || offset < 0 || static_cast<uint64_t>(offset) > transfer->request->body.size()) return CURL_SEEKFUNC_FAIL;
    transfer->sent = static_cast<uint64_t>(offset);
    return CURL_SEEKFUNC_OK;
  }

  static int OnProgress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Transfer*>(user)->client->Ends() ? 1 : 0;
  }
};

HttpClient::HttpClient(HttpOptions options) : options_(std::move(options)) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

HttpClient::~HttpClient() {
  absl::MutexLock lock(&mu_);
  for (void* const handle : idle_) curl_easy_cleanup(handle);
}

HttpAttempt HttpClient::One(const HttpRequest& request, const Url& url, bool with_user) {
  HttpAttempt attempt;
  attempt.response.url = url;
  CURL* handle = nullptr;
  {
    absl::MutexLock lock(&mu_);
    if (!idle_.empty()) {
      handle = idle_.back();
      idle_.pop_back();
    }
  }
  if (handle == nullptr) handle = curl_easy_init();
  if (handle == nullptr) {
    attempt.status = absl::ResourceExhaustedError("cannot make a handle for a connection");
    return attempt;
  }

  Transfer transfer;
  transfer.client = this;
  transfer.request = &request;
  transfer.response = &attempt.response;
  char said[CURL_ERROR_SIZE] = "";
  const std::string target = url.ForRequest(), authorities = AuthoritiesFile();
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(handle, option, value); };
  set(CURLOPT_URL, target.c_str());
  set(CURLOPT_PATH_AS_IS, 1L);  // What was signed, and what was permitted.
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_ERRORBUFFER, said);
  set(CURLOPT_USERAGENT, "cairn/" CAIRN_VERSION);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(options_.connect_timeout)));
  set(CURLOPT_LOW_SPEED_LIMIT, kStallBytesPerSecond);
  set(CURLOPT_LOW_SPEED_TIME, std::max(1L, static_cast<long>(absl::ToInt64Seconds(options_.stall_timeout))));
  set(CURLOPT_BUFFERSIZE, 512L << 10);
  set(CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
  set(CURLOPT_HEADERDATA, &transfer);
  set(CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
  set(CURLOPT_WRITEDATA, &transfer);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &Transfer::OnProgress);
  set(CURLOPT_XFERINFODATA, &transfer);
  if (!authorities.empty()) set(CURLOPT_CAINFO, authorities.c_str());
  if (with_user) {
    set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
    set(CURLOPT_USERNAME, url.user.c_str());
    set(CURLOPT_PASSWORD, url.password.c_str());
  }
  if (request.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (request.method == "PUT" || request.method == "POST") {
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(CURLOPT_READFUNCTION, &Transfer::OnRead);
    set(CURLOPT_READDATA, &transfer);
    set(CURLOPT_SEEKFUNCTION, &Transfer::OnSeek);
    set(CURLOPT_SEEKDATA, &transfer);
  } else if (request.method != "GET") {
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  HttpHeaders headers = request.headers;
  if (request.sign_with != nullptr && !request.sign_with->anonymous) {
    for (auto& header : SignV4(request.sign_with->keys, request.sign_with->region, request.method, url, request.headers, Sha256Hex(request.body),
                               options_.clock->Now())) {
      headers.push_back(std::move(header));
    }
  }
  headers.emplace_back("Expect", "");
  curl_slist* list = nullptr;
  for (const auto& [name, value] : headers) list = curl_slist_append(list, absl::StrCat(name, ":", value.empty() ? "" : " ", value).c_str());
  set(CURLOPT_HTTPHEADER, list);

  const CURLcode code = curl_easy_perform(handle);
  curl_slist_free_all(list);
  if (code == CURLE_OK) transfer.Accept();
  if (!transfer.refused.ok()) {
    attempt.status = Annotate(transfer.refused, request.url.Shown());
  } else if (code == CURLE_OK || transfer.enough) {
    attempt.may_retry = IsTransientStatus(attempt.response.status);
  } else if (Ends()) {
    attempt.status = absl::CancelledError("cancelled by the caller");
  } else {
    const std::string words = said[0] != '\0' ? said : curl_easy_strerror(code);
    attempt.may_retry = IsTransient(code);
    const bool trust = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
    const std::string message = absl::StrCat(request.url.Shown(), ": ", words, trust ? "; SSL_CERT_FILE names the authorities that are trusted" : "");
    attempt.status = attempt.may_retry || trust ? absl::UnavailableError(message) : absl::FailedPreconditionError(message);
  }
  curl_easy_reset(handle);  // It is not to write to what ends with this call.
  absl::MutexLock lock(&mu_);
  if (idle_.size() < kMostIdle) {
    idle_.push_back(handle);
  } else {
    curl_easy_cleanup(handle);
  }
  return attempt;
}

HttpAttempt HttpClient::Try(const HttpRequest& request) {
  Url url = request.url;
  const std::string origin = url.Origin();
  for (int redirects = 0;; ++redirects) {
    HttpAttempt attempt;
    if (Ends()) {
      attempt.status = absl::CancelledError("cancelled by the caller");
      return attempt;
    }
    if (options_.permit) attempt.status = options_.permit(url);
    if (!attempt.status.ok()) {
      if (redirects > 0) attempt.status = Annotate(attempt.status, absl::StrCat(request.url.Shown(), " redirects elsewhere"));
      return attempt;
    }
    attempt = One(request, url, url.Origin() == origin && !url.user.empty());
    if (!attempt.status.ok() || !IsRedirect(attempt.response.status) || request.sign_with != nullptr) return attempt;
    const std::string& location = attempt.response.Header("location");
    absl::StatusOr<Url> next = location.empty() ? absl::FailedPreconditionError("redirects without saying where to") : url.Resolve(location);
    if (next.ok() && url.scheme == Url::Scheme::kHttps && next->scheme != Url::Scheme::kHttps) {
      next = absl::FailedPreconditionError(absl::StrCat("redirects from https to ", next->Shown(), ", which is not encrypted"));
    }
    if (next.ok() && redirects == kMostRedirects) next = absl::FailedPreconditionError(absl::StrCat("more than ", kMostRedirects, " redirects, the last one to ", next->Shown()));
    if (!next.ok()) {
      attempt.status = absl::FailedPreconditionError(absl::StrCat(request.url.Shown(), ": ", next.status().message()));
      return attempt;
    }
    if (next->Origin() == origin) {
      next->user = request.url.user;
      next->password = request.url.password;
    }
    url = *std::move(next);
  }
}

absl::Status HttpClient::Pause(int attempt, const HttpAttempt& failed) {
  const absl::Status status = failed.status.ok() ? StatusOfResponse(failed.response, failed.response.url.Shown()) : failed.status;
  if (!failed.may_retry) return WithErrorInfo(status, {std::string(kUrlReason), {}});
  if (attempt >= options_.attempts) {
    return WithErrorInfo(absl::Status(status.code(), absl::StrCat(status.message(), "; tried ", attempt, " times")), {std::string(kUrlReason), {}});
  }
  absl::BitGen random;
  absl::Duration pause = options_.first_pause * absl::Uniform(random, 0.5, 1.0);
  for (int i = 1; i < attempt; ++i) pause = std::min(options_.longest_pause, pause * 2);
  double asked = 0;
  if (absl::SimpleAtod(failed.response.Header("retry-after"), &asked) && asked > 0) {
    pause = std::min(options_.longest_pause, std::max(pause, absl::Seconds(asked)));
  }
  for (; pause > absl::ZeroDuration() && !Ends(); pause -= kTick) options_.clock->Sleep(std::min(pause, kTick));
  return Ends() ? absl::CancelledError("cancelled by the caller") : absl::OkStatus();
}

absl::StatusOr<HttpResponse> HttpClient::Send(const HttpRequest& request, absl::Span<const int> expected) {
  for (int number = 1;; ++number) {
    HttpAttempt attempt = Try(request);
    const int status = attempt.response.status;
    const bool fine = status < 300 || std::count(expected.begin(), expected.end(), status) != 0;
    if (attempt.status.ok() && fine) return std::move(attempt.response);
    CAIRN_RETURN_IF_ERROR(Pause(number, attempt));
  }
}

absl::Status StatusOfResponse(const HttpResponse& response, absl::string_view what) {
  const S3Error error = ParseS3Error(response.body);
  std::string message = absl::StrCat(what, ": the server answered ", response.status);
  if (!error.code.empty()) absl::StrAppend(&message, " ", absl::CHexEscape(error.code), error.message.empty() ? "" : ": ", absl::CHexEscape(error.message));
  const std::string& region = !error.region.empty() ? error.region : response.Header("x-amz-bucket-region");
  if (!region.empty() && (response.status == 301 || response.status == 307 || response.status == 400 || response.status == 403)) {
    absl::StrAppend(&message, "; if the bucket is in region ", absl::CHexEscape(region), ", set AWS_REGION to it");
  }
  switch (response.status) {
    case 401:
    case 403:
      return absl::PermissionDeniedError(absl::StrCat(message, "; expected credentials that may do this"));
    case 404:
    case 410:
      return absl::NotFoundError(message);
    case 412:
      return absl::AbortedError(absl::StrCat(message, "; it has changed, run the command again"));
    case 408:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
      return absl::UnavailableError(message);
    default:
      return absl::FailedPreconditionError(message);
  }
}

}  // namespace cairn
