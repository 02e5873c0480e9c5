#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/base/cancellation.h"
#include "common/base/digest.h"
#include "common/format/format.h"

namespace cairn {

// A digest of a whole checkpoint that does not depend on how it was saved: neither on the file format nor on shards or the
// order of entries (common/format/cairndiff/FORMAT.md, "Content digest").
class ContentDigester {
 public:
  // `pieces`: of tensors and assets, the XXH3 digest of each piece of kDiffPieceBytes. Entries in any order, each once.
  void Add(const Entry& entry, absl::Span<const Digest> pieces);
  Digest Finish();

 private:
  struct Item {
    bool is_asset;
    KeyPath path;
    std::string record;
  };
  std::vector<Item> items_;
};

// Of a checkpoint that is read for it. `progress` is told the bytes done.
absl::StatusOr<Digest> ContentDigest(CheckpointReader& reader, const Cancellation& cancellation,
                                     const std::function<void(uint64_t)>& progress);

}  // namespace cairn
