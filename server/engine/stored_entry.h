#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/digest.h"
#include "common/tensor/checkpoint_index.h"
#include "common/tensor/shape.h"
#include "server/engine/binary_codec.h"

namespace cairn {

// How an extent's bytes lie in the store. In manifests: append, never renumber.
enum class ExtentEncoding : uint8_t {
  kRaw = 0,
  kDelta = 1,  // common/delta/DELTA.md, against the raw bytes of a base extent where it needs one.
};

// A run of a shard's (or asset's) bytes, stored in one piece and digested as a whole.
struct Extent {
  Digest digest;               // Of the raw bytes.
  uint32_t object = 0;         // Index into a table of object keys.
  uint64_t offset = 0;         // Within the object.
  uint32_t stored_bytes = 0;
  uint32_t raw_bytes = 0;
  ExtentEncoding encoding = ExtentEncoding::kRaw;
  uint32_t base = 0;           // Of a delta: 1 + index into a table of base extents; 0: it needs none.

  bool operator==(const Extent&) const = default;
};

// A box of a tensor (or an asset) and where its bytes are: extents in order, without gaps.
struct StoredShard {
  Box box;                          // Tensors; empty for assets.
  uint64_t byte_size = 0;           // Sum of raw_bytes.
  std::vector<Extent> extents;
};

struct StoredEntry {
  Entry entry;
  std::vector<StoredShard> shards;  // Tensors: a tiling of the shape. Assets: one.
};

// The parts of manifest and session record that look alike (MANIFEST.md gives the bytes of each).
void WriteKeyPath(const KeyPath& path, BinaryWriter& out);
absl::StatusOr<KeyPath> ReadKeyPath(BinaryReader& in);
void WriteEntry(const Entry& entry, BinaryWriter& out);
absl::StatusOr<Entry> ReadEntry(BinaryReader& in);
void WriteBox(const Box& box, BinaryWriter& out);
absl::StatusOr<Box> ReadBox(BinaryReader& in, absl::Span<const int64_t> shape);
void WriteTexts(absl::Span<const std::string> texts, BinaryWriter& out);
absl::StatusOr<std::vector<std::string>> ReadTexts(BinaryReader& in);

}  // namespace cairn
