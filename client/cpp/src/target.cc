#include "client/cpp/src/target.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace cairn::client {

bool IsUnixTarget(absl::string_view target) { return absl::StartsWith(target, "unix:"); }

absl::Status CheckTarget(absl::string_view target) {
  const auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", target, "\" is no address of a daemon: ", why, "; write HOST:PORT or unix:/PATH"));
  };
  if (IsUnixTarget(target)) {
    return target.size() > 5 && target[5] == '/' ? absl::OkStatus() : bad("the path of a socket begins with '/'");
  }
  if (absl::StrContains(target, "/")) return bad("'/' in a host name");
  const size_t colon = target.rfind(':');
  if (colon == absl::string_view::npos) return bad("no port");
  if (colon == 0) return bad("no host");
  const absl::string_view host = target.substr(0, colon);
  if (absl::StrContains(host, ":") && !(host.front() == '[' && host.back() == ']')) {
    return bad("an IPv6 address stands in brackets");
  }
  int port = 0;
  if (!absl::SimpleAtoi(target.substr(colon + 1), &port) || port < 1 || port > 65535) return bad("no such port");
  return absl::OkStatus();
}

HostPort SplitTarget(absl::string_view target) {
  const size_t colon = target.rfind(':');
  absl::string_view host = target.substr(0, colon);
  if (absl::ConsumePrefix(&host, "[")) absl::ConsumeSuffix(&host, "]");
  return {std::string(host), std::string(target.substr(colon + 1))};
}

}  // namespace cairn::client
