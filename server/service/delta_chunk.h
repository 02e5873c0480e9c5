#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/buffer.h"
#include "common/delta/delta.h"
#include "common/tensor/checkpoint_index.h"
#include "common/tensor/shape.h"
#include "server/engine/base_reader.h"
#include "server/engine/checkpoint_engine.h"
#include "server/engine/download.h"

namespace cairn {

// Deltas in place of a chunk's bytes (Chunk.raw_bytes), in both directions. Transport-free. One thread at a time; calls block.

// The delta of a chunk that came, besides its bytes.
struct ChunkDelta {
  uint32_t raw_bytes = 0;
  std::string base_digest;  // Empty: it says that it needs no base.
  uint32_t crc32c = 0;      // Of what it makes.
};

// The reason of what can be sent again as bytes, and taken then. With `path` and `box` of the entry; without, if no delta of the
// save can be applied.
inline constexpr char kBaseMismatch[] = "BASE_MISMATCH";

// Makes bytes of the deltas of one PutTensor stream. Holds an extent or a few of the parent, a chunk of it and the decoder's
// memory until Rest().
class DeltaApplier {
 public:
  explicit DeltaApplier(CheckpointEngine& engine) : engine_(engine) {}

  // The bytes at `offset` of that box of the entry. FAILED_PRECONDITION (BASE_MISMATCH) if the session's parent has no such
  // bytes, or others, or damaged ones, or if there is no memory to read them; DATA_LOSS for a delta that is none, or that
  // makes something else than it says.
  absl::StatusOr<Buffer> Apply(const std::string& session_id, const Entry& entry, const std::optional<Box>& box, uint64_t offset,
                               const ChunkDelta& delta, const std::vector<Buffer>& pieces);
  void Rest();

 private:
  absl::Status OpenParent(const std::string& session_id);

  CheckpointEngine& engine_;
  std::unique_ptr<BaseReader> parent_;
  std::unique_ptr<DeltaDecoder> decoder_;
};

// Makes deltas of what one GetTensor sends to a caller that has another checkpoint.
class DeltaMaker {
 public:
  // `have`: what the caller has. `float_dtype`: what the answer is cast to. `notice`, which may be empty, is told of damage in
  // `have`: nobody else is, since what is sent instead is good.
  DeltaMaker(std::unique_ptr<BaseReader> have, std::optional<Dtype> float_dtype,
             std::function<void(absl::string_view)> notice = nullptr)
      : have_(std::move(have)), float_dtype_(float_dtype), notice_(std::move(notice)) {}

  const CheckpointRow& have() const { return have_->row(); }

  struct Made {
    std::string delta;
    std::string base_digest;
  };
  // Nothing where bytes are as good. Called with each piece, in order.
  absl::StatusOr<std::optional<Made>> Make(const Download::Piece& piece);

 private:
  const std::unique_ptr<BaseReader> have_;
  const std::optional<Dtype> float_dtype_;
  const std::function<void(absl::string_view)> notice_;
  DeltaEncoder encoder_;
  bool has_base_ = false;  // For the entry that is being sent.
  size_t unit_ = 1;
  std::string base_;
};

}  // namespace cairn
