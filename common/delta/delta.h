#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace cairn {

// The difference of two runs of bytes as few bytes (DELTA.md beside this file, byte by byte). Knows elements by their
// size alone: no dtypes, no files. For pieces of tensors in diff files, in storage and on the wire.

// Numbers are stored: append, never renumber.
enum class DeltaMode : uint8_t {
  kSame = 0,       // The target is the base.
  kSparse = 1,     // Few elements changed: where, and base XOR target of these.
  kXorPlanes = 2,  // Base XOR target, split into byte planes.
  kPlanes = 3,     // The target, split into byte planes: its base does not help.
  kRaw = 4,        // The target as it is: nothing helps.
};

// Both ends hold some multiples of a piece in memory, so there is a largest one.
inline constexpr size_t kMaxDeltaBytes = 16u << 20;

// The size of what byte planes are made of, for elements of so many bytes: 1, 2, 4 or 8 (complex numbers are pairs).
size_t DeltaUnit(size_t element_bytes);

// Encodes one piece after the other; keeps its scratch memory (some four times the largest piece). One thread at a time.
class DeltaEncoder {
 public:
  // `level`: of zstd. 1 is as fast as the rest.
  explicit DeltaEncoder(int level = 1);
  ~DeltaEncoder();
  DeltaEncoder(DeltaEncoder&&) noexcept;
  DeltaEncoder& operator=(DeltaEncoder&&) noexcept;

  // What turns `base` into `target`; never longer than the target and one byte. A base of another length than the target
  // (an empty one: there is none) is not used. `unit` as DeltaUnit gives it. INVALID_ARGUMENT above kMaxDeltaBytes and for
  // another unit.
  absl::Status Encode(absl::string_view base, absl::string_view target, size_t unit, std::string* encoded);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// The inverse. One thread at a time.
class DeltaDecoder {
 public:
  DeltaDecoder();
  ~DeltaDecoder();
  DeltaDecoder(DeltaDecoder&&) noexcept;
  DeltaDecoder& operator=(DeltaDecoder&&) noexcept;

  // Fills `target` from `encoded` and the base that it was made with. May leave anything in `target` when it fails.
  // DATA_LOSS for bytes that Encode does not write; what a wrong base gives, nobody can tell here: compare digests.
  absl::Status Apply(absl::string_view encoded, absl::string_view base, absl::Span<char> target);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// The mode of an encoded delta, for reports. DATA_LOSS for no or an unknown one.
absl::Status ReadDeltaMode(absl::string_view encoded, DeltaMode* mode);

}  // namespace cairn
