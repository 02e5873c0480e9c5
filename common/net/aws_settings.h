#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/net/sigv4.h"
#include "common/net/url.h"

namespace cairn {

// How S3 is reached, from where other programs take it too.
struct AwsSettings {
  AwsKeys keys;
  bool anonymous = false;  // Nothing is signed: for buckets that anybody may read.
  std::string region = "us-east-1";
  std::optional<Url> endpoint;  // Then buckets are the first segment of the path.

  // With AWS_NO_SIGN_REQUEST (yes, true, 1) no keys are looked for. Otherwise
  // AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or else the profile AWS_PROFILE ("default") of
  // AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials) and of AWS_CONFIG_FILE (~/.aws/config); AWS_REGION or
  // AWS_DEFAULT_REGION, or the profile's; AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or the profile's endpoint_url.
  // FAILED_PRECONDITION where no keys are found, INVALID_ARGUMENT for an endpoint that is no URL and for an
  // AWS_NO_SIGN_REQUEST that says neither yes nor no.
  // `variable`: as getenv, for tests.
  static absl::StatusOr<AwsSettings> Read(const std::function<std::string(const std::string&)>& variable);
  static absl::StatusOr<AwsSettings> FromEnvironment();

  // Where an object, or with an empty key a bucket, is asked for.
  Url UrlOf(const std::string& bucket, const std::string& key) const;
};

// $name, or empty.
std::string EnvironmentVariable(const std::string& name);

}  // namespace cairn
