#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cairn/types.h"
#include "cairn/v1/checkpoint_service.pb.h"
#include "common/base/buffer.h"
#include "common/base/digest.h"

namespace cairn::client {

// What the messages of one GetTensor answer say, over as many calls as it takes: checks that they make sense, one
// after the other, and knows where the answer stands. Knows no connection and does not look at the bytes: whoever
// takes a chunk holds them against its checksum.
class GetAnswer {
 public:
  // Bytes that lie in a file which the daemon has handed over.
  struct FileRange {
    uint32_t bytes = 0;
    uint32_t file = 0;
    uint64_t file_offset = 0;
    Digest digest;
  };
  struct Chunk {
    uint64_t offset = 0;
    std::vector<Buffer> pieces;
    std::vector<FileRange> ranges;  // Instead of pieces and checksum.
    uint32_t crc32c = 0;  // As the daemon says.
    // If set, the pieces are a delta that makes so many bytes.
    uint32_t raw_bytes = 0;
    std::string base_digest;  // Empty: it needs no base.

    bool is_delta() const { return raw_bytes > 0; }
    bool is_file() const { return !ranges.empty(); }
    bool empty() const { return pieces.empty() && ranges.empty(); }
    uint64_t size() const;
  };

  bool has_header() const { return has_header_; }
  const CheckpointInfo& checkpoint() const { return checkpoint_; }
  uint64_t entries() const { return entries_; }
  uint64_t total_bytes() const { return total_bytes_; }
  // Whose bytes deltas are made against; empty: none may come.
  const std::string& have_uid() const { return have_uid_; }

  bool in_entry() const { return in_entry_; }  // An entry has begun and not ended.
  uint64_t entry_bytes() const { return bytes_; }
  std::string ShownEntry() const;  // entry "a/b"
  bool complete() const { return has_header_ && index_ == entries_; }

  // The next message. What it brought must have been taken before. INTERNAL if it makes no sense here.
  absl::Status Take(const v1::GetTensorResponse& message, std::vector<Buffer> pieces);

  // What the messages brought and nobody has taken yet: an entry, then bytes of it.
  bool has_started() const { return started_.has_value(); }
  std::optional<GetEntry> TakeStarted();
  bool has_chunk() const { return !chunk_.empty(); }
  Chunk TakeChunk();
  // DATA_LOSS, with entry and offset, if `found` is not what the daemon said of a chunk.
  absl::Status CheckChunk(uint64_t offset, uint32_t expected, uint32_t found) const;

  // A delta that was wrong in itself, or made something else than it should have.
  absl::Status BadDelta(uint64_t offset, const absl::Status& why) const;
  // The chunk that was taken last cannot be used: the answer stands before it again.
  void Unread(const Chunk& chunk);

  // The call has ended without an error.
  absl::Status Truncated() const;
  // The call broke. True if the answer was complete but for the word that it is; else, `request` is made to go on
  // where it stands.
  bool Resume(v1::GetTensorRequest* request);

 private:
  absl::Status Broken(absl::string_view what) const;
  absl::Status TakeHeader(const v1::GetTensorResponse::Header& header);
  absl::Status TakeStart(const v1::GetTensorResponse::Start& start);
  absl::Status TakeChunk(const v1::Chunk& chunk, std::vector<Buffer> pieces);
  absl::Status TakeFileChunks(const v1::GetTensorResponse& message);
  void EndEntry();

  bool has_header_ = false;
  CheckpointInfo checkpoint_;
  uint64_t entries_ = 0;
  uint64_t total_bytes_ = 0;
  std::string have_uid_;

  uint64_t index_ = 0;      // Entries received whole.
  bool in_entry_ = false;   // One more has begun:
  KeyPath path_;
  uint64_t bytes_ = 0;
  uint64_t received_ = 0;
  bool resuming_ = false;   // Its start will come once more.

  std::optional<GetEntry> started_;
  Chunk chunk_;
};

}  // namespace cairn::client
