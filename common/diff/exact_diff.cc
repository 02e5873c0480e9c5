#include "common/diff/exact_diff.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/delta/delta.h"
#include "common/diff/content_digest.h"
#include "common/diff/diff_plan.h"
#include "common/diff/piece_ring.h"
#include "common/format/cairndiff/diff_file.h"

namespace cairn {
namespace {

constexpr int kMostThreads = 8;

bool HasBytes(const Entry& entry) { return entry.kind == EntryKind::kTensor || entry.kind == EntryKind::kAsset; }

size_t UnitOf(const Entry& entry) {
  if (entry.kind != EntryKind::kTensor || BitWidth(entry.dtype) % 8 != 0) return 1;
  return DeltaUnit(static_cast<size_t>(BitWidth(entry.dtype)) / 8);
}

// What one piece goes through: read here, digested and encoded in another thread, written here.
struct Work {
  size_t entry = 0;  // Of the diff's index; its base's digests alone if `only_base`.
  size_t base_entry = 0;
  bool only_base = false;
  bool known = false;  // The digests were known, and there is nothing to do.
  bool has_base = false;
  size_t unit = 1;
  std::string base, target, delta;
  Digest base_digest, target_digest;
  std::optional<DeltaEncoder> encoder;
  absl::Status status;

  void Run() {
    if (known) return;
    if (has_base || only_base) base_digest = DigestOf(base, DigestAlgorithm::kXxh3);
    if (only_base) return;
    target_digest = DigestOf(target, DigestAlgorithm::kXxh3);
    status = encoder->Encode(has_base ? absl::string_view(base) : absl::string_view(), target, unit, &delta);
  }
};

class ExactDiff {
 public:
  ExactDiff(CheckpointReader& base, CheckpointReader& target, const ExactDiffOptions& options, ByteSink& sink)
      : base_(base),
        target_(target),
        options_(options),
        sink_(sink),
        plan_(MakeDiffPlan(base.index(), target.index())),
        base_pieces_(base.index().entries.size()) {}

  absl::StatusOr<ExactDiffReport> Run() {
    total_ = base_.index().TotalBytes() + target_.index().TotalBytes();
    CAIRN_RETURN_IF_ERROR(CheckIndexSize());
    CAIRN_RETURN_IF_ERROR(Announce());
    CAIRN_RETURN_IF_ERROR(sink_.Append(DiffFileHeader()));
    PieceRing<Work> ring(Threads());
    const auto write = [this](Work& work) { return Write(work); };
    for (const DiffItem& item : plan_) {
      const Entry& entry = item.target ? target_.index().entries[*item.target] : base_.index().entries[*item.base];
      if (const absl::Status status = AddItem(item, ring, write); !status.ok()) {
        return absl::IsCancelled(status) ? status : Annotate(status, absl::StrCat("\"", entry.path.ToString(), "\""));
      }
    }
    CAIRN_RETURN_IF_ERROR(ring.Drain(write));
    return Finish();
  }

 private:
  int Threads() const {
    if (options_.threads > 0) return options_.threads;
    return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreads);
  }

  // Does the base help, and is it read beside the target?
  static bool UsesBase(const DiffItem& item, const Entry& base, const Entry& target) {
    return (item.difference == EntryDifference::kSameLayout || item.difference == EntryDifference::kReshaped) &&
           base.byte_size == target.byte_size;
  }

