#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {

// Content digest of stored bytes. Two extents with equal digests are stored once, also between users who do not
// trust each other, so the function must resist deliberate collisions: SHA-256 (docs/decisions, 0003).
struct Digest {
  std::array<uint8_t, 32> bytes{};

  bool operator==(const Digest&) const = default;
  auto operator<=>(const Digest&) const = default;

  std::string ToHex() const;
  absl::string_view AsBytes() const {
    return absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  // INVALID_ARGUMENT unless `raw` has 32 bytes.
  static absl::StatusOr<Digest> FromBytes(absl::string_view raw);

  template <typename H>
  friend H AbslHashValue(H h, const Digest& digest) {
    return H::combine(std::move(h), digest.bytes);
  }
};

// Digest of bytes that come in pieces. One thread at a time.
class Digester {
 public:
  Digester();
  ~Digester();
  Digester(Digester&&) noexcept;
  Digester& operator=(Digester&&) noexcept;

  void Update(absl::string_view bytes);
  // The digest of everything since the last Finish(); starts anew.
  Digest Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Digest DigestOf(absl::string_view bytes);

}  // namespace cairn
