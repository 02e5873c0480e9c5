#include "common/base/digest.h"

#include <openssl/evp.h>
#include <xxhash.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // XXH3 with the widest vectors of the processor at hand; must come after xxhash.h.
#endif

#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace cairn {

std::string Digest::ToHex() const { return absl::BytesToHexString(AsBytes()); }

absl::StatusOr<Digest> Digest::FromBytes(absl::string_view raw) {
  if (raw.size() != static_cast<size_t>(DigestAlgorithm::kXxh3) &&
      raw.size() != static_cast<size_t>(DigestAlgorithm::kSha256)) {
    return absl::InvalidArgumentError(
        absl::StrCat("digest: expected 16 bytes (XXH3) or 32 (SHA-256), found ", raw.size()));
  }
  Digest digest;
  std::memcpy(digest.bytes_.data(), raw.data(), raw.size());
  digest.size_ = static_cast<uint8_t>(raw.size());
  return digest;
}

class Digester::Function {
 public:
  virtual ~Function() = default;
  virtual void Update(absl::string_view bytes) = 0;
  virtual Digest Finish() = 0;
};

class Digester::Xxh3 final : public Function {
 public:
  Xxh3() { XXH3_128bits_reset(state_); }
  ~Xxh3() override { XXH3_freeState(state_); }
  void Update(absl::string_view bytes) override {
#if defined(CAIRN_WITHOUT_CHECKS)
    // The first bytes are enough that different extents rarely look alike: deduplication would compare them.
    bytes = bytes.substr(0, kSample - sampled_);
    sampled_ += bytes.size();
#endif
    XXH3_128bits_update(state_, bytes.data(), bytes.size());
  }
  Digest Finish() override {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_));
    XXH3_128bits_reset(state_);
#if defined(CAIRN_WITHOUT_CHECKS)
    sampled_ = 0;
#endif
    return *Digest::FromBytes({reinterpret_cast<const char*>(canonical.digest), sizeof(canonical.digest)});
  }

 private:
#if defined(CAIRN_WITHOUT_CHECKS)
  static constexpr size_t kSample = 64;
  size_t sampled_ = 0;
#endif
  XXH3_state_t* const state_ = XXH3_createState();
};

class Digester::Sha256 final : public Function {
 public:
  Sha256() { EVP_DigestInit_ex2(context_, algorithm_, nullptr); }
  ~Sha256() override {
    EVP_MD_CTX_free(context_);
    EVP_MD_free(algorithm_);
  }
  void Update(absl::string_view bytes) override { EVP_DigestUpdate(context_, bytes.data(), bytes.size()); }
  Digest Finish() override {
    char bytes[static_cast<size_t>(DigestAlgorithm::kSha256)];
    unsigned int length = 0;
    EVP_DigestFinal_ex(context_, reinterpret_cast<unsigned char*>(bytes), &length);
    EVP_DigestInit_ex2(context_, algorithm_, nullptr);
    return *Digest::FromBytes({bytes, sizeof(bytes)});
  }

 private:
  // Made once: EVP looks the algorithm up by name otherwise, which costs more than hashing a small tensor.
  EVP_MD* const algorithm_ = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  EVP_MD_CTX* const context_ = EVP_MD_CTX_new();
};

Digester::Digester(DigestAlgorithm algorithm) {
  if (algorithm == DigestAlgorithm::kXxh3) {
    function_ = std::make_unique<Xxh3>();
  } else {
    function_ = std::make_unique<Sha256>();
  }
}
Digester::~Digester() = default;
Digester::Digester(Digester&&) noexcept = default;
Digester& Digester::operator=(Digester&&) noexcept = default;

void Digester::Update(absl::string_view bytes) { function_->Update(bytes); }
Digest Digester::Finish() { return function_->Finish(); }

Digest DigestOf(absl::string_view bytes, DigestAlgorithm algorithm) {
  thread_local Digester xxh3(DigestAlgorithm::kXxh3);
  thread_local Digester sha256(DigestAlgorithm::kSha256);
  Digester& digester = algorithm == DigestAlgorithm::kXxh3 ? xxh3 : sha256;
  digester.Update(bytes);
  return digester.Finish();
}

}  // namespace cairn
