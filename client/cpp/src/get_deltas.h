#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cairn/connection.h"
#include "cairn/types.h"
#include "client/cpp/src/get_answer.h"
#include "common/base/buffer.h"
#include "common/delta/delta.h"

namespace cairn::client {

// Makes bytes of the deltas of a GetStream, from what the caller holds. One thread.
class GetDeltas {
 public:
  // `held` may be null: then bases are given with each delta.
  explicit GetDeltas(std::shared_ptr<HeldBytes> held) : held_(std::move(held)) {}

  // What a delta became. Invalid after the next call.
  struct Undone {
    bool base_fits = true;    // False: the caller's base is another than the daemon's, and there are no bytes.
    bool same = false;        // The bytes are those of the base.
    absl::string_view bytes;
  };
  // `in_place`: the base, where there is no HeldBytes; empty: there is none either. DATA_LOSS for a delta that is none.
  absl::StatusOr<Undone> Undo(const GetAnswer::Chunk& chunk, const GetEntry& entry, absl::Span<const char> in_place);

 private:
  const std::shared_ptr<HeldBytes> held_;
  DeltaDecoder decoder_;
  std::string joined_;
  std::string base_;
  std::string made_;
};

}  // namespace cairn::client
