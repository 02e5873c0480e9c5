#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {

// Appends the primitive fields of our own formats (MANIFEST.md, section "Primitives") to a string.
class BinaryWriter {
 public:
  explicit BinaryWriter(std::string* out) : out_(out) {}

  void Byte(uint8_t value) { out_->push_back(static_cast<char>(value)); }
  void Varint(uint64_t value);
  void Raw(absl::string_view bytes) { out_->append(bytes.data(), bytes.size()); }
  void Text(absl::string_view bytes) {
    Varint(bytes.size());
    Raw(bytes);
  }
  void Fixed32(uint32_t value);
  void Fixed64(uint64_t value);

 private:
  std::string* const out_;
};

// Reads them back. Every method checks what is left; errors are DATA_LOSS with the position, since whoever wrote the
// bytes was this program. The input must outlive the reader and every view that it hands out.
class BinaryReader {
 public:
  explicit BinaryReader(absl::string_view bytes) : bytes_(bytes) {}

  absl::StatusOr<uint8_t> Byte();
  absl::StatusOr<uint64_t> Varint();
  absl::StatusOr<absl::string_view> Raw(uint64_t count);
  absl::StatusOr<absl::string_view> Text();
  absl::StatusOr<uint32_t> Fixed32();
  absl::StatusOr<uint64_t> Fixed64();
  // A count of things that take at least `min_bytes` each, so that a wrong count cannot make us allocate more than
  // the input could describe.
  absl::StatusOr<uint64_t> Count(uint64_t min_bytes);

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }
  absl::Status Damaged(absl::string_view what) const;

 private:
  const absl::string_view bytes_;
  uint64_t position_ = 0;
};

}  // namespace cairn
