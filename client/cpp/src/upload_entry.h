#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cairn/connection.h"
#include "client/cpp/src/block_pool.h"
#include "common/base/buffer.h"
#include "common/tensor/checkpoint_index.h"
#include "common/tensor/shape.h"

namespace cairn::client {

// Names a shard among those of one writer, for maps.
std::string ShardKey(const KeyPath& path, const std::optional<Box>& box);

// One entry on its way to the daemon, from its being declared until all of it is durable. Knows where its bytes come
// from: a source that is read when they are wanted, or buffers that were pushed and are kept until they are durable.
class UploadEntry {
 public:
  // INVALID_ARGUMENT for what the daemon would refuse. A null `source`: bytes are pushed.
  static absl::StatusOr<std::unique_ptr<UploadEntry>> Make(Entry entry, std::optional<Box> box,
                                                           std::shared_ptr<EntryBytes> source);

  const Entry& entry() const { return entry_; }
  const std::optional<Box>& box() const { return box_; }
  std::string Key() const;        // ShardKey
  std::string ShownName() const;  // entry "a/b", box [0:2]
  uint64_t total() const { return total_; }
  bool pushed() const { return source_ == nullptr; }

  // Pushed entries.
  void Push(Buffer bytes);
  // Bytes that can be read so far: all of them of an entry with a source.
  uint64_t available() const { return pushed() ? pushed_end_ : total_; }

  // Bytes offset to offset + length, which lie between durable() and available().
  absl::StatusOr<std::vector<Buffer>> Read(uint64_t offset, uint64_t length, BlockPool& pool) const;

  // Whether there are bytes of the parent, and `deltas` against them are wanted.
  bool has_base() const { return deltas && source_ != nullptr && source_->base() != nullptr; }
  // These, from a box of a tensor; they lie within total().
  absl::StatusOr<Buffer> ReadBase(uint64_t offset, uint64_t length, BlockPool& pool) const;

  uint64_t durable() const { return durable_; }
  // Bytes below `offset` will not be read again: lets go of them. Returns how many that are more than before.
  uint64_t SetDurable(uint64_t offset);

  bool complete = false;          // The caller gave all of it.
  bool deltas = true;             // The daemon did not refuse one.
  bool finished_earlier = false;  // The daemon has all of it, finished, from a stream before this one.

  // On the stream that is open now.
  bool declared = false;
  uint64_t stream_index = 0;  // How many entries were declared before it.
  uint64_t sent = 0;          // Bytes below this offset were sent, or needed not be.

 private:
  UploadEntry() = default;

  Entry entry_;
  std::optional<Box> box_;
  uint64_t total_ = 0;
  std::shared_ptr<EntryBytes> source_;
  std::deque<std::pair<uint64_t, Buffer>> pushed_;  // By offset; without gaps up to pushed_end_.
  uint64_t pushed_end_ = 0;
  uint64_t durable_ = 0;
};

}  // namespace cairn::client
