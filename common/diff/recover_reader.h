#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/cancellation.h"
#include "common/delta/delta.h"
#include "common/diff/piece_ring.h"
#include "common/format/cairndiff/diff_file.h"
#include "common/format/format.h"
#include "common/io/byte_source.h"

namespace cairn {

// The target of an exact diff, from its base and the diff file: a reader like any other, so it can be written as any format
// and saved to a daemon. Bytes at any place; front to back is fast.
//
// Every piece of the base that is used is compared with the digest in the diff, and every piece that comes out too, so
// bytes that were delivered are the target's. The digests of the pieces make up the target's content digest, which
// Open() compares with the one that the diff names.
class RecoverReader final : public CheckpointReader {
 public:
  // FAILED_PRECONDITION if the base is another than the diff was made from: by entries that are missing or have
  // another dtype or shape, or by bytes. Up to kCheckedBytes of the base's bytes are read for that; of a larger base
  // pieces all over it. What else is wrong shows when it is read. DATA_LOSS for a damaged diff. `base` must
  // outlive the reader.
  static absl::StatusOr<std::unique_ptr<RecoverReader>> Open(CheckpointReader& base, std::unique_ptr<ByteSource> diff,
                                                             const ReadLimits& limits, const Cancellation& cancellation,
                                                             int threads = 0);  // That decode; 0: one for each processor, eight at most.
  static constexpr uint64_t kCheckedBytes = 256u << 20;

  const DiffFileIndex& diff() const { return diff_; }

  const CheckpointIndex& index() const override { return index_; }
  absl::Status ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) override;
  absl::Status WillRead(absl::Span<const EntryRange> ranges) override;

 private:
  // A piece on its way.
  struct Work {
    const RecoverReader* reader = nullptr;
    size_t entry = 0;
    size_t piece = 0;
    std::string base, delta, target;
    absl::Span<char> to;  // Where its bytes go: into `target`, or straight to whoever reads.
    DeltaDecoder decoder;
    absl::Status status;
    void Run();
  };

  RecoverReader(CheckpointReader& base, std::unique_ptr<ByteSource> file, DiffFileIndex diff, int threads);

  absl::Status MatchBase();
  absl::Status CheckBaseBytes(const Cancellation& cancellation);
  absl::Status WrongBase(absl::string_view what) const;
  // Reads what the piece is made of.
  absl::Status Prepare(Work* work, size_t entry, size_t piece);
  // The piece in memory of this reader, valid until the next call.
  absl::StatusOr<absl::string_view> SinglePiece(size_t entry, size_t piece);
  uint64_t PieceBytes(size_t entry, size_t piece) const;

  CheckpointReader& base_;
  const std::unique_ptr<ByteSource> file_;
  const DiffFileIndex diff_;
  CheckpointIndex index_;
  std::vector<size_t> base_entry_;                  // By entry; of those that have a base.
  std::vector<std::vector<uint64_t>> delta_offset_;  // By entry and piece.

  Work single_;  // The last piece that was not read whole.
  bool single_valid_ = false;
  PieceRing<Work> ring_;
};

}  // namespace cairn