  absl::Status CheckIndexSize() const {
    DiffFileIndex index;
    uint64_t pieces = 0;
    index.base.label = options_.base_label;
    index.target.label = options_.target_label;
    index.metadata = target_.index().metadata;
    for (const DiffItem& item : plan_) {
      if (item.target) {
        DiffFileEntry entry;
        entry.entry = target_.index().entries[*item.target];
        entry.has_base = item.base.has_value();
        if (item.base) entry.base_shape = base_.index().entries[*item.base].shape;
        pieces += CeilDiv(entry.entry.byte_size, kDiffPieceBytes);
        index.entries.push_back(std::move(entry));
      } else {
        index.removed.push_back({base_.index().entries[*item.base].kind, base_.index().entries[*item.base].path});
      }
    }
    const uint64_t bytes = DiffIndexBytesAtMost(index, pieces);
    if (bytes <= options_.max_index_bytes) return absl::OkStatus();
    return absl::ResourceExhaustedError(absl::StrCat(
        "an exact diff of ", index.entries.size(), " entries with ", target_.index().TotalBytes(), " bytes may have an index of ", bytes,
        " bytes, and readers accept at most ", options_.max_index_bytes, "; diff a part of it at a time (select)"));
  }

  absl::Status Announce() {
    std::vector<EntryRange> of_base, of_target;
    for (const DiffItem& item : plan_) {
      if (item.target && target_.index().entries[*item.target].byte_size > 0) {
        of_target.push_back({*item.target, 0, target_.index().entries[*item.target].byte_size});
      }
      if (item.base && base_.index().entries[*item.base].byte_size > 0) {
        of_base.push_back({*item.base, 0, base_.index().entries[*item.base].byte_size});
      }
    }
    CAIRN_RETURN_IF_ERROR(base_.WillRead(of_base));
    return target_.WillRead(of_target);
  }

  template <class Write>
  absl::Status AddItem(const DiffItem& item, PieceRing<Work>& ring, const Write& write) {
    const Entry* base = item.base ? &base_.index().entries[*item.base] : nullptr;
    if (item.target) {
      DiffFileEntry entry;
      entry.entry = target_.index().entries[*item.target];
      entry.has_base = base != nullptr && HasBytes(*base) && UsesBase(item, *base, entry.entry);
      if (entry.has_base && base->kind == EntryKind::kTensor && base->shape != entry.entry.shape) entry.base_shape = base->shape;
      index_.entries.push_back(std::move(entry));
      const DiffFileEntry& added = index_.entries.back();
      for (uint64_t offset = 0; offset < added.entry.byte_size; offset += kDiffPieceBytes) {
        CAIRN_ASSIGN_OR_RETURN(Work* const work, ring.Next(write));
        work->entry = index_.entries.size() - 1;
        work->only_base = work->known = false;
        work->has_base = added.has_base;
        work->unit = UnitOf(added.entry);
        if (added.has_base && KnowEqual(*item.base, *item.target, offset, work)) {
          CAIRN_RETURN_IF_ERROR(Pass(2 * std::min(kDiffPieceBytes, added.entry.byte_size - offset)));
          ring.Start(work);
          continue;
        }
        if (!work->encoder) work->encoder.emplace(options_.level);
        CAIRN_RETURN_IF_ERROR(ReadPiece(target_, *item.target, offset, &work->target));
        if (added.has_base) {
          work->base_entry = *item.base;
          CAIRN_RETURN_IF_ERROR(ReadPiece(base_, *item.base, offset, &work->base));
        }
        ring.Start(work);
      }
      if (added.has_base) return absl::OkStatus();
    } else {
      index_.removed.push_back({base->kind, base->path});
    }
    // No delta of it, but it counts for the base's digest.
    if (base == nullptr) return absl::OkStatus();
    for (uint64_t offset = 0; offset < base->byte_size; offset += kDiffPieceBytes) {
      CAIRN_ASSIGN_OR_RETURN(Work* const work, ring.Next(write));
      work->only_base = true;
      work->has_base = work->known = false;
      work->base_entry = *item.base;
      if (const std::optional<Digest> digest = Known(options_.base_piece, *item.base, offset); digest.has_value()) {
        work->known = true;
        work->base_digest = *digest;
        CAIRN_RETURN_IF_ERROR(Pass(std::min(kDiffPieceBytes, base->byte_size - offset)));
        ring.Start(work);
        continue;
      }
      CAIRN_RETURN_IF_ERROR(ReadPiece(base_, *item.base, offset, &work->base));
      ring.Start(work);
    }
    return absl::OkStatus();
  }

