#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "common/seed/seed_spec.h"

namespace cairn {

struct SeedReaderOptions {
  uint64_t seed = 0;
  Dtype dtype = Dtype::kFloat32;
  std::vector<std::pair<std::string, std::string>> assets = {};  // File names and their bytes.
};

// A checkpoint that is made while it is read, in some kilobytes of memory. The bytes of an element depend on the seed, the
// tensor's path and rule, the element's number and the dtype, and on nothing else: not on other tensors, the order or the
// pieces in which anything is read, threads, or the machine. Values are doubles, rounded once to the dtype.
class SeedReader final : public CheckpointReader {
 public:
  // INVALID_ARGUMENT for a dtype that is no float of whole bytes, and for tensors that make no checkpoint.
  static absl::StatusOr<std::unique_ptr<SeedReader>> Create(const std::vector<SeedTensor>& tensors, SeedReaderOptions options);

  const CheckpointIndex& index() const override { return index_; }
  absl::Status ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) override;

 private:
  struct Source {
    Fill fill;
    SeedStream stream;
    std::string bytes;  // Of an asset.
  };
  SeedReader() = default;

  CheckpointIndex index_;
  Dtype dtype_ = Dtype::kInvalid;
  std::vector<Source> sources_;  // As index_.entries.
};

}  // namespace cairn
