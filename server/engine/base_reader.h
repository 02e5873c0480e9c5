#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
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
  // `store` outlives the reader, which keeps at most about `cache_bytes` of extents.
  BaseReader(std::shared_ptr<const OpenCheckpoint> checkpoint, ObjectStore& store, uint64_t cache_bytes);

  const CheckpointRow& row() const { return checkpoint_->row; }

  // Whether there is a tensor of that path and shape, a box of which comes out as `dtype`, if floats are cast to
  // `float_dtype` (not at all without it). What is read next is of that box.
  bool Select(const KeyPath& path, const Shape& shape, const Box& box, Dtype dtype, std::optional<Dtype> float_dtype);

  // Of the box that was selected. `dst` lies within it: it has as many bytes as any box of that extent and dtype.
  absl::Status Read(uint64_t offset, absl::Span<char> dst);

  // Lets go of memory that costs only time to have again. The selection stays.
  void Rest();

 private:
  std::optional<size_t> Find(const KeyPath& path);
  absl::Status OpenSelected();

  const std::shared_ptr<const OpenCheckpoint> checkpoint_;
  ObjectStore& store_;
  const uint64_t cache_bytes_;
  size_t next_ = 0;  // Entries are asked for in much the same order as they lie in.
  absl::flat_hash_map<KeyPath, size_t> tensors_;  // Made when that is not so.

  struct Selected {
    size_t entry = 0;
    Box box;
    std::optional<Dtype> float_dtype;
  };
  std::optional<Selected> selected_;
  std::unique_ptr<ExtentReader> extents_;
  std::unique_ptr<EntryBytes> open_;  // Of the selection, through extents_.
};

}  // namespace cairn
