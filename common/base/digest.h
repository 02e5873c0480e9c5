#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {

// Which function made a digest. Its length tells: no field beside it is needed where one is stored.
enum class DigestAlgorithm : uint8_t {
  kXxh3 = 16,    // XXH3, 128 bits, canonical (big-endian) bytes: extents. Finds accidents, not adversaries.
  kSha256 = 32,  // Manifests; whatever nobody may be able to forge; extents of manifests of version 1.
};

// The digest of some bytes. Docs/decisions, 0012, say why extents have a fast one.
class Digest {
 public:
  Digest() = default;  // Of nothing: equal to no digest of bytes.

  bool operator==(const Digest&) const = default;
  auto operator<=>(const Digest&) const = default;

  DigestAlgorithm algorithm() const { return static_cast<DigestAlgorithm>(size_); }
  std::string ToHex() const;
  absl::string_view AsBytes() const {
    return absl::string_view(reinterpret_cast<const char*>(bytes_.data()), size_);
  }
  // INVALID_ARGUMENT unless `raw` has the 16 or 32 bytes of an algorithm.
  static absl::StatusOr<Digest> FromBytes(absl::string_view raw);

  template <typename H>
  friend H AbslHashValue(H h, const Digest& digest) {
    return H::combine(std::move(h), digest.bytes_);
  }

 private:
  std::array<uint8_t, 32> bytes_{};  // Zeros behind a short digest.
  uint8_t size_ = 0;
};

// Digest of bytes that come in pieces. One thread at a time.
class Digester {
 public:
  explicit Digester(DigestAlgorithm algorithm);
  ~Digester();
  Digester(Digester&&) noexcept;
  Digester& operator=(Digester&&) noexcept;

  void Update(absl::string_view bytes);
  // The digest of everything since the last Finish(); starts anew.
  Digest Finish();

 private:
  class Function;
  class Xxh3;
  class Sha256;
  std::unique_ptr<Function> function_;
};

Digest DigestOf(absl::string_view bytes, DigestAlgorithm algorithm);

}  // namespace cairn
