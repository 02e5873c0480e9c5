#include "common/base/digest.h"

#include <openssl/evp.h>

#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace cairn {

std::string Digest::ToHex() const { return absl::BytesToHexString(AsBytes()); }

absl::StatusOr<Digest> Digest::FromBytes(absl::string_view raw) {
  Digest digest;
  if (raw.size() != digest.bytes.size()) {
    return absl::InvalidArgumentError(absl::StrCat("digest: expected 32 bytes, found ", raw.size()));
  }
  std::memcpy(digest.bytes.data(), raw.data(), raw.size());
  return digest;
}

// The context is made once and reset per digest: EVP looks the algorithm up by name otherwise, which costs more
// than hashing a small tensor.
struct Digester::State {
  EVP_MD* algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() {
    EVP_MD_CTX_free(context);
    EVP_MD_free(algorithm);
  }
};

Digester::Digester() : state_(std::make_unique<State>()) {
  EVP_DigestInit_ex2(state_->context, state_->algorithm, nullptr);
}
Digester::~Digester() = default;
Digester::Digester(Digester&&) noexcept = default;
Digester& Digester::operator=(Digester&&) noexcept = default;

void Digester::Update(absl::string_view bytes) { EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()); }

Digest Digester::Finish() {
  Digest digest;
  unsigned int length = 0;
  EVP_DigestFinal_ex(state_->context, digest.bytes.data(), &length);
  EVP_DigestInit_ex2(state_->context, state_->algorithm, nullptr);
  return digest;
}

Digest DigestOf(absl::string_view bytes) {
  thread_local Digester digester;
  digester.Update(bytes);
  return digester.Finish();
}

}  // namespace cairn
