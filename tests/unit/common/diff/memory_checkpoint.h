#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/format/format.h"

namespace cairn::testing {

// A checkpoint in memory.
class MemoryCheckpoint final : public CheckpointReader {
 public:
  MemoryCheckpoint& Add(Entry entry, std::string bytes = "") {
    index_.entries.push_back(std::move(entry));
    bytes_.push_back(std::move(bytes));
    return *this;
  }
  MemoryCheckpoint& Tensor(const std::string& path, Dtype dtype, Shape shape, std::string bytes) {
    const uint64_t size = *ByteSize(dtype, shape);
    bytes.resize(size);
    return Add(Entry::Tensor(*KeyPath::Parse(path), dtype, std::move(shape), size), std::move(bytes));
  }
  template <class T>
  MemoryCheckpoint& Numbers(const std::string& path, Dtype dtype, const std::vector<T>& numbers) {
    return Tensor(path, dtype, {static_cast<int64_t>(numbers.size())},
                  std::string(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(T)));
  }
  MemoryCheckpoint& OfValue(const std::string& path, Value value) {
    return Add(Entry::OfValue(*KeyPath::Parse(path), std::move(value)));
  }
  MemoryCheckpoint& Asset(const std::string& name, std::string bytes) {
    const uint64_t size = bytes.size();
    return Add(Entry::Asset(KeyPath::Of({name}), size), std::move(bytes));
  }

  CheckpointIndex& mutable_index() { return index_; }
  std::string& bytes(size_t entry) { return bytes_[entry]; }
  uint64_t bytes_read() const { return bytes_read_; }

  const CheckpointIndex& index() const override { return index_; }
  absl::Status ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) override {
    if (offset > bytes_[entry].size() || dst.size() > bytes_[entry].size() - offset) {
      return absl::OutOfRangeError(absl::StrCat("read at ", offset, "+", dst.size()));
    }
    bytes_read_ += dst.size();
    if (!dst.empty()) std::memcpy(dst.data(), bytes_[entry].data() + offset, dst.size());
    return absl::OkStatus();
  }

 private:
  CheckpointIndex index_;
  std::vector<std::string> bytes_;
  uint64_t bytes_read_ = 0;
};

}  // namespace cairn::testing
