#include "common/net/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/digest.h"

namespace cairn {
namespace {

constexpr absl::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string Hmac(absl::string_view key, absl::string_view text) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()), text.size(), out, &size);
  return std::string(reinterpret_cast<const char*>(out), size);
}

std::string CanonicalQuery(absl::string_view query) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const absl::string_view part : absl::StrSplit(query, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair = absl::StrSplit(part, absl::MaxSplits('=', 1));
    pairs.emplace_back(pair.first, pair.second);
  }
  std::sort(pairs.begin(), pairs.end());
  return absl::StrJoin(pairs, "&", absl::PairFormatter("="));
}

}  // namespace

std::string Sha256Hex(absl::string_view bytes) { return DigestOf(bytes, DigestAlgorithm::kSha256).ToHex(); }

HttpHeaders SignV4(const AwsKeys& keys, absl::string_view region, absl::string_view method, const Url& url, const HttpHeaders& headers,
                   absl::string_view payload_sha256, absl::Time now) {
  const std::string time = absl::FormatTime("%Y%m%dT%H%M%SZ", now, absl::UTCTimeZone());
  const std::string date = time.substr(0, 8);
  HttpHeaders added = {{"x-amz-content-sha256", std::string(payload_sha256)}, {"x-amz-date", time}};
  if (!keys.session_token.empty()) added.emplace_back("x-amz-security-token", keys.session_token);
  std::map<std::string, std::string> sorted = {{"host", url.HostHeader()}};
  HttpHeaders all = headers;
  all.insert(all.end(), added.begin(), added.end());
  for (const auto& [name, value] : all) sorted[absl::AsciiStrToLower(name)] = std::string(absl::StripAsciiWhitespace(value));
  const std::string names = absl::StrJoin(sorted, ";", [](std::string* out, const auto& header) { absl::StrAppend(out, header.first); });
  std::string canonical = absl::StrCat(method, "\n", url.path, "\n", CanonicalQuery(url.query), "\n");
  for (const auto& [name, value] : sorted) absl::StrAppend(&canonical, name, ":", value, "\n");
  absl::StrAppend(&canonical, "\n", names, "\n", payload_sha256);
  const std::string scope = absl::StrCat(date, "/", region, "/s3/aws4_request");
  const std::string to_sign = absl::StrCat(kAlgorithm, "\n", time, "\n", scope, "\n", Sha256Hex(canonical));
  const std::string key = Hmac(Hmac(Hmac(Hmac(absl::StrCat("AWS4", keys.secret_key), date), region), "s3"), "aws4_request");
  added.emplace_back("Authorization", absl::StrCat(kAlgorithm, " Credential=", keys.access_key, "/", scope, ", SignedHeaders=", names,
                                                   ", Signature=", absl::BytesToHexString(Hmac(key, to_sign))));
  return added;
}

}  // namespace cairn
