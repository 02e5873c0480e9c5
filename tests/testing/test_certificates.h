#pragma once

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace cairn::testing {

// A certificate and its key, as PEM texts.
struct TestCertificate {
  std::string certificate;
  std::string key;
};

struct CertificateSpec {
  std::string subject = "localhost";                 // The common name.
  std::string names = "DNS:localhost,IP:127.0.0.1";  // In OpenSSL's notation. Empty: none.
  absl::Time from = absl::Now() - absl::Hours(1);
  absl::Time until = absl::Now() + absl::Hours(24 * 90);
};

// An authority of the test's own.
class TestAuthority {
 public:
  explicit TestAuthority(const std::string& name = "test authority");
  ~TestAuthority();

  // What those who trust it have.
  const std::string& pem() const { return pem_; }
  TestCertificate Issue(const CertificateSpec& spec = {}) const;

 private:
  struct Keys;
  std::unique_ptr<Keys> keys_;
  std::string pem_;
};

// The key under a passphrase.
std::string EncryptKey(const std::string& key_pem, const std::string& passphrase);

}  // namespace cairn::testing
