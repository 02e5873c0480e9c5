#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

// Certificates and keys as PEM texts, looked at before the TLS library gets them: its own errors name neither the file
// nor what is wrong with it. `source` is what messages call a text: the file, or the option it came from.
namespace cairn {

struct CertificateInfo {
  std::string subject;             // "CN=host, O=team".
  std::vector<std::string> names;  // DNS names and IP addresses that it is for.
  absl::Time not_before;
  absl::Time not_after;
};

// All certificates of `pem`, at least one; other PEM blocks are skipped. INVALID_ARGUMENT otherwise.
absl::StatusOr<std::vector<CertificateInfo>> ParseCertificates(absl::string_view pem, absl::string_view source);

// OK if the first private key of `key_pem` belongs to the first certificate of `certificate_pem`. INVALID_ARGUMENT: one
// of them is missing, they do not belong together, or the key is encrypted.
absl::Status CheckKeyPair(absl::string_view certificate_pem, absl::string_view certificate_source,
                          absl::string_view key_pem, absl::string_view key_source);

}  // namespace cairn
