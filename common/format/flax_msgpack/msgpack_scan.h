#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/io/byte_source.h"

namespace cairn {

// One msgpack header: what comes next, not its bytes.
struct MsgpackToken {
  enum class Type : uint8_t { kNil, kBool, kUint, kNegative, kFloat, kStr, kBin, kArray, kMap, kExt };

  Type type = Type::kNil;
  uint64_t offset = 0;    // Of the first byte of the header.
  bool boolean = false;   // kBool.
  uint64_t number = 0;    // kUint: an integer >= 0, however it was encoded.
  int64_t negative = 0;   // kNegative.
  double real = 0;        // kFloat, of 32 or 64 bits.
  uint64_t length = 0;    // kStr, kBin, kExt: payload bytes. kArray: items. kMap: pairs.
  int8_t ext_type = 0;    // kExt.

  bool IsText() const { return type == Type::kStr || type == Type::kBin; }
};

// "map", "str", ...: for messages.
absl::string_view MsgpackTypeName(MsgpackToken::Type type);

// Pulls msgpack headers out of a source, one at a time, through a small window: payloads are skipped, never loaded,
// so that a file of any size takes the same memory. Lengths are checked against the end of what is scanned as soon as
// they are read: OUT_OF_RANGE means that the bytes ended too early, INVALID_ARGUMENT that they are no msgpack; both
// messages begin with the offset. Not thread-safe; `source` must outlive the scanner.
class MsgpackScanner {
 public:
  static constexpr size_t kMinWindowBytes = 4u << 10;
  static constexpr size_t kMaxWindowBytes = 1u << 20;

  explicit MsgpackScanner(const ByteSource& source, size_t max_window_bytes = kMaxWindowBytes)
      : source_(source), end_(source.size()), max_window_bytes_(max_window_bytes) {}

  uint64_t offset() const { return offset_; }
  // Goes anywhere within the source.
  void Seek(uint64_t offset) { offset_ = offset; }

  // Where the scan stops: the source's end at first. Returns the end that it replaces. An end beyond the source's
  // stands for bytes that were torn off: lengths may reach there, headers may not.
  uint64_t SetEnd(uint64_t end) { return std::exchange(end_, end); }
  uint64_t end() const { return end_; }
  bool AtEnd() const { return offset_ >= end_; }

  // The next header. The scan then stands at its payload (kStr, kBin, kExt), which lies before the end, or at the
  // first item.
  absl::StatusOr<MsgpackToken> Next();

  // The next `length` bytes, which the caller has found small enough to be held.
  absl::Status Read(uint64_t length, std::string* bytes);
  // Passes over `length` bytes.
  absl::Status Skip(uint64_t length);
  // Passes over one whole value, containers included. INVALID_ARGUMENT for more than `max_depth` levels of them.
  absl::Status SkipValue(uint32_t max_depth);

 private:
  absl::Status Fill(uint64_t length);
  absl::StatusOr<uint64_t> Unsigned(int bytes);
  absl::Status CheckLength(const MsgpackToken& token) const;

  const ByteSource& source_;
  uint64_t offset_ = 0;
  uint64_t end_;
  const size_t max_window_bytes_;
  size_t next_window_bytes_ = kMinWindowBytes;
  uint64_t window_offset_ = 0;
  std::vector<char> window_;
};

}  // namespace cairn