  static std::optional<Digest> Known(const KnownPiece& piece, size_t entry, uint64_t offset) {
    return piece ? piece(entry, offset / kDiffPieceBytes) : std::nullopt;
  }

  // Does this piece of the target turn out to be the base's without being read?
  bool KnowEqual(size_t base, size_t target, uint64_t offset, Work* work) const {
    const std::optional<Digest> of_base = Known(options_.base_piece, base, offset);
    if (!of_base.has_value() || of_base != Known(options_.target_piece, target, offset)) return false;
    work->known = true;
    work->base_entry = base;
    work->base_digest = work->target_digest = *of_base;
    return true;
  }

  // Bytes that need not be read.
  absl::Status Pass(uint64_t bytes) {
    done_ += bytes;
    if (options_.progress) options_.progress(done_, total_);
    return options_.cancellation.Check();
  }

  absl::Status ReadPiece(CheckpointReader& reader, size_t entry, uint64_t offset, std::string* bytes) {
    CAIRN_RETURN_IF_ERROR(options_.cancellation.Check());
    bytes->resize(std::min(kDiffPieceBytes, reader.index().entries[entry].byte_size - offset));
    CAIRN_RETURN_IF_ERROR(reader.ReadAt(entry, offset, absl::MakeSpan(*bytes)));
    done_ += bytes->size();
    if (options_.progress) options_.progress(done_, total_);
    return absl::OkStatus();
  }

  absl::Status Write(Work& work) {
    CAIRN_RETURN_IF_ERROR(work.status);
    if (work.has_base || work.only_base) base_pieces_[work.base_entry].push_back(work.base_digest);
    if (work.only_base) return absl::OkStatus();
    DiffPiece piece;
    piece.target = work.target_digest;
    if (work.has_base) piece.base = work.base_digest;
    DeltaMode mode = DeltaMode::kSame;
    if (!work.known) CAIRN_RETURN_IF_ERROR(ReadDeltaMode(work.delta, &mode));
    ++report_.pieces;
    if (mode == DeltaMode::kSame) {
      ++report_.same_pieces;
    } else {
      piece.bytes = work.delta.size();
      CAIRN_RETURN_IF_ERROR(sink_.Append(work.delta));
    }
    index_.entries[work.entry].pieces.push_back(piece);
    return absl::OkStatus();
  }

  absl::StatusOr<ExactDiffReport> Finish() {
    ContentDigester base_content, target_content;
    for (size_t i = 0; i < base_pieces_.size(); ++i) base_content.Add(base_.index().entries[i], base_pieces_[i]);
    for (const DiffFileEntry& entry : index_.entries) {
      std::vector<Digest> pieces;
      for (const DiffPiece& piece : entry.pieces) pieces.push_back(piece.target);
      target_content.Add(entry.entry, pieces);
    }
    index_.base = {base_content.Finish(), options_.base_label};
    index_.target = {target_content.Finish(), options_.target_label};
    index_.metadata = target_.index().metadata;
    CAIRN_RETURN_IF_ERROR(sink_.Append(DiffFileTail(index_, sink_.size())));
    report_.base_content = index_.base.content;
    report_.target_content = index_.target.content;
    report_.target_bytes = target_.index().TotalBytes();
    report_.diff_bytes = sink_.size();
    return report_;
  }

  CheckpointReader& base_;
  CheckpointReader& target_;
  const ExactDiffOptions& options_;
  ByteSink& sink_;
  const std::vector<DiffItem> plan_;
  std::vector<std::vector<Digest>> base_pieces_;  // By entry of the base.
  DiffFileIndex index_;
  ExactDiffReport report_;
  uint64_t done_ = 0, total_ = 0;
};

}  // namespace

absl::StatusOr<ExactDiffReport> WriteExactDiff(CheckpointReader& base, CheckpointReader& target,
                                               const ExactDiffOptions& options, ByteSink& sink) {
  return ExactDiff(base, target, options, sink).Run();
}

}  // namespace cairn
