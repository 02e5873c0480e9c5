#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {

// A place that is named by "http://", "https://" or "s3://BUCKET/KEY". Parsed by the library that connects, so that no two
// parsers disagree on which host is meant.
struct Url {
  enum class Scheme { kHttp, kHttps, kS3 };

  Scheme scheme = Scheme::kHttps;
  std::string host;      // Lower case; an IPv6 address in brackets. Of S3 the bucket, as it is.
  uint16_t port = 0;     // The one that is meant, also where the text names none. 0 for S3.
  std::string path;      // As it goes over the wire, with its first '/'. Of S3 the key: without it, and nothing escaped.
  std::string query;     // Without the '?'.
  std::string user;      // Decoded.
  std::string password;

  // INVALID_ARGUMENT, which repeats no query and no password.
  static absl::StatusOr<Url> Parse(absl::string_view text);

  bool is_s3() const { return scheme == Scheme::kS3; }
  // Ends in '/', or is a bucket: a folder.
  bool is_folder() const { return path.empty() || path.back() == '/'; }
  // For people: without what may be secret, that is without user, password and query.
  std::string Shown() const;
  // "https://host:port", the bound within which credentials stay.
  std::string Origin() const;
  // "host", or "host:port" where the port is not the usual one of the scheme.
  std::string HostHeader() const;
  // What the transfer library gets: without user and password, which go in a header.
  std::string ForRequest() const;
  // What `reference` (a Location header, absolute or relative) means on this page. Without user and password.
  absl::StatusOr<Url> Resolve(absl::string_view reference) const;
  // The folder in which it lies, with a '/' at its end; the query stays.
  Url Parent() const;
  // Of a folder: what lies in it under a relative name, which is not escaped.
  Url Child(absl::string_view name) const;
};

// Whether the text begins as a URL that this program knows, whatever follows.
bool IsUrl(absl::string_view text);
// An argument for people: that of a URL without its secrets ("PREFIX::" stays), anything else as it is.
std::string ShownPlace(absl::string_view text);

// Escapes all but letters, digits and "-_.~", and '/' if `keep_slashes`: the way signatures want it.
std::string UrlEscape(absl::string_view text, bool keep_slashes);

// The URLs that an operator allows, as prefixes. A prefix ends where a segment of the path does: "https://h/a" allows
// "https://h/a" and "https://h/a/b", and not "https://h/ab". Thread-safe.
class AllowedUrls {
 public:
  AllowedUrls() = default;  // None.
  // INVALID_ARGUMENT for what is no URL, or has a query, a user or a segment "..".
  static absl::StatusOr<AllowedUrls> Make(const std::vector<std::string>& prefixes);

  bool empty() const { return prefixes_.empty(); }
  // PERMISSION_DENIED unless one of the prefixes fits. INVALID_ARGUMENT for a path that could lead out of a prefix on its
  // way ("..", also escaped; a backslash) and for user and password.
  absl::Status Check(const Url& url) const;

 private:
  std::vector<Url> prefixes_;
  std::vector<std::string> shown_;
};

}  // namespace cairn
