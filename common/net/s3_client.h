#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/net/aws_settings.h"
#include "common/net/http_client.h"
#include "common/net/s3_xml.h"

namespace cairn {

// The calls of S3 that reading folders and writing take, on one bucket. Thread-safe; calls block. Errors name
// "s3://BUCKET/KEY".
class S3Client {
 public:
  // Both must outlive it.
  S3Client(HttpClient& http, const AwsSettings& settings, std::string bucket) : http_(http), settings_(settings), bucket_(std::move(bucket)) {}

  struct Object {
    uint64_t size = 0;
    std::string etag;
  };
  // Nothing where there is no such key.
  absl::StatusOr<std::optional<Object>> Head(const std::string& key);
  // All keys that begin so; with `delimiter` those without it behind the prefix, and prefixes for the rest. At most
  // `limit` of either: RESOURCE_EXHAUSTED, or with `cut` just those.
  absl::StatusOr<S3Listing> List(const std::string& prefix, bool delimiter, size_t limit, bool cut = false);
  absl::Status Put(const std::string& key, absl::string_view bytes);
  absl::Status Delete(const std::string& key);

  absl::StatusOr<std::string> StartUpload(const std::string& key);
  // The ETag of the part.
  absl::StatusOr<std::string> PutPart(const std::string& key, const std::string& upload, int number, absl::string_view bytes);
  // Makes the object. Safe to be repeated: where the answer to the first call was lost, what is there is looked at.
  absl::Status FinishUpload(const std::string& key, const std::string& upload, const std::vector<std::string>& etags, uint64_t size);
  absl::Status AbortUpload(const std::string& key, const std::string& upload);

 private:
  // `query`: pairs that are not escaped.
  HttpRequest Request(absl::string_view method, const std::string& key, std::vector<std::pair<std::string, std::string>> query) const;
  absl::StatusOr<HttpResponse> Send(const HttpRequest& request, const std::string& key, absl::Span<const int> expected = {});

  HttpClient& http_;
  const AwsSettings& settings_;
  const std::string bucket_;
};

}  // namespace cairn
