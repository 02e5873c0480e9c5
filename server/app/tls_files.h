#pragma once

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/app/options.h"

namespace cairn {

// The certificate and the key that the daemon shows, and whose certificates it takes from clients: PEM files, which may
// be replaced while it runs. What is handed out is always a whole and good set: files that change to something that
// cannot be used are logged, and the set before stays in force. Thread-safe.
class TlsFiles {
 public:
  struct Set {
    int64_t generation = 0;  // Another for each set.
    std::string certificate;
    std::string key;
    std::string client_ca;  // Empty: clients need no certificate.
    absl::Time not_after;   // Of the certificate.
  };

  // Reads tls_cert, tls_key and tls_client_ca. Errors name option and file: NOT_FOUND, PERMISSION_DENIED,
  // INVALID_ARGUMENT for what is no PEM or does not belong together. Logs nothing.
  static absl::StatusOr<std::unique_ptr<TlsFiles>> Load(const DaemonOptions& options);

  // What is in force. Looks first whether the files have changed: a few stat() calls, and some milliseconds if they
  // have.
  std::shared_ptr<const Set> Current() ABSL_LOCKS_EXCLUDED(mu_);

  // Current(), and a warning a day about a certificate that ends soon. For once in a while, so that an operator hears
  // of bad files before the next client does.
  void Maintain(absl::Time now) ABSL_LOCKS_EXCLUDED(mu_);

  // Logs what is in force, and a key that everybody may read.
  void LogInForce() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  explicit TlsFiles(const DaemonOptions& options);

  absl::StatusOr<std::shared_ptr<const Set>> Read(int64_t generation) const;
  // What tells one state of the files from another.
  std::string Fingerprint() const;

  const std::string certificate_path_;
  const std::string key_path_;
  const std::string client_ca_path_;

  absl::Mutex mu_;
  std::string fingerprint_ ABSL_GUARDED_BY(mu_);  // Of the state that was read last, good or not.
  std::shared_ptr<const Set> set_ ABSL_GUARDED_BY(mu_);
  absl::Time next_warning_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace cairn
