#pragma once

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/format/format.h"
#include "common/namemap/mapped_reader.h"

namespace cairn::testing {

// A checkpoint in memory.
class MemoryCheckpoint final : public CheckpointReader {
 public:
  // A tensor whose elements no other tensor has.
  void AddTensor(KeyPath path, Dtype dtype, Shape shape) {
    const uint64_t size = ByteSize(dtype, shape).value();
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random_());
    Add(Entry::Tensor(std::move(path), dtype, std::move(shape), size), std::move(bytes));
  }
  void AddTensor(const std::string& name, Shape shape, Dtype dtype = Dtype::kFloat32) {
    AddTensor(KeyPath::Of({name}), dtype, std::move(shape));
  }
  void Add(Entry entry, std::string bytes = "") {
    index_.entries.push_back(std::move(entry));
    bytes_.push_back(std::move(bytes));
  }

  const CheckpointIndex& index() const override { return index_; }
  absl::Status ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) override {
    if (offset > bytes_[entry].size() || dst.size() > bytes_[entry].size() - offset) {
      return absl::OutOfRangeError(absl::StrCat("read at ", offset, "+", dst.size()));
    }
    std::memcpy(dst.data(), bytes_[entry].data() + offset, dst.size());
    return absl::OkStatus();
  }
  const std::string& bytes(size_t entry) const { return bytes_[entry]; }

  // Shown path -> "dtype shape bytes", "alias of x" or the value.
  std::map<std::string, std::string> Contents() const {
    std::map<std::string, std::string> contents;
    for (size_t i = 0; i < index_.entries.size(); ++i) {
      const Entry& entry = index_.entries[i];
      contents[entry.path.ToString()] =
          entry.kind == EntryKind::kAlias
              ? absl::StrCat("alias of ", entry.target.ToString())
              : absl::StrCat(DtypeName(entry.dtype), " ", ShapeToString(entry.shape), " ", bytes_[i]);
    }
    return contents;
  }

 private:
  CheckpointIndex index_;
  std::vector<std::string> bytes_;
  std::mt19937 random_{17};
};

// Everything that a reader gives, read in pieces of odd sizes.
inline absl::StatusOr<MemoryCheckpoint> ReadAll(CheckpointReader& reader, uint64_t window = 37) {
  MemoryCheckpoint all;
  for (size_t i = 0; i < reader.index().entries.size(); ++i) {
    const Entry& entry = reader.index().entries[i];
    std::string bytes(entry.byte_size, '\0');
    for (uint64_t offset = 0; offset < bytes.size(); offset += window) {
      const uint64_t length = std::min<uint64_t>(window, bytes.size() - offset);
      const absl::Status read = reader.ReadAt(i, offset, absl::MakeSpan(bytes.data() + offset, length));
      if (!read.ok()) return read;
    }
    all.Add(entry, std::move(bytes));
  }
  return all;
}

// What steps make of a checkpoint.
inline absl::StatusOr<MemoryCheckpoint> Apply(MemoryCheckpoint& source, absl::Span<const MapStep> steps,
                                              const Symbols& given = {}, const ConfigDocuments& config = {}) {
  const absl::StatusOr<MappedPlan> plan = MakeMappedPlan(source.index(), steps, config, given);
  if (!plan.ok()) return plan.status();
  MappedReader reader(source, *plan, {.scratch_bytes = 4096});
  return ReadAll(reader);
}

}  // namespace cairn::testing
