#pragma once

#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/io/byte_sink.h"
#include "common/io/byte_source.h"

namespace cairn {

// A source over a string, for tests, fuzzers and small files.
class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::string bytes, std::string name = "memory") : bytes_(std::move(bytes)), name_(std::move(name)) {}
  uint64_t size() const override { return bytes_.size(); }
  const std::string& name() const override { return name_; }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const override {
    if (offset > bytes_.size() || dst.size() > bytes_.size() - offset) {
      return absl::OutOfRangeError(absl::StrCat(name_, ": bytes [", offset, ", ", offset, "+", dst.size(), ") of ", bytes_.size()));
    }
    if (!dst.empty()) std::memcpy(dst.data(), bytes_.data() + offset, dst.size());
    return absl::OkStatus();
  }

 private:
  const std::string bytes_;
  const std::string name_;
};

// A sink into a string of the caller's, which holds the bytes after Close().
class MemorySink final : public ByteSink {
 public:
  explicit MemorySink(std::string* out, std::string name = "memory") : out_(out), name_(std::move(name)) {}
  const std::string& name() const override { return name_; }
  absl::Status Append(absl::string_view bytes) override {
    bytes_.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  uint64_t size() const override { return bytes_.size(); }
  absl::Status Close() override {
    *out_ = std::move(bytes_);
    return absl::OkStatus();
  }

 private:
  std::string bytes_;
  std::string* const out_;
  const std::string name_;
};

}  // namespace cairn
