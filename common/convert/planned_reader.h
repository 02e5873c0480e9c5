#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/convert/convert_plan.h"
#include "common/format/format.h"

namespace cairn {

// A plan as a reader: the index is the target's, and bytes are cast as they are read. For targets that pull,
// at any offset and as often as they like, where RunConvert pushes. Both arguments must outlive it.
class PlannedReader final : public CheckpointReader {
 public:
  PlannedReader(CheckpointReader& source, const ConvertPlan& plan) : source_(source), plan_(plan) {}

  const CheckpointIndex& index() const override { return plan_.target; }
  absl::Status ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) override;
  absl::Status WillRead(absl::Span<const EntryRange> ranges) override;

 private:
  absl::Status ReadCast(const ConvertPlan::Step& step, uint64_t offset, absl::Span<char> dst);

  CheckpointReader& source_;
  const ConvertPlan& plan_;
  std::vector<char> window_;  // Source elements.
};

}  // namespace cairn
