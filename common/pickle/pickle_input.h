#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/io/byte_source.h"

namespace cairn {

// The bytes of a pickle front to back, through a window on the source or straight from memory.
class PickleInput {
 public:
  // From `offset`, which lies within the source, to its end.
  PickleInput(const ByteSource& source, uint64_t offset);
  explicit PickleInput(absl::string_view bytes);

  uint64_t consumed() const { return window_begin_ + at_; }
  uint64_t left() const { return size_ - consumed(); }
  // Why reading the source failed.
  const absl::Status& status() const { return status_; }

  // The next bytes, `size` of at most kMaxTake; valid until the next call. Null if there are fewer, or the source
  // failed.
  static constexpr size_t kMaxTake = 4096;
  const char* Take(size_t size) {
    if (window_size_ - at_ < size && !Fill(size)) return nullptr;
    const char* const taken = window_ + at_;
    at_ += size;
    return taken;
  }
  // Any number of bytes. False as above.
  bool Read(char* dst, size_t size);
  // Up to the next newline, without it. Nothing if there is none, it is more than `max_size` away, or the source
  // failed.
  std::optional<absl::string_view> Line(size_t max_size);

 private:
  bool Fill(size_t size);

  const ByteSource* const source_ = nullptr;
  const uint64_t begin_ = 0;
  const uint64_t size_;  // From begin_ on.
  std::vector<char> buffer_;
  std::string line_;
  const char* window_ = nullptr;
  size_t window_size_ = 0;
  uint64_t window_begin_ = 0;
  size_t at_ = 0;
  absl::Status status_;
};

}  // namespace cairn
