#include "common/tls/pem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <limits>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/tls/certificate_info.h"

namespace cairn {
namespace {

using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;
using CertificatePtr = std::unique_ptr<X509, decltype(&X509_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

// OpenSSL keeps a queue of errors for each thread, and takes what is left in it for that of a later call.
class CleanErrors {
 public:
  CleanErrors() { ERR_clear_error(); }
  ~CleanErrors() { ERR_clear_error(); }
};

BioPtr Open(absl::string_view text) {
  const size_t size = text.size() > std::numeric_limits<int>::max() ? 0 : text.size();
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(size)), BIO_free);
}

absl::Status Bad(absl::string_view source, absl::string_view expected, absl::string_view found) {
  return absl::InvalidArgumentError(absl::StrCat(source, ": expected ", expected, ", found ", found));
}

bool HasPrivateKey(absl::string_view pem) { return absl::StrContains(pem, "PRIVATE KEY-----"); }
bool HasCertificate(absl::string_view pem) {
  return absl::StrContains(pem, "BEGIN CERTIFICATE-----") || absl::StrContains(pem, "BEGIN TRUSTED CERTIFICATE-----") ||
         absl::StrContains(pem, "BEGIN X509 CERTIFICATE-----");
}

std::string Contents(absl::string_view text) {
  if (text.empty()) return "nothing in it";
  if (!absl::StrContains(text, "-----BEGIN ")) return "no PEM text (a DER file is converted with openssl)";
  if (HasPrivateKey(text) && !HasCertificate(text)) return "a private key and no certificate";
  if (HasCertificate(text) && !HasPrivateKey(text)) return "a certificate and no private key";
  return "PEM blocks of other kinds";
}

// Nobody is there to be asked for a passphrase.
int NoPassphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

}  // namespace

absl::StatusOr<std::vector<CertificateInfo>> ParseCertificates(absl::string_view pem, absl::string_view source) {
  const CleanErrors clean;
  if (!HasCertificate(pem)) return Bad(source, "a certificate in PEM form", Contents(pem));
  const BioPtr bio = Open(pem);
  std::vector<CertificateInfo> found;
  while (const CertificatePtr certificate{PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr), X509_free}) {
    found.push_back(DescribeCertificate(certificate.get()));
  }
  // The end of the text is an error as well, of this kind.
  if (found.empty() || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    return Bad(source, "certificates in PEM form",
               absl::StrCat("damage in certificate ", found.size() + 1, "; was the file copied whole?"));
  }
  return found;
}

absl::Status CheckKeyPair(absl::string_view certificate_pem, absl::string_view certificate_source,
                          absl::string_view key_pem, absl::string_view key_source) {
  if (absl::Status status = ParseCertificates(certificate_pem, certificate_source).status(); !status.ok())
    return status;
  const CleanErrors clean;
  if (!HasPrivateKey(key_pem)) return Bad(key_source, "a private key in PEM form", Contents(key_pem));
  const BioPtr certificate_bio = Open(certificate_pem);
  const BioPtr key_bio = Open(key_pem);
  const CertificatePtr certificate(PEM_read_bio_X509_AUX(certificate_bio.get(), nullptr, nullptr, nullptr), X509_free);
  bool encrypted = false;
  const KeyPtr key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, NoPassphrase, &encrypted), EVP_PKEY_free);
  if (encrypted) {
    return Bad(key_source, "a private key without a passphrase",
               "an encrypted one; \"openssl pkey -in OLD -out NEW\" writes it without");
  }
  if (key == nullptr) return Bad(key_source, "a private key in PEM form", "damage; was the file copied whole?");
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(key_source, ": the key does not belong to the certificate (the first one) of ", certificate_source,
                     ", ", DescribeCertificate(certificate.get()).subject));
  }
  return absl::OkStatus();
}

}  // namespace cairn
