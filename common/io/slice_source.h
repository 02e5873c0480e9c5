#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/io/byte_source.h"

namespace cairn {

// A part of another source as a source of its own: what is stored inside a larger file and counts its offsets from its
// own first byte. Thread-safe, as the other one is; messages name that one's offsets.
class SliceSource final : public ByteSource {
 public:
  // Bytes [offset, offset + length) of `whole`. OUT_OF_RANGE if they leave it. `name` is for messages; empty: the name
  // of `whole`.
  static absl::StatusOr<std::unique_ptr<SliceSource>> Create(std::shared_ptr<const ByteSource> whole, uint64_t offset,
                                                             uint64_t length, std::string name = "") {
    if (offset > whole->size() || length > whole->size() - offset) {
      return absl::OutOfRangeError(
          absl::StrCat(whole->name(), ": bytes [", offset, ", ", offset, "+", length, ") of ", whole->size()));
    }
    return std::unique_ptr<SliceSource>(new SliceSource(std::move(whole), offset, length, std::move(name)));
  }

  uint64_t size() const override { return length_; }
  const std::string& name() const override { return name_; }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const override {
    if (offset > length_ || dst.size() > length_ - offset) {
      return absl::OutOfRangeError(
          absl::StrCat(name_, ": bytes [", offset, ", ", offset, "+", dst.size(), ") of ", length_));
    }
    return whole_->ReadAt(offset_ + offset, dst);
  }

  // Where the slice begins in the whole.
  uint64_t offset_in_whole() const { return offset_; }

 private:
  SliceSource(std::shared_ptr<const ByteSource> whole, uint64_t offset, uint64_t length, std::string name)
      : whole_(std::move(whole)),
        offset_(offset),
        length_(length),
        name_(name.empty() ? whole_->name() : std::move(name)) {}

  const std::shared_ptr<const ByteSource> whole_;
  const uint64_t offset_;
  const uint64_t length_;
  const std::string name_;
};

}  // namespace cairn
