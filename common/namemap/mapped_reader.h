#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/format/format.h"
#include "common/namemap/mapped_plan.h"

namespace cairn {

struct MappedReadOptions {
  // Memory for rearranging tensors (see StridedReadOptions): of the entry that is read, whatever its size.
  uint64_t scratch_bytes = 64u << 20;
};

// A source under other names: the index is the plan's, and bytes are rearranged as they are read. Best read entry by
// entry from front to back; any range of any entry works. Both arguments must outlive it.
class MappedReader final : public CheckpointReader {
 public:
  MappedReader(CheckpointReader& source, const MappedPlan& plan, MappedReadOptions options = {});
  ~MappedReader() override;

  const CheckpointIndex& index() const override { return plan_.target; }
  absl::Status ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) override;
  // What is only renamed is announced to the source.
  absl::Status WillRead(absl::Span<const EntryRange> ranges) override;

 private:
  class PiecedTensor;

  CheckpointReader& source_;
  const MappedPlan& plan_;
  const MappedReadOptions options_;
  std::unique_ptr<PiecedTensor> current_;  // The entry that was read last.
  size_t current_entry_ = 0;
};

}  // namespace cairn
