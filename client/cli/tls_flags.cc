#include "client/cli/tls_flags.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"
#include "common/base/status_macros.h"
#include "common/io/posix_file.h"

namespace cairn::cli {
namespace {

constexpr uint64_t kMaxPemBytes = uint64_t{4} << 20;

absl::StatusOr<std::string> ReadPem(absl::string_view option, const std::string& path) {
  if (path.empty()) return std::string();
  absl::StatusOr<std::string> text = ReadSmallFile(path, kMaxPemBytes);
  if (!text.ok()) return UsageError(absl::StrCat(option, ": ", text.status().message()));
  if (!absl::StrContains(*text, "-----BEGIN ")) {
    return UsageError(
        absl::StrCat(option, ": ", path, ": expected a PEM file, found none of its \"-----BEGIN\" lines"));
  }
  return text;
}

const std::string& FirstOf(const std::string& flag, const std::string& environment) {
  return flag.empty() ? environment : flag;
}

}  // namespace

bool TlsFlags::Asks() const {
  return tls.value_or(false) || !ca.empty() || !cert.empty() || !key.empty() || !server_name.empty();
}

TlsFlags TlsFromEnvironment(const std::function<const char*(const char* name)>& get) {
  const auto text = [&](const char* name) {
    const char* value = get(name);
    return std::string(value == nullptr ? "" : value);
  };
  TlsFlags flags{std::nullopt, text("CAIRN_TLS_CA"), text("CAIRN_TLS_CERT"), text("CAIRN_TLS_KEY"),
                 text("CAIRN_TLS_SERVER_NAME")};
  if (const std::string tls = text("CAIRN_TLS"); !tls.empty()) {
    flags.tls = tls != "0" && !absl::EqualsIgnoreCase(tls, "false") && !absl::EqualsIgnoreCase(tls, "no");
  }
  return flags;
}

absl::StatusOr<std::optional<client::TlsOptions>> ReadTls(absl::string_view server, const TlsFlags& flags,
                                                          const TlsFlags& environment) {
  if (flags.tls.has_value() && !*flags.tls) {
    if (flags.Asks()) return UsageError("--no-tls, and options of TLS beside it");
    return std::nullopt;
  }
  if (!flags.Asks()) {
    const bool plain = environment.tls.has_value() && !*environment.tls;
    if (plain || !environment.Asks() || absl::StartsWith(server, "unix:")) return std::nullopt;
  }
  client::TlsOptions tls;
  CAIRN_ASSIGN_OR_RETURN(tls.root_certificates, ReadPem("--tls-ca", FirstOf(flags.ca, environment.ca)));
  CAIRN_ASSIGN_OR_RETURN(tls.client_certificate, ReadPem("--tls-cert", FirstOf(flags.cert, environment.cert)));
  CAIRN_ASSIGN_OR_RETURN(tls.client_key, ReadPem("--tls-key", FirstOf(flags.key, environment.key)));
  tls.server_name = FirstOf(flags.server_name, environment.server_name);
  return tls;
}

}  // namespace cairn::cli
