#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cairn/connection.h"
#include "common/format/format.h"

namespace cairn::transfer {

// A file that holds what a stored checkpoint does, so that only the difference to that has to be sent. Tensors are found
// by their path or, in files of flat names, by its segments with `separator` between them; what has another dtype or shape
// does not count.
class HeldCheckpoint final : public client::HeldBytes {
 public:
  HeldCheckpoint(std::unique_ptr<CheckpointReader> reader, std::string separator);

  absl::StatusOr<bool> ReadAt(const client::GetEntry& entry, uint64_t offset, absl::Span<char> dst) override;

 private:
  const std::unique_ptr<CheckpointReader> reader_;
  const std::string separator_;
  std::map<std::string, size_t> tensors_;  // By shown path.
};

}  // namespace cairn::transfer
