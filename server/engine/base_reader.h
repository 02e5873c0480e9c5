#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/base/byte_budget.h"
#include "common/tensor/checkpoint_index.h"
#include "common/tensor/key_path.h"
#include "common/tensor/shape.h"
#include "server/engine/download.h"
#include "server/engine/entry_bytes.h"
#include "server/engine/extent_reader.h"
#include "server/store/object_store.h"

namespace cairn {

// What a checkpoint has where another one has something: the bytes of any box of its tensors, whatever they were saved
// as, for deltas between the two. Every byte comes from an extent whose digest was checked. One thread at a time; calls
// block.
class BaseReader {
 public:
  // `store` and what `options` name outlive the reader. It keeps at most about options.cache_bytes of extents, and more of
  // a tensor that lies in many shards, as far as the budget has that.
  BaseReader(std::shared_ptr<const OpenCheckpoint> checkpoint, ObjectStore& store, const DownloadOptions& options);

  const CheckpointRow& row() const { return checkpoint_->row; }

  // What is read next is of that box. NOT_FOUND if there is no tensor of that path and shape that comes out as `dtype`, if
  // floats are cast to `float_dtype` (not at all without it); RESOURCE_EXHAUSTED if it lies in so many pieces that reading
  // it takes more memory than there is: bytes that nobody needs a base for are cheaper then.
  absl::Status Select(const KeyPath& path, const Shape& shape, const Box& box, Dtype dtype, std::optional<Dtype> float_dtype);

  // Of the box that was selected. `dst` lies within it: it has as many bytes as any box of that extent and dtype.
  absl::Status Read(uint64_t offset, absl::Span<char> dst);

  // Lets go of all memory, and of the selection.
  void Rest();

 private:
  std::optional<size_t> Find(const KeyPath& path);
  absl::Status MakeRoom();

  const std::shared_ptr<const OpenCheckpoint> checkpoint_;
  ObjectStore& store_;
  const DownloadOptions options_;
  size_t next_ = 0;  // Entries are asked for in much the same order as they lie in.
  absl::flat_hash_map<KeyPath, size_t> tensors_;  // Made when that is not so.

  struct Selected {
    size_t entry = 0;
    Box box;
    std::optional<Dtype> float_dtype;
  };
  std::optional<Selected> selected_;
  ByteBudget::Reservation extra_;  // Of what extents_ keeps for it, above options_.cache_bytes.
  std::unique_ptr<ExtentReader> extents_;
  std::unique_ptr<EntryBytes> open_;  // Of the selection, through extents_; null if there is none.
};

}  // namespace cairn
