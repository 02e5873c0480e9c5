#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace cairn::delta_internal {

// DELTA.md, "blob".
enum class Coding : uint8_t { kRaw = 0, kZstd = 1, kRepeat = 2 };
inline constexpr int kCodingBits = 2;

inline constexpr size_t kMaxUnit = 8;

// The most bytes that positions of so many changed units may take. A distance within kMaxDeltaBytes has four at most. All of
// them together are no longer than the piece, so that a second byte, for 128 units and more, is rare; a few to spare.
inline size_t MaxPositionBytes(size_t changed, size_t count) { return std::min(4 * changed, changed + count / 128 + 16); }

inline bool IsUnit(size_t unit) { return unit == 1 || unit == 2 || unit == 4 || unit == 8; }

inline void PutVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

// Takes a number off the front of `bytes`; false for one that is cut or too long.
inline bool TakeVarint(absl::string_view* bytes, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (bytes->empty()) return false;
    const auto byte = static_cast<uint8_t>(bytes->front());
    bytes->remove_prefix(1);
    if (shift == 63 && byte > 1) return false;
    *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

}  // namespace cairn::delta_internal
