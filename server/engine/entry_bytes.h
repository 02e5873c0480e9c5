#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/base/buffer.h"
#include "server/engine/box_layout.h"
#include "server/engine/extent_reader.h"
#include "server/engine/manifest.h"

namespace cairn {

// The bytes of one entry as somebody asked for them: a box of a tensor, assembled from whatever shards were saved and
// cast on the way; or an asset. Sequential or random access. One thread at a time; calls block.
class EntryBytes {
 public:
  // INVALID_ARGUMENT for a box that leaves the tensor, or a part of a tensor of packed elements. `manifest` and
  // `extents` outlive the object. `dtype` is what floats are cast to; ignored for anything else.
  static absl::StatusOr<std::unique_ptr<EntryBytes>> Open(const Manifest& manifest, const StoredEntry& stored,
                                                          const std::optional<Box>& box, std::optional<Dtype> dtype,
                                                          ExtentReader& extents);

  // Bytes in all, as sent.
  uint64_t size() const { return size_; }
  // How many stored bytes lie before that byte of what is sent.
  uint64_t StoredOffset(uint64_t offset) const;
  Dtype dtype() const { return to_; }
  const Box& box() const { return box_; }

  // Before the cast.
  uint64_t stored_size() const { return stored_size_; }

  // Bytes of extents that reading from front to back comes back to again and again. Who keeps fewer of them reads whole
  // extents for rows.
  uint64_t InterleavedBytes() const;

  // Bytes from `offset` on: at least one, at most `max_bytes`. Borrowed from the stored extent where they lie there as
  // they are wanted; assembled or cast otherwise. offset < size(). `crc32c` becomes the checksum of what is returned,
  // where that was to be had for little.
  absl::StatusOr<Buffer> ReadSome(uint64_t offset, uint64_t max_bytes, std::optional<uint32_t>* crc32c = nullptr);

  // What a reader in pieces of `max_bytes` needs for the stored byte at `offset` < stored_size() of the box.
  struct Step {
    const Extent* extent = nullptr;
    bool whole = false;   // It is sent as it is, in one piece.
    uint64_t length = 0;  // The bytes of the box from there on that lie in it one behind the other.
  };
  // Nothing if the manifest lacks it, which reading will report.
  std::optional<Step> StepAt(uint64_t offset, uint64_t max_bytes);

 private:
  EntryBytes(const Manifest& manifest, const StoredEntry& stored, ExtentReader& extents)
      : manifest_(manifest), stored_(stored), extents_(extents) {}

  // Stored bytes of the box from `offset` on, as long as they lie in one extent; at most max_bytes.
  absl::StatusOr<Buffer> Borrow(uint64_t offset, uint64_t max_bytes, std::optional<uint32_t>* crc32c);
  absl::Status Fill(uint64_t offset, absl::Span<char> dst);

  // Where stored bytes of the box lie.
  struct Spot {
    size_t shard = 0;
    const Extent* extent = nullptr;
    uint64_t skip = 0;    // Bytes of the extent before them.
    uint64_t length = 0;  // How many of them are in the extent.
  };
  std::optional<Spot> Locate(uint64_t offset, uint64_t max_bytes);
  Spot LocateInShard(size_t shard, uint64_t offset, uint64_t max_bytes);

  const Manifest& manifest_;
  const StoredEntry& stored_;
  ExtentReader& extents_;
  Box box_;
  Dtype from_ = Dtype::kInvalid;
  Dtype to_ = Dtype::kInvalid;
  uint64_t size_ = 0;
  uint64_t stored_size_ = 0;           // Before the cast.
  std::unique_ptr<BoxLayout> layout_;  // Absent: the bytes are those of shard 0, front to back.
  std::vector<std::vector<uint64_t>> extent_ends_;  // Per shard, made when first needed.
};

}  // namespace cairn
