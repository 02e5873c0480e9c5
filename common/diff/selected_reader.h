#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/format/format.h"
#include "common/tensor/selection.h"

namespace cairn {

// A checkpoint that is to be compared with another one.
struct DiffSide {
  std::unique_ptr<CheckpointReader> reader;
  std::vector<std::string> digests;    // By entry, if any are known: CompareOptions.
  std::vector<size_t> source_entries;  // By entry: which one it was before SelectInBoth chose. Empty: the same.
};

// Of two checkpoints only what the patterns choose. INVALID_ARGUMENT, reason kSelectReason, for patterns that do not parse
// or match nothing in either.
inline constexpr char kSelectReason[] = "SELECT";
absl::Status SelectInBoth(const std::vector<std::string>& patterns, DiffSide& first, DiffSide& second);

// The same entries with more metadata, which goes over what is there. `source` outlives it.
class LabelledReader final : public CheckpointReader {
 public:
  LabelledReader(CheckpointReader& source, const std::map<std::string, std::string>& metadata);
  const CheckpointIndex& index() const override { return index_; }
  absl::Status ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) override { return source_.ReadAt(entry, offset, dst); }
  absl::Status WillRead(absl::Span<const EntryRange> ranges) override { return source_.WillRead(ranges); }

 private:
  CheckpointReader& source_;
  CheckpointIndex index_;
};

}  // namespace cairn
