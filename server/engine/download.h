#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/buffer.h"
#include "common/base/byte_budget.h"
#include "common/base/digest.h"
#include "server/engine/entry_bytes.h"
#include "server/engine/extent_reader.h"
#include "server/engine/manifest.h"
#include "server/engine/open_checkpoint.h"

namespace cairn {

struct BoxRead {
  KeyPath path;
  std::optional<Box> box;  // Nothing: all of it.
};

// Who takes files, to read bytes from them instead of having them sent. One thread at a time.
class FileRecipient {
 public:
  virtual ~FileRecipient() = default;
  // Hands over a file that is open for reading. False if that cannot be; then it is not asked again.
  virtual bool Give(uint32_t number, int file) = 0;
};

struct DownloadRequest {
  // At most one of the three; none of them: everything.
  std::vector<std::string> select;  // Patterns (common/tensor/selection.h), in the checkpoint's order.
  std::vector<BoxRead> boxes;       // In this order.
  std::vector<KeyPath> paths;       // In this order.
  std::optional<Dtype> float_dtype;
  uint32_t chunk_bytes = 1u << 20;
  uint64_t start_entry = 0;         // Entries of the answer to skip,
  uint64_t start_offset = 0;        // and bytes of the next one.
  FileRecipient* files = nullptr;   // Gets what the system has in memory as ranges of files. Outlives the download.
};

struct DownloadOptions {
  uint64_t cache_bytes = 2u << 20;  // Verified extents that one download always may keep.
  // Where a download asks for more, to assemble a tensor from many shards and to read ahead; null: it does without.
  ByteBudget* budget = nullptr;
  uint64_t max_extra_bytes = 64u << 20;   // For the many shards.
  uint64_t read_ahead_bytes = 4u << 20;   // Read in other threads before it is asked for.
};

// The answer to one GetTensor: entries in order, each as chunks in order. Transport-free; pull with Next(). One thread
// at a time; calls block on the store.
class Download {
 public:
  // NOT_FOUND for a path that is no entry and patterns that match nothing, INVALID_ARGUMENT for boxes that leave their
  // tensor and casts that do not exist, OUT_OF_RANGE for a start beyond the answer. All of it is checked before the
  // first byte moves.
  // `store` and `readers` outlive the download; the threads read ahead, null: none do.
  static absl::StatusOr<std::unique_ptr<Download>> Open(std::shared_ptr<const OpenCheckpoint> checkpoint,
                                                        ObjectStore& store, DownloadRequest request,
                                                        DownloadOptions options, ThreadPool* readers = nullptr);

  uint64_t entries() const { return items_.size(); }
  uint64_t total_bytes() const { return total_bytes_; }
  const OpenCheckpoint& checkpoint() const { return *checkpoint_; }

  // Bytes of an entry that the recipient of files reads itself.
  struct FileRange {
    uint64_t offset = 0;  // Within the entry as sent.
    uint32_t bytes = 0;
    uint32_t file = 0;
    uint64_t file_offset = 0;
    Digest digest;
  };
  static constexpr size_t kMaxFileRanges = 8;  // Of one piece.
  struct Piece {
    const Entry* start = nullptr;  // Set on an entry's first piece. As stored; see dtype.
    Dtype dtype = Dtype::kInvalid;  // As sent.
    Box box;                       // With start, of tensors.
    uint64_t bytes = 0;            // With start: of the whole entry as sent.
    uint64_t offset = 0;           // Of `data` within the entry as sent.
    Buffer data;                   // May be empty: values, aliases, empty tensors.
    std::vector<FileRange> ranges;  // Instead of `data`, one behind the other.
    std::optional<uint32_t> crc32c;  // Of `data`, where it is known already.
    bool finish = false;           // The entry's last piece.
  };
  // The next piece; nothing after the last.
  absl::StatusOr<std::optional<Piece>> Next();

 private:
  struct Item {
    size_t entry = 0;
    std::optional<Box> box;
  };

  Download(std::shared_ptr<const OpenCheckpoint> checkpoint, ObjectStore& store, DownloadOptions options, ThreadPool* readers)
      : checkpoint_(std::move(checkpoint)), options_(options), store_(store), readers_(readers), extents_(store, options.cache_bytes) {}
  absl::Status Resolve(const DownloadRequest& request);
  absl::StatusOr<std::unique_ptr<EntryBytes>> OpenItem(size_t item);
  void SizeCacheFor(const StoredEntry& stored);
  uint64_t AheadWindow();
  void LookAhead();
  bool IsBestReadAsFile(const EntryBytes::Step& step) const;
  std::optional<FileRange> NextFileRange();
  std::optional<uint32_t> FileNumber(uint32_t object);

  const std::shared_ptr<const OpenCheckpoint> checkpoint_;
  const DownloadOptions options_;
  ObjectStore& store_;
  ThreadPool* const readers_;
  ExtentReader extents_;
  ByteBudget::Reservation extra_;
  std::optional<Dtype> float_dtype_;
  uint32_t chunk_bytes_ = 0;
  std::vector<Item> items_;
  uint64_t total_bytes_ = 0;
  size_t next_item_ = 0;
  uint64_t next_offset_ = 0;
  bool in_item_ = false;          // Its first piece is out.
  uint64_t finished_bytes_ = 0;   // Stored bytes of the items before it, from where the answer began.
  std::deque<std::unique_ptr<EntryBytes>> opened_;  // Of items_[next_item_] and those behind it.

  // Up to where extents are announced: in which item, at which of its stored bytes, and how many that are in all.
  size_t ahead_item_ = 0;
  uint64_t ahead_offset_ = 0;
  uint64_t ahead_position_ = 0;
  uint64_t refill_below_ = 0;  // Announces more once less than that is left of it.
  std::shared_ptr<const ByteBudget::Reservation> ahead_memory_;

  FileRecipient* files_ = nullptr;
  std::deque<uint64_t> as_file_;  // Positions, as ahead_position_, of extents that are handed over instead of being announced.
  absl::flat_hash_map<uint32_t, uint32_t> file_numbers_;  // By object.
};

}  // namespace cairn
