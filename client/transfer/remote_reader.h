#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cairn/client.h"
#include "common/format/format.h"

namespace cairn::transfer {

// A stored checkpoint as the source of a conversion: the index from ListEntries, bytes from GetTensor, cast
// by the server on the way out. Pinned to the checkpoint's uid, so a ref that moves meanwhile does no harm.
//
// Entries that WillRead announced and that are read in that order come through one stream (a few, if their
// paths are too many for one request). Reads anywhere else open a stream of their own.
class RemoteReader final : public CheckpointReader {
 public:
  // `float_dtype`: every float tensor arrives as that.
  static absl::StatusOr<std::unique_ptr<RemoteReader>> Open(client::Client client, const std::string& ref,
                                                            std::optional<Dtype> float_dtype);

  // From the next stream on: the caller has the checkpoint `ref`, as `held` gives it, and only what is different comes.
  void SetHave(std::string ref, std::shared_ptr<client::HeldBytes> held) {
    have_ref_ = std::move(ref);
    held_ = std::move(held);
  }
  // Payload that has come over the network.
  uint64_t bytes_received() const { return received_ + (stream_ == nullptr ? 0 : stream_->bytes_received()); }

  const client::CheckpointInfo& checkpoint() const { return checkpoint_; }
  // Was saved with another dtype than it arrives with.
  bool IsCast(size_t entry) const { return cast_[entry]; }
  // The daemon's digests, by entry; empty for what has no bytes or is cast. Of equal dtypes and shapes equal digests mean
  // equal bytes; others may mean no more than that it was saved in other pieces.
  const std::vector<std::string>& digests() const { return digests_; }

  const CheckpointIndex& index() const override { return index_; }
  absl::Status ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) override;
  absl::Status WillRead(absl::Span<const EntryRange> ranges) override;

 private:
  RemoteReader(client::Client client, client::CheckpointInfo checkpoint, std::optional<Dtype> float_dtype)
      : client_(std::move(client)), checkpoint_(std::move(checkpoint)), float_dtype_(float_dtype) {}

  // Makes the stream stand at `entry`, its bytes not read beyond `offset`.
  absl::Status Seek(size_t entry, uint64_t offset);
  absl::Status OpenStream(absl::Span<const size_t> entries);
  // Goes on to the next entry of the stream, which must be streaming_.front().
  absl::Status NextEntry();
  // Takes bytes off the current entry: into dst, or away if dst is null.
  absl::Status Take(uint64_t length, char* dst);

  client::Client client_;
  const client::CheckpointInfo checkpoint_;
  const std::optional<Dtype> float_dtype_;
  CheckpointIndex index_;
  std::vector<bool> cast_;            // By entry.
  std::vector<std::string> digests_;  // By entry.

  std::string have_ref_;
  std::shared_ptr<client::HeldBytes> held_;
  uint64_t received_ = 0;  // Through streams before this one.

  std::deque<size_t> announced_;  // Not yet asked for.
  std::deque<size_t> streaming_;  // Asked for, not yet begun.
  std::unique_ptr<client::GetStream> stream_;
  std::optional<size_t> current_;  // What the stream is sending.
  uint64_t position_ = 0;          // In the current entry.
  client::GetChunk chunk_;
  size_t piece_ = 0;         // Of the chunk.
  size_t piece_offset_ = 0;  // Of the piece.
};

}  // namespace cairn::transfer
