#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/cancellation.h"
#include "common/base/digest.h"
#include "common/format/format.h"
#include "common/io/byte_sink.h"

namespace cairn {

// The XXH3 digest of a piece (kDiffPieceBytes) of an entry, where it is known without reading it.
using KnownPiece = std::function<std::optional<Digest>(size_t entry, uint64_t piece)>;

struct ExactDiffOptions {
  std::string base_label;  // For people who look for the base of the diff: a ref, the name of a file.
  std::string target_label;
  int level = 1;    // Of zstd.
  int threads = 0;  // That encode; 0: one for each processor, eight at most.
  // Pieces whose digests are known on both sides and equal are not read. Null: none are known.
  KnownPiece base_piece = {};
  KnownPiece target_piece = {};
  uint64_t max_index_bytes = ReadLimits().max_header_bytes;  // What whoever reads the diff will accept.
  std::function<void(uint64_t bytes_done, uint64_t bytes_total)> progress = {};  // Of both checkpoints together.
  Cancellation cancellation = {};
};

struct ExactDiffReport {
  Digest base_content;
  Digest target_content;
  uint64_t target_bytes = 0;
  uint64_t diff_bytes = 0;   // The file.
  uint64_t same_pieces = 0;  // Of all pieces, those that are the base's.
  uint64_t pieces = 0;
};

// Writes what turns `base` into `target`, bit for bit, as a diff file (common/format/cairndiff/FORMAT.md). Trees, shapes and
// dtypes may differ. Both are read once, front to back, in the order of the target; the memory is some 8 MiB for each
// thread, whatever their size. The caller closes the sink.
//
// RESOURCE_EXHAUSTED, before anything is read, for checkpoints so large that the diff's index might be over the limit.
absl::StatusOr<ExactDiffReport> WriteExactDiff(CheckpointReader& base, CheckpointReader& target,
                                               const ExactDiffOptions& options, ByteSink& sink);

}  // namespace cairn
