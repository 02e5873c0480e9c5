#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/digest.h"
#include "common/format/format.h"
#include "common/tensor/key_path.h"
#include "common/tensor/shape.h"

// The fields of which the index of a diff file consists (FORMAT.md, "Fields").
namespace cairn::diff_fields {

void PutNumber(uint64_t number, std::string* out);
void PutText(absl::string_view text, std::string* out);
void PutPath(const KeyPath& path, std::string* out);
void PutShape(const Shape& shape, std::string* out);
void PutFixed32(uint32_t number, std::string* out);
void PutFixed64(uint64_t number, std::string* out);
uint32_t Fixed32(const char* bytes);
uint64_t Fixed64(const char* bytes);

// Takes fields off the front of bytes. Every Take is DATA_LOSS, with the offset, for what does not fit.
class Fields {
 public:
  explicit Fields(absl::string_view bytes) : size_(bytes.size()), left_(bytes) {}

  size_t left() const { return left_.size(); }
  absl::Status Damaged(absl::string_view what) const;

  absl::StatusOr<uint8_t> TakeByte();
  absl::StatusOr<uint64_t> TakeNumber();
  // Borrows the bytes.
  absl::StatusOr<absl::string_view> TakeText(uint64_t max_bytes);
  absl::StatusOr<KeyPath> TakePath(const ReadLimits& limits);
  absl::StatusOr<Shape> TakeShape();
  absl::StatusOr<Digest> TakeDigest(size_t bytes);

 private:
  const size_t size_;
  absl::string_view left_;
};

}  // namespace cairn::diff_fields
