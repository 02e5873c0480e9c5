#include "common/net/url.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"

namespace cairn {
namespace {

constexpr size_t kLongestUrl = 16384;
constexpr size_t kLongestKey = 1024;  // What S3 allows.
constexpr int kMostDecodings = 5;
constexpr absl::string_view kS3 = "s3://";

using Handle = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

Handle NewHandle() { return Handle(curl_url(), curl_url_cleanup); }

std::string Part(CURLU* handle, CURLUPart part, unsigned int flags = 0) {
  char* text = nullptr;
  if (curl_url_get(handle, part, &text, flags) != CURLUE_OK) return std::string();
  std::string result(text);
  curl_free(text);
  return result;
}

// Secrets stand in queries and before an '@'.
std::string Masked(absl::string_view text) {
  const size_t end = text.find_first_of("?#");
  std::string shown(text.substr(0, end));
  const size_t scheme = shown.find("://");
  if (scheme != std::string::npos) {
    const size_t begin = scheme + 3, slash = shown.find('/', begin);
    const size_t at = shown.rfind('@', slash == std::string::npos ? std::string::npos : slash);
    if (at != std::string::npos && at >= begin && shown.compare(0, begin, kS3.data(), kS3.size()) != 0) shown.erase(begin, at + 1 - begin);
  }
  for (char& c : shown) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = '?';
  }
  return shown.substr(0, 512);
}

absl::Status Refuse(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("\"", Masked(text), "\": ", why));
}

absl::StatusOr<Url> FromHandle(CURLU* handle, absl::string_view text) {
  Url url;
  const std::string scheme = Part(handle, CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return Refuse(text, "expected http, https or s3");
  url.scheme = scheme == "http" ? Url::Scheme::kHttp : Url::Scheme::kHttps;
  url.host = absl::AsciiStrToLower(Part(handle, CURLUPART_HOST));
  uint32_t port = 0;
  if (url.host.empty() || !absl::SimpleAtoi(Part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT), &port) || port == 0 || port > 65535) {
    return Refuse(text, "expected a host and a port from 1 to 65535");
  }
  url.port = static_cast<uint16_t>(port);
  url.path = Part(handle, CURLUPART_PATH);
  url.query = Part(handle, CURLUPART_QUERY);
  url.user = Part(handle, CURLUPART_USER, CURLU_URLDECODE);
  url.password = Part(handle, CURLUPART_PASSWORD, CURLU_URLDECODE);
  return url;
}

