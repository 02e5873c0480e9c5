#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/digest.h"
#include "common/format/format.h"
#include "common/io/byte_source.h"
#include "common/tensor/checkpoint_index.h"

namespace cairn {

// What stands in a .cairndiff file besides its pieces (FORMAT.md). Pieces are deltas (common/delta) of kDiffPieceBytes each,
// counted from the front of their entry.

inline constexpr uint64_t kDiffPieceBytes = 1u << 20;

// The name under which a diff is stored as a checkpoint: its only entry.
inline constexpr char kDiffAssetName[] = "delta.cairndiff";

// One end of a diff.
struct DiffEnd {
  Digest content;     // Of the whole checkpoint (common/diff/content_digest.h).
  std::string label;  // For people: a ref or the name of a file.
};

struct DiffPiece {
  uint64_t bytes = 0;  // Of the delta; 0: this piece of the target is that of the base.
  Digest base;         // Of the base's piece; empty if the entry has no base.
  Digest target;       // Equal to `base` if bytes is 0.
};

struct DiffFileEntry {
  Entry entry;  // Of the target.
  // The base has an entry of this path and kind and of as many bytes (of tensors also: the same dtype).
  bool has_base = false;
  std::optional<Shape> base_shape;  // If it has another shape there.
  std::vector<DiffPiece> pieces;    // Tensors and assets.
  uint64_t offset = 0;              // In the file, of the first piece's delta. Computed, not stored.
};

struct RemovedEntry {
  EntryKind kind = EntryKind::kTensor;
  KeyPath path;
};

struct DiffFileIndex {
  DiffEnd base;
  DiffEnd target;
  std::map<std::string, std::string> metadata;  // The target's.
  std::vector<DiffFileEntry> entries;           // In the order of the target.
  std::vector<RemovedEntry> removed;            // For reports.
};

// DATA_LOSS of a diff, with the reason by which it is told from damage to what a daemon stores.
inline constexpr char kDamagedDiffReason[] = "DAMAGED_DIFF";
absl::Status DamagedDiff(absl::string_view message);

// The 16 bytes with which a file begins.
std::string DiffFileHeader();
// What follows the pieces: the index and the footer. `pieces_end`: where in the file it will stand.
std::string DiffFileTail(const DiffFileIndex& index, uint64_t pieces_end);

// An upper bound of the bytes of an index before anything is written, from what the entries are: `index` without pieces, and
// how many there will be. Readers refuse an index above their ReadLimits::max_header_bytes, so writers ask first.
uint64_t DiffIndexBytesAtMost(const DiffFileIndex& index, uint64_t pieces);

// What the file says of its index, unchecked; zeros for what cannot be a diff file. To know what reading it may take: no more than
// that is allocated for.
struct DiffIndexClaim {
  uint64_t bytes = 0;
  uint64_t entries = 0;  // At most so many, where they are not told near the front of the index.
};
DiffIndexClaim ClaimedDiffIndex(const ByteSource& file, const ReadLimits& limits);

// True for what begins as a diff file does.
bool LooksLikeDiffFile(const ByteSource& file);

// Reads and checks header, footer and index. INVALID_ARGUMENT for what is no diff file or of another version;
// DATA_LOSS for a truncated or damaged one.
absl::StatusOr<DiffFileIndex> ReadDiffFile(const ByteSource& file, const ReadLimits& limits);

}  // namespace cairn
