#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/net/url.h"

namespace cairn {

struct AwsKeys {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  // May be empty.
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// AWS Signature Version 4 in the dialect of S3: paths are escaped once and not normalised. (The one that libcurl of Debian
// 12 makes is refused for a query that is not sorted and for one without a value, and takes headers apart wrongly.)
// `url` is the one that is requested, with a path and a query that are escaped as UrlEscape does. Returns the headers to
// add: host is in the signature, but not among them. `payload_sha256`: in hexadecimal.
HttpHeaders SignV4(const AwsKeys& keys, absl::string_view region, absl::string_view method, const Url& url, const HttpHeaders& headers,
                   absl::string_view payload_sha256, absl::Time now);

std::string Sha256Hex(absl::string_view bytes);

}  // namespace cairn
