#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/tensor/dtype.h"
#include "common/tensor/key_path.h"
#include "common/tensor/shape.h"
#include "common/tensor/shared_value.h"
#include "common/tensor/value.h"

namespace cairn {

enum class EntryKind : uint8_t {
  kTensor = 1,
  kValue = 2,
  kAsset = 3,  // A file carried along unchanged; its path is the file's name, one segment per folder.
  kAlias = 4,  // Another name of the entry `target`.
};

// One entry of a checkpoint, whatever the format it lies in.
struct Entry {
  KeyPath path;
  EntryKind kind = EntryKind::kTensor;
  Dtype dtype = Dtype::kInvalid;  // Tensor.
  Shape shape;                    // Tensor.
  uint64_t byte_size = 0;         // Tensor: ByteSize(dtype, shape). Asset: the file's length. Otherwise 0.
  SharedValue value;              // Value.
  KeyPath target;                 // Alias.

  static Entry Tensor(KeyPath path, Dtype dtype, Shape shape, uint64_t byte_size);
  static Entry OfValue(KeyPath path, Value value);
  static Entry Asset(KeyPath path, uint64_t byte_size);
  static Entry Alias(KeyPath path, KeyPath target);
};

// Something that a source holds and no entry can: an object of a class that nobody knows, with tensors inside.
struct LeftOut {
  KeyPath path;
  std::string what;  // "object of torch.optim.lr_scheduler.OneCycleLR, which holds tensors".
};

// The format-neutral description of a checkpoint: entries in their order, and metadata (text by text).
struct CheckpointIndex {
  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;
  // For reports, and for whoever wants everything or nothing.
  std::vector<LeftOut> left_out;

  // Bytes of all tensors and assets.
  uint64_t TotalBytes() const;
  // INVALID_ARGUMENT if two entries of one kind of name space (assets, and all others) share a path, an entry stands
  // both as a tensor (or an asset, an alias, a value that marks no list or tuple) and as a parent of others, or an
  // alias names no tensor of this index.
  absl::Status Check() const;
};

}  // namespace cairn
