#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/v1/tensor.pb.h"
#include "client/cpp/src/block_pool.h"
#include "client/cpp/src/put_window.h"
#include "client/cpp/src/upload_entry.h"
#include "common/base/buffer.h"
#include "common/delta/delta.h"

namespace cairn::client {

// Chunks of a PutStream as deltas against the parent of the save, where the caller has what the parent has. One thread.
class PutDeltas {
 public:
  // Below that a delta saves nothing that matters.
  static constexpr uint64_t kMinBytes = 512;

  // `wanted`: the daemon takes deltas against what the caller has.
  explicit PutDeltas(bool wanted) : wanted_(wanted) {}

  bool Takes(const UploadEntry& entry, uint64_t bytes) const {
    return wanted_ && bytes >= kMinBytes && bytes <= kMaxDeltaBytes && entry.has_base();
  }

  // Puts a delta in the place of `pieces`, the bytes of that chunk, and says so in `chunk`, if it is smaller by enough.
  absl::Status Encode(const UploadEntry& entry, uint64_t offset, BlockPool& pool, v1::Chunk* chunk, std::vector<Buffer>* pieces);

  // Whether `end`, with which a call ended, says that the daemon has another base than the caller, so that another call can
  // do better: from now on bytes are sent of what it names, or of everything.
  bool Refused(const absl::Status& end, PutWindow& window);

 private:
  bool wanted_;
  int refusals_ = 0;
  DeltaEncoder encoder_;
  std::string joined_;
};

}  // namespace cairn::client
