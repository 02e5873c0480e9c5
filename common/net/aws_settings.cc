#include "common/net/aws_settings.h"

#include <cstdlib>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/io/posix_file.h"

namespace cairn {
namespace {

constexpr uint64_t kMaxFileBytes = 1u << 20;

// The keys of one section of a file in the way of INI files. A file that cannot be read has none.
std::map<std::string, std::string> ReadSection(const std::string& path, absl::string_view section) {
  std::map<std::string, std::string> values;
  const absl::StatusOr<std::string> text = ReadSmallFile(path, kMaxFileBytes);
  if (!text.ok()) return values;
  bool inside = false;
  for (const absl::string_view raw : absl::StrSplit(*text, '\n')) {
    const absl::string_view line = absl::StripAsciiWhitespace(raw);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line.front() == '[' && line.back() == ']') {
      inside = absl::StripAsciiWhitespace(line.substr(1, line.size() - 2)) == section;
    } else if (inside) {
      const std::pair<absl::string_view, absl::string_view> pair = absl::StrSplit(line, absl::MaxSplits('=', 1));
      // What is indented belongs to a setting before it.
      if (!absl::ascii_isspace(raw.front())) values[absl::AsciiStrToLower(absl::StripAsciiWhitespace(pair.first))] = std::string(absl::StripAsciiWhitespace(pair.second));
    }
  }
  return values;
}

}  // namespace

std::string EnvironmentVariable(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? std::string() : std::string(value);
}

absl::StatusOr<AwsSettings> AwsSettings::Read(const std::function<std::string(const std::string&)>& variable) {
  const auto first_of = [](std::initializer_list<std::string> values) {
    for (const std::string& value : values) {
      if (!value.empty()) return value;
    }
    return std::string();
  };
  const std::string home = variable("HOME");
  const std::string named = first_of({variable("AWS_PROFILE"), variable("AWS_DEFAULT_PROFILE")});
  const std::string profile = named.empty() ? "default" : named;
  const std::string credentials_file = first_of({variable("AWS_SHARED_CREDENTIALS_FILE"), absl::StrCat(home, "/.aws/credentials")});
  const std::string config_file = first_of({variable("AWS_CONFIG_FILE"), absl::StrCat(home, "/.aws/config")});
  std::map<std::string, std::string> credentials = ReadSection(credentials_file, profile);
  std::map<std::string, std::string> config = ReadSection(config_file, profile == "default" ? profile : absl::StrCat("profile ", profile));

  AwsSettings settings;
  if (const std::string text = variable("AWS_NO_SIGN_REQUEST"); !text.empty() && !absl::SimpleAtob(text, &settings.anonymous)) {
    return absl::InvalidArgumentError(absl::StrCat("AWS_NO_SIGN_REQUEST: expected yes or no, found \"", absl::CHexEscape(text.substr(0, 40)), "\""));
  }
  settings.keys.access_key = variable("AWS_ACCESS_KEY_ID");
  settings.keys.secret_key = variable("AWS_SECRET_ACCESS_KEY");
  settings.keys.session_token = variable("AWS_SESSION_TOKEN");
  if (settings.keys.access_key.empty() && settings.keys.secret_key.empty()) {
    auto& from = credentials.contains("aws_access_key_id") ? credentials : config;
    settings.keys = {from["aws_access_key_id"], from["aws_secret_access_key"], from["aws_session_token"]};
  }
  if (settings.anonymous) {
    settings.keys = {};
  } else if (settings.keys.access_key.empty() || settings.keys.secret_key.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("s3: no credentials; expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or the profile \"", profile, "\" with keys in ",
                     credentials_file, "; for a bucket that anybody may read set AWS_NO_SIGN_REQUEST=yes"));
  }
  if (const std::string region = first_of({variable("AWS_REGION"), variable("AWS_DEFAULT_REGION"), config["region"]}); !region.empty()) {
    settings.region = region;
  }
  const std::string endpoint = first_of({variable("AWS_ENDPOINT_URL_S3"), variable("AWS_ENDPOINT_URL"), config["endpoint_url"]});
  if (!endpoint.empty()) {
    absl::StatusOr<Url> url = Url::Parse(endpoint);
    if (!url.ok()) return Annotate(url.status(), "AWS_ENDPOINT_URL");
    if (url->is_s3() || !url->query.empty() || !url->user.empty() || absl::StrContains(url->path, '%')) {
      return absl::InvalidArgumentError(absl::StrCat("AWS_ENDPOINT_URL: expected http(s)://HOST[:PORT], found ", url->Shown()));
    }
    settings.endpoint = *std::move(url);
  }
  return settings;
}

absl::StatusOr<AwsSettings> AwsSettings::FromEnvironment() { return Read(EnvironmentVariable); }

Url AwsSettings::UrlOf(const std::string& bucket, const std::string& key) const {
  const std::string escaped = UrlEscape(key, /*keep_slashes=*/true);
  Url url;
  if (endpoint.has_value()) {
    url = *endpoint;
    url.path = absl::StrCat(absl::StripSuffix(url.path, "/"), "/", bucket, escaped.empty() ? "" : "/", escaped);
    return url;
  }
  url.scheme = Url::Scheme::kHttps;
  url.port = 443;
  const std::string domain = absl::StrCat("s3.", region, absl::StartsWith(region, "cn-") ? ".amazonaws.com.cn" : ".amazonaws.com");
  // The certificate is for one label before the domain.
  const bool in_path = absl::StrContains(bucket, '.') || absl::StrContains(bucket, '_') || absl::AsciiStrToLower(bucket) != bucket;
  url.host = in_path ? domain : absl::StrCat(bucket, ".", domain);
  url.path = in_path ? absl::StrCat("/", bucket, escaped.empty() ? "" : "/", escaped) : absl::StrCat("/", escaped);
  return url;
}

}  // namespace cairn
