#include "common/net/s3_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr int kNotFound[] = {404};
constexpr size_t kMostPages = 1000;

}  // namespace

HttpRequest S3Client::Request(absl::string_view method, const std::string& key, std::vector<std::pair<std::string, std::string>> query) const {
  HttpRequest request;
  request.method = std::string(method);
  request.url = settings_.UrlOf(bucket_, key);
  request.sign_with = &settings_;
  for (const auto& [name, value] : query) {
    absl::StrAppend(&request.url.query, request.url.query.empty() ? "" : "&", UrlEscape(name, false), "=", UrlEscape(value, false));
  }
  return request;
}

absl::StatusOr<HttpResponse> S3Client::Send(const HttpRequest& request, const std::string& key, absl::Span<const int> expected) {
  absl::StatusOr<HttpResponse> response = http_.Send(request, expected);
  if (response.ok() || absl::IsCancelled(response.status())) return response;
  return Annotate(response.status(), absl::StrCat("s3://", bucket_, "/", key));
}

absl::StatusOr<std::optional<S3Client::Object>> S3Client::Head(const std::string& key) {
  CAIRN_ASSIGN_OR_RETURN(const HttpResponse response, Send(Request("HEAD", key, {}), key, kNotFound));
  if (response.status == 404) return std::nullopt;
  Object object;
  object.etag = response.Header("etag");
  if (!absl::SimpleAtoi(response.Header("content-length"), &object.size)) {
    return absl::FailedPreconditionError(absl::StrCat("s3://", bucket_, "/", key, ": the server does not say how long it is"));
  }
  return object;
}

absl::StatusOr<S3Listing> S3Client::List(const std::string& prefix, bool delimiter, size_t limit, bool cut) {
  S3Listing all;
  std::string token;
  for (size_t page = 0; page < kMostPages; ++page) {
    std::vector<std::pair<std::string, std::string>> query;
    if (!token.empty()) query.emplace_back("continuation-token", token);
    if (delimiter) query.emplace_back("delimiter", "/");
    query.emplace_back("list-type", "2");
    if (cut) query.emplace_back("max-keys", absl::StrCat(std::min<size_t>(limit, 1000)));
    query.emplace_back("prefix", prefix);
    CAIRN_ASSIGN_OR_RETURN(const HttpResponse response, Send(Request("GET", "", std::move(query)), prefix));
    absl::StatusOr<S3Listing> listing = ParseS3Listing(response.body);
    if (!listing.ok()) return Annotate(listing.status(), absl::StrCat("s3://", bucket_, "/", prefix));
    all.keys.insert(all.keys.end(), listing->keys.begin(), listing->keys.end());
    all.prefixes.insert(all.prefixes.end(), listing->prefixes.begin(), listing->prefixes.end());
    if (listing->next.empty() || (cut && all.keys.size() + all.prefixes.size() >= limit)) return all;
    if (std::max(all.keys.size(), all.prefixes.size()) > limit) break;
    token = listing->next;
  }
  return absl::ResourceExhaustedError(absl::StrCat("s3://", bucket_, "/", prefix, ": holds more than ", limit, " objects; give a folder with one checkpoint"));
}

absl::Status S3Client::Put(const std::string& key, absl::string_view bytes) {
  HttpRequest request = Request("PUT", key, {});
  request.body = bytes;
  return Send(request, key).status();
}

absl::Status S3Client::Delete(const std::string& key) { return Send(Request("DELETE", key, {}), key, kNotFound).status(); }

absl::StatusOr<std::string> S3Client::StartUpload(const std::string& key) {
  CAIRN_ASSIGN_OR_RETURN(const HttpResponse response, Send(Request("POST", key, {{"uploads", ""}}), key));
  return ParseS3UploadId(response.body);
}

absl::StatusOr<std::string> S3Client::PutPart(const std::string& key, const std::string& upload, int number, absl::string_view bytes) {
  HttpRequest request = Request("PUT", key, {{"partNumber", absl::StrCat(number)}, {"uploadId", upload}});
  request.body = bytes;
  CAIRN_ASSIGN_OR_RETURN(const HttpResponse response, Send(request, key));
  const std::string& etag = response.Header("etag");
  if (etag.empty()) return absl::FailedPreconditionError(absl::StrCat("s3://", bucket_, "/", key, ": the server gave part ", number, " no ETag"));
  return etag;
}

absl::Status S3Client::FinishUpload(const std::string& key, const std::string& upload, const std::vector<std::string>& etags, uint64_t size) {
  const std::string body = MakeS3Completion(etags);
  HttpRequest request = Request("POST", key, {{"uploadId", upload}});
  request.body = body;
  for (int number = 1;; ++number) {
    HttpAttempt attempt = http_.Try(request);
    if (attempt.status.ok() && attempt.response.status == 200) {
      if (IsS3Completion(attempt.response.body)) return absl::OkStatus();
      // It promised too early. What it says now is what counts, and is mostly that it should be asked again.
      attempt.response.status = 500;
      attempt.may_retry = true;
    }
    if (attempt.status.ok() && attempt.response.status == 404 && number > 1) {
      // An earlier call may have done it, and its answer was lost.
      CAIRN_ASSIGN_OR_RETURN(const std::optional<Object> there, Head(key));
      if (there.has_value() && there->size == size && absl::StrContains(there->etag, absl::StrCat("-", etags.size()))) return absl::OkStatus();
    }
    const absl::Status failure = http_.Pause(number, attempt);
    if (!failure.ok()) return Annotate(failure, absl::StrCat("s3://", bucket_, "/", key, ": cannot be completed"));
  }
}

absl::Status S3Client::AbortUpload(const std::string& key, const std::string& upload) {
  return Send(Request("DELETE", key, {{"uploadId", upload}}), key, kNotFound).status();
}

}  // namespace cairn