absl::StatusOr<Url> ParseS3(absl::string_view text) {
  Url url;
  url.scheme = Url::Scheme::kS3;
  const absl::string_view rest = text.substr(kS3.size());
  const size_t slash = rest.find('/');
  url.host = std::string(rest.substr(0, slash));
  if (slash != absl::string_view::npos) url.path = std::string(rest.substr(slash + 1));
  const bool plain = std::all_of(url.host.begin(), url.host.end(), [](unsigned char c) { return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_'; });
  if (url.host.size() < 3 || url.host.size() > 255 || !plain || url.host.front() == '.' || absl::StrContains(url.host, "..")) {
    return Refuse(text, "expected s3://BUCKET/KEY with a bucket of 3 or more letters, digits, '-' and '.'");
  }
  if (url.path.size() > kLongestKey || !IsUtf8(url.path)) return Refuse(text, absl::StrCat("expected a key of UTF-8, of at most ", kLongestKey, " bytes"));
  return url;
}

// "%2e" as '.', so that a server which decodes before it resolves sees nothing else than we do.
std::string Decoded(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && absl::ascii_isxdigit(text[i + 1]) && absl::ascii_isxdigit(text[i + 2])) {
      const auto digit = [](char c) { return absl::ascii_isdigit(c) ? c - '0' : absl::ascii_tolower(c) - 'a' + 10; };
      out.push_back(static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

bool MayLeadOut(absl::string_view path) {
  std::string seen(path);
  // More than once: there are servers behind servers.
  for (int i = 0; i < kMostDecodings; ++i) {
    seen = Decoded(seen);
    if (absl::StrContains(seen, '\\') || absl::StrContains(seen, '\0')) return true;
    for (const absl::string_view segment : absl::StrSplit(seen, '/')) {
      if (segment == ".." || segment == "." || absl::StartsWith(segment, "..;")) return true;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<Url> Url::Parse(absl::string_view text) {
  if (text.size() > kLongestUrl) return Refuse(text, absl::StrCat("expected a URL of at most ", kLongestUrl, " bytes"));
  const bool strange = std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (strange) return Refuse(text, "a URL has no control characters");
  if (absl::StartsWithIgnoreCase(text, kS3)) return ParseS3(text);
  const absl::string_view whole = text.substr(0, text.find('#'));
  if (absl::StrContains(whole, '\\') || absl::StrContains(whole, ' ')) return Refuse(text, "write a space as %20 and a backslash as %5C");
  const Handle handle = NewHandle();
  // Nothing is guessed, and no other scheme is known to what connects.
  const CURLUcode code = curl_url_set(handle.get(), CURLUPART_URL, std::string(whole).c_str(), CURLU_NON_SUPPORT_SCHEME);
  if (code != CURLUE_OK) return Refuse(text, absl::StrCat("is no URL: ", curl_url_strerror(code)));
  return FromHandle(handle.get(), text);
}

std::string Url::Shown() const {
  if (is_s3()) return absl::StrCat(kS3, host, "/", path);
  return absl::StrCat(scheme == Scheme::kHttp ? "http://" : "https://", HostHeader(), path);
}

std::string Url::Origin() const {
  if (is_s3()) return absl::StrCat(kS3, host);
  return absl::StrCat(scheme == Scheme::kHttp ? "http://" : "https://", host, ":", port);
}

std::string Url::HostHeader() const {
  const uint16_t usual = scheme == Scheme::kHttp ? 80 : 443;
  return port == usual || is_s3() ? host : absl::StrCat(host, ":", port);
}

std::string Url::ForRequest() const {
  return absl::StrCat(scheme == Scheme::kHttp ? "http://" : "https://", HostHeader(), path, query.empty() ? "" : "?", query);
}

absl::StatusOr<Url> Url::Resolve(absl::string_view reference) const {
  if (reference.size() > kLongestUrl) return Refuse(Shown(), "redirects to a URL that is too long");
  const Handle handle = NewHandle();
  CURLUcode code = curl_url_set(handle.get(), CURLUPART_URL, ForRequest().c_str(), 0);
  if (code == CURLUE_OK) code = curl_url_set(handle.get(), CURLUPART_URL, std::string(reference).c_str(), CURLU_NON_SUPPORT_SCHEME | CURLU_URLENCODE);
  if (code != CURLUE_OK) return Refuse(reference, absl::StrCat("is no URL: ", curl_url_strerror(code)));
  CAIRN_ASSIGN_OR_RETURN(Url url, FromHandle(handle.get(), reference));
  url.user.clear();
  url.password.clear();
  return url;
}

Url Url::Parent() const {
  Url parent = *this;
  const size_t slash = path.rfind('/');
  parent.path = slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
  return parent;
}

Url Url::Child(absl::string_view name) const {
  Url child = *this;
  absl::StrAppend(&child.path, is_s3() ? std::string(name) : UrlEscape(name, /*keep_slashes=*/true));
  return child;
}

bool IsUrl(absl::string_view text) {
  for (const absl::string_view begin : {"http://", "https://", "s3://"}) {
    if (absl::StartsWithIgnoreCase(text, begin)) return true;
  }
  return false;
}

std::string ShownPlace(absl::string_view text) {
  size_t begin = 0;
  for (size_t at = text.find("::"); at != absl::string_view::npos && !absl::StrContains(text.substr(0, at), '/'); at = text.find("::", begin)) {
    begin = at + 2;
  }
  if (!IsUrl(text.substr(begin))) return std::string(text);
  return absl::StrCat(text.substr(0, begin), Masked(text.substr(begin)));
}

std::string UrlEscape(absl::string_view text, bool keep_slashes) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const unsigned char c : text) {
    if (absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~' || (keep_slashes && c == '/')) {
      out.push_back(static_cast<char>(c));
    } else {
      out.push_back('%');
      out.push_back(kHex[c >> 4]);
      out.push_back(kHex[c & 15]);
    }
  }
  return out;
}

absl::StatusOr<AllowedUrls> AllowedUrls::Make(const std::vector<std::string>& prefixes) {
  AllowedUrls allowed;
  for (const std::string& text : prefixes) {
    CAIRN_ASSIGN_OR_RETURN(Url url, Url::Parse(text));
    const bool query = !url.is_s3() && absl::StrContains(text, '?');
    if (query || !url.user.empty() || !url.password.empty() || absl::StrContains(text, '#')) {
      return Refuse(text, "expected the begin of URLs: without query, fragment, user and password");
    }
    if (MayLeadOut(url.path)) return Refuse(text, "\".\" and \"..\" are not allowed in URLs for the daemon");
    allowed.shown_.push_back(url.Shown());
    allowed.prefixes_.push_back(std::move(url));
  }
  return allowed;
}

absl::Status AllowedUrls::Check(const Url& url) const {
  if (prefixes_.empty()) {
    return absl::PermissionDeniedError(
        absl::StrCat("\"", url.Shown(), "\": this daemon reads and writes no URLs for its callers; its operator allows it with --allowed-urls PREFIX"));
  }
  if (!url.user.empty() || !url.password.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", url.Shown(), "\": user and password are not allowed in URLs for the daemon"));
  }
  if (MayLeadOut(url.path)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", url.Shown(), "\": \".\", \"..\" and backslashes are not allowed in URLs for the daemon"));
  }
  for (const Url& prefix : prefixes_) {
    if (prefix.scheme != url.scheme || prefix.host != url.host || prefix.port != url.port) continue;
    if (prefix.path.empty()) return absl::OkStatus();
    if (!absl::StartsWith(url.path, prefix.path)) continue;
    if (prefix.path.back() == '/' || url.path.size() == prefix.path.size() || url.path[prefix.path.size()] == '/') return absl::OkStatus();
  }
  return WithErrorInfo(absl::PermissionDeniedError(absl::StrCat("\"", url.Shown(), "\": lies outside the URLs that this daemon's operator allows: ",
                                                                absl::StrJoin(shown_, ", "))),
                       {"OUTSIDE_ALLOWED_URLS", {{"url", url.Shown()}}});
}

}  // namespace cairn
