#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace cairn {

// Immutable bytes that keep whatever owns them alive: a slice of a received message, a pooled block, a string.
// Cheap to copy (one reference count). Safe to read from several threads at once.
class Buffer {
 public:
  Buffer() = default;
  // `bytes` must stay valid and unchanged for as long as `owner` lives.
  Buffer(absl::string_view bytes, std::shared_ptr<const void> owner) : bytes_(bytes), owner_(std::move(owner)) {}

  static Buffer FromString(std::string text) {
    auto owner = std::make_shared<const std::string>(std::move(text));
    absl::string_view bytes(*owner);
    return Buffer(bytes, std::move(owner));
  }

  absl::string_view bytes() const { return bytes_; }
  const char* data() const { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

  // The same owner, fewer bytes. `offset` and `length` lie within size().
  Buffer Slice(size_t offset, size_t length) const { return Buffer(bytes_.substr(offset, length), owner_); }

 private:
  absl::string_view bytes_;
  std::shared_ptr<const void> owner_;
};

inline size_t TotalSize(const std::vector<Buffer>& buffers) {
  size_t total = 0;
  for (const Buffer& buffer : buffers) total += buffer.size();
  return total;
}

}  // namespace cairn
