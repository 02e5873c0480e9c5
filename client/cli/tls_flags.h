#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cairn/options.h"

namespace cairn::cli {

// What one place says about TLS: the command line, or the environment. Files by name; empty: it says nothing.
struct TlsFlags {
  std::optional<bool> tls;
  std::string ca;
  std::string cert;
  std::string key;
  std::string server_name;

  // Whether it says anything that asks for TLS.
  bool Asks() const;
};

// CAIRN_TLS (1 or 0), CAIRN_TLS_CA, CAIRN_TLS_CERT, CAIRN_TLS_KEY, CAIRN_TLS_SERVER_NAME. `get` gives the value of a
// variable, or null.
TlsFlags TlsFromEnvironment(const std::function<const char*(const char* name)>& get);

// What to connect to `server` with; nothing for plain text. `flags` win over `environment`, each by itself. What the
// environment says does not concern a Unix socket. USAGE for what contradicts itself, and for
// files that cannot be read or hold no PEM text.
absl::StatusOr<std::optional<client::TlsOptions>> ReadTls(absl::string_view server, const TlsFlags& flags,
                                                          const TlsFlags& environment);

}  // namespace cairn::cli
