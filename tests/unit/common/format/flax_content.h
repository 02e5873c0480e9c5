#pragma once

// What the tests of the formats with Flax leaves share: golden files, and checkpoints in memory.

#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"
#include "common/io/memory_io.h"
#include "gtest/gtest.h"

namespace cairn::testing {

// `name` counts from tests/golden.
inline std::string GoldenFile(const std::string& name) {
  std::ifstream file(CAIRN_SOURCE_DIR "/tests/golden/" + name, std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// A tensor that NumPy says is in a golden file.
struct ListedTensor {
  std::string key, dtype;
  Shape shape;
  std::string bytes;
};

// The lines of a golden file's NAME.txt.
inline std::vector<ListedTensor> ListingOf(const std::string& text) {
  std::vector<ListedTensor> tensors;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> fields = absl::StrSplit(line, '\t');
    ListedTensor tensor{fields[0], fields[1], {}, absl::HexStringToBytes(fields[3])};
    for (absl::string_view extent : absl::StrSplit(fields[2], ',', absl::SkipEmpty())) {
      EXPECT_TRUE(absl::SimpleAtoi(extent, &tensor.shape.emplace_back()));
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

// One file in memory, visible in `*out` after Commit().
class MemorySinkTree final : public SinkTree {
 public:
  explicit MemorySinkTree(std::string* out) : out_(out) {}
  const std::string& name() const override { return name_; }
  absl::StatusOr<std::unique_ptr<ByteSink>> Create(const std::string&) override {
    return std::make_unique<MemorySink>(&closed_, name_);
  }
  absl::Status Commit() override {
    *out_ = std::move(closed_);
    return absl::OkStatus();
  }

 private:
  std::string* const out_;
  std::string closed_;
  const std::string name_ = "target";
};

// One file that counts what is asked of it.
class CountingTree final : public SourceTree {
 public:
  explicit CountingTree(std::string bytes) : bytes_(std::move(bytes)) {}
  const std::string& name() const override { return name_; }
  bool is_directory() const override { return false; }
  absl::StatusOr<std::vector<std::string>> List() const override { return std::vector<std::string>{""}; }
  absl::StatusOr<std::unique_ptr<ByteSource>> Open(const std::string&) const override {
    return std::make_unique<Counting>(*this);
  }
  uint64_t read_bytes() const { return read_bytes_; }
  uint64_t reads() const { return reads_; }

 private:
  class Counting final : public ByteSource {
   public:
    explicit Counting(const CountingTree& tree) : tree_(tree), source_(tree.bytes_) {}
    uint64_t size() const override { return source_.size(); }
    const std::string& name() const override { return tree_.name_; }
    absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const override {
      tree_.read_bytes_ += dst.size();
      ++tree_.reads_;
      return source_.ReadAt(offset, dst);
    }

   private:
    const CountingTree& tree_;
    const MemorySource source_;
  };
  const std::string bytes_;
  const std::string name_ = "counting";
  mutable uint64_t read_bytes_ = 0;
  mutable uint64_t reads_ = 0;
};

// A checkpoint with the bytes of its tensors, entry by entry.
struct Content {
  CheckpointIndex index;
  std::vector<std::string> bytes;

  void Add(Entry entry, std::string payload = "") {
    index.entries.push_back(std::move(entry));
    bytes.push_back(std::move(payload));
  }
  void AddTensor(KeyPath path, Dtype dtype, Shape shape, std::string payload) {
    const uint64_t size = payload.size();
    Add(Entry::Tensor(std::move(path), dtype, std::move(shape), size), std::move(payload));
  }
};

inline absl::StatusOr<Content> ReadContent(CheckpointReader& reader) {
  Content content;
  content.index = reader.index();
  for (size_t i = 0; i < content.index.entries.size(); ++i) {
    std::string& bytes = content.bytes.emplace_back(content.index.entries[i].byte_size, '?');
    CAIRN_RETURN_IF_ERROR(reader.ReadAt(i, 0, absl::MakeSpan(bytes)));
  }
  return content;
}

// Gives a writer everything. Payloads come in pieces of `piece` bytes.
inline absl::Status WriteThrough(CheckpointWriter& writer, const Content& content, size_t piece) {
  CAIRN_ASSIGN_OR_RETURN(const std::vector<size_t> order, writer.Begin(content.index));
  for (const size_t entry : order) {
    CAIRN_RETURN_IF_ERROR(writer.StartEntry(entry).status());
    for (absl::string_view rest = content.bytes[entry]; !rest.empty(); rest.remove_prefix(std::min(piece, rest.size()))) {
      CAIRN_RETURN_IF_ERROR(writer.Append(rest.substr(0, piece)));
    }
    CAIRN_RETURN_IF_ERROR(writer.FinishEntry());
  }
  return writer.Finish();
}

}  // namespace cairn::testing
