#pragma once

#include <algorithm>
#include <cstring>
#include <string>

#include "common/io/byte_sink.h"
#include "common/io/byte_source.h"

namespace cairn::testing {

// `bytes` with a run of zeros inside it that takes no memory: files beyond 4 GiB.
class SourceWithHole final : public ByteSource {
 public:
  SourceWithHole(std::string bytes, uint64_t hole, uint64_t length)
      : bytes_(std::move(bytes)), hole_(hole), length_(length) {}
  uint64_t size() const override { return bytes_.size() + length_; }
  const std::string& name() const override { return name_; }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const override {
    if (offset > size() || dst.size() > size() - offset) return absl::OutOfRangeError("outside");
    for (size_t i = 0; i < dst.size(); ++i) {
      const uint64_t at = offset + i;
      dst[i] = at < hole_ ? bytes_[at] : at < hole_ + length_ ? '\0' : bytes_[at - length_];
    }
    return absl::OkStatus();
  }

 private:
  const std::string bytes_;
  const uint64_t hole_, length_;
  const std::string name_ = "with hole";
};

// Counts everything and keeps small pieces alone.
class SinkWithHole final : public ByteSink {
 public:
  const std::string& name() const override { return name_; }
  absl::Status Append(absl::string_view bytes) override {
    if (bytes.size() < (1u << 16)) kept_.append(bytes.data(), bytes.size());
    size_ += bytes.size();
    return absl::OkStatus();
  }
  uint64_t size() const override { return size_; }
  absl::Status Close() override { return absl::OkStatus(); }
  const std::string& kept() const { return kept_; }

 private:
  std::string kept_;
  uint64_t size_ = 0;
  const std::string name_ = "with hole";
};

}  // namespace cairn::testing
