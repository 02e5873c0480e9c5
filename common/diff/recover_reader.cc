#include "common/diff/recover_reader.h"

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/diff/content_digest.h"

namespace cairn {
namespace {

constexpr int kMostThreads = 8;

int Threads(int wanted) {
  return wanted > 0 ? wanted : std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreads);
}

}  // namespace

RecoverReader::RecoverReader(CheckpointReader& base, std::unique_ptr<ByteSource> file, DiffFileIndex diff, int threads)
    : base_(base), file_(std::move(file)), diff_(std::move(diff)), base_entry_(diff_.entries.size()), ring_(Threads(threads)) {
  index_.metadata = diff_.metadata;
  for (const DiffFileEntry& entry : diff_.entries) {
    index_.entries.push_back(entry.entry);
    std::vector<uint64_t> offsets;
    uint64_t offset = entry.offset;
    for (const DiffPiece& piece : entry.pieces) {
      offsets.push_back(offset);
      offset += piece.bytes;
    }
    delta_offset_.push_back(std::move(offsets));
  }
}

absl::StatusOr<std::unique_ptr<RecoverReader>> RecoverReader::Open(CheckpointReader& base,
                                                                   std::unique_ptr<ByteSource> diff,
                                                                   const ReadLimits& limits,
                                                                   const Cancellation& cancellation, int threads) {
  CAIRN_ASSIGN_OR_RETURN(DiffFileIndex index, ReadDiffFile(*diff, limits));
  ContentDigester content;
  for (const DiffFileEntry& entry : index.entries) {
    std::vector<Digest> pieces;
    for (const DiffPiece& piece : entry.pieces) pieces.push_back(piece.target);
    content.Add(entry.entry, pieces);
  }
  if (content.Finish() != index.target.content) {
    return DamagedDiff(absl::StrCat(
        diff->name(), ": the diff is damaged: the digests of its pieces do not make up the target's, ", index.target.content.ToHex()));
  }
  auto reader = std::unique_ptr<RecoverReader>(new RecoverReader(base, std::move(diff), std::move(index), threads));
  CAIRN_RETURN_IF_ERROR(reader->MatchBase());
  CAIRN_RETURN_IF_ERROR(reader->CheckBaseBytes(cancellation));
  return reader;
}

absl::Status RecoverReader::WrongBase(absl::string_view what) const {
  return absl::FailedPreconditionError(absl::StrCat(
      file_->name(), ": made from another base: ", what, ". It needs ",
      diff_.base.label.empty() ? "the checkpoint" : absl::StrCat("\"", diff_.base.label, "\""),
      " with content digest ", diff_.base.content.ToHex()));
}

absl::Status RecoverReader::MatchBase() {
  const std::vector<Entry>& entries = base_.index().entries;
  absl::flat_hash_map<std::pair<EntryKind, KeyPath>, size_t> of_base;
  for (size_t i = 0; i < entries.size(); ++i) of_base.emplace(std::pair(entries[i].kind, entries[i].path), i);
  for (size_t i = 0; i < diff_.entries.size(); ++i) {
    const DiffFileEntry& wanted = diff_.entries[i];
    if (!wanted.has_base) continue;
    const auto found = of_base.find(std::pair(wanted.entry.kind, wanted.entry.path));
    if (found == of_base.end()) return WrongBase(absl::StrCat("it lacks \"", wanted.entry.path.ToString(), "\""));
    const Entry& base = entries[found->second];
    const Shape& shape = wanted.base_shape ? *wanted.base_shape : wanted.entry.shape;
    if (base.dtype != wanted.entry.dtype || base.shape != shape || base.byte_size != wanted.entry.byte_size) {
      return WrongBase(absl::StrCat("its \"", wanted.entry.path.ToString(), "\" is ", DtypeName(base.dtype), " ",
                                    ShapeToString(base.shape), ", expected ", DtypeName(wanted.entry.dtype), " ",
                                    ShapeToString(shape)));
    }
    base_entry_[i] = found->second;
  }
  return absl::OkStatus();
}

absl::Status RecoverReader::CheckBaseBytes(const Cancellation& cancellation) {
  std::vector<std::pair<size_t, size_t>> pieces;
  for (size_t i = 0; i < diff_.entries.size(); ++i) {
    if (!diff_.entries[i].has_base) continue;
    for (size_t piece = 0; piece < diff_.entries[i].pieces.size(); ++piece) pieces.emplace_back(i, piece);
  }
  const size_t step = std::max<size_t>(CeilDiv(pieces.size(), kCheckedBytes / kDiffPieceBytes), 1);
  if (step == 1) {
    std::vector<EntryRange> ranges;
    for (size_t i = 0; i < diff_.entries.size(); ++i) {
      if (diff_.entries[i].pieces.empty() || !diff_.entries[i].has_base) continue;
      ranges.push_back({base_entry_[i], 0, diff_.entries[i].entry.byte_size});
    }
    CAIRN_RETURN_IF_ERROR(base_.WillRead(ranges));
  }
  std::string bytes;
  for (size_t at = 0; at < pieces.size(); at += step) {
    const auto [entry, piece] = pieces[at];
    CAIRN_RETURN_IF_ERROR(cancellation.Check());
    bytes.resize(PieceBytes(entry, piece));
    CAIRN_RETURN_IF_ERROR(base_.ReadAt(base_entry_[entry], piece * kDiffPieceBytes, absl::MakeSpan(bytes)));
    if (DigestOf(bytes, DigestAlgorithm::kXxh3) != diff_.entries[entry].pieces[piece].base) {
      return WrongBase(absl::StrCat("the bytes of its \"", diff_.entries[entry].entry.path.ToString(), "\" from ",
                                    piece * kDiffPieceBytes, " on are others"));
    }
  }
  return absl::OkStatus();
}

uint64_t RecoverReader::PieceBytes(size_t entry, size_t piece) const {
  return std::min(kDiffPieceBytes, diff_.entries[entry].entry.byte_size - piece * kDiffPieceBytes);
}

void RecoverReader::Work::Run() {
  const DiffFileEntry& from = reader->diff_.entries[entry];
  const DiffPiece& wanted = from.pieces[piece];
  const auto where = [&] {
    return absl::StrCat("\"", from.entry.path.ToString(), "\", bytes from ", piece * kDiffPieceBytes, " on");
  };
  if (from.has_base && DigestOf(base, DigestAlgorithm::kXxh3) != wanted.base) {
    status = reader->WrongBase(absl::StrCat("its ", where(), " are others"));
    return;
  }
  if (wanted.bytes == 0) {
    std::memcpy(to.data(), base.data(), base.size());
    return;
  }
  status = decoder.Apply(delta, base, to);
  if (status.ok() && DigestOf(absl::string_view(to.data(), to.size()), DigestAlgorithm::kXxh3) == wanted.target) return;
  status = DamagedDiff(absl::StrCat(reader->file_->name(), ": the diff is damaged: ", where(), ": ",
                                            status.ok() ? "what comes out has another digest" : status.message(),
                                            "; get it again"));
}

absl::Status RecoverReader::Prepare(Work* work, size_t entry, size_t piece) {
  const DiffFileEntry& from = diff_.entries[entry];
  work->reader = this;
  work->entry = entry;
  work->piece = piece;
  work->status = absl::OkStatus();
  work->base.clear();
  if (from.has_base) {
    work->base.resize(PieceBytes(entry, piece));
    CAIRN_RETURN_IF_ERROR(base_.ReadAt(base_entry_[entry], piece * kDiffPieceBytes, absl::MakeSpan(work->base)));
  }
  work->delta.resize(from.pieces[piece].bytes);
  if (work->delta.empty()) return absl::OkStatus();
  return file_->ReadAt(delta_offset_[entry][piece], absl::MakeSpan(work->delta));
}

absl::StatusOr<absl::string_view> RecoverReader::SinglePiece(size_t entry, size_t piece) {
  if (!single_valid_ || single_.entry != entry || single_.piece != piece) {
    single_valid_ = false;
    CAIRN_RETURN_IF_ERROR(Prepare(&single_, entry, piece));
    single_.target.resize(PieceBytes(entry, piece));
    single_.to = absl::MakeSpan(single_.target);
    single_.Run();
    CAIRN_RETURN_IF_ERROR(single_.status);
    single_valid_ = true;
  }
  return absl::string_view(single_.target);
}

absl::Status RecoverReader::ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) {
  const Entry& wanted = index_.entries[entry];
  if (offset > wanted.byte_size || dst.size() > wanted.byte_size - offset) {
    return absl::OutOfRangeError(absl::StrCat("entry \"", wanted.path.ToString(), "\": bytes [", offset, ", ", offset,
                                              "+", dst.size(), ") of ", wanted.byte_size));
  }
  // Bytes of the caller must not be written to any more once this has returned, so the ring is always drained.
  absl::Status result;
  const auto take = [&](Work& work) {
    if (result.ok()) result = work.status;
    return absl::OkStatus();
  };
  while (!dst.empty() && result.ok()) {
    const size_t piece = offset / kDiffPieceBytes;
    const uint64_t skip = offset % kDiffPieceBytes;
    const uint64_t length = std::min<uint64_t>(PieceBytes(entry, piece) - skip, dst.size());
    if (length == PieceBytes(entry, piece)) {
      const absl::StatusOr<Work*> work = ring_.Next(take);
      const absl::Status prepared = work.ok() ? Prepare(*work, entry, piece) : work.status();
      if (prepared.ok()) {
        (*work)->to = dst.subspan(0, length);
        ring_.Start(*work);
      } else {
        result.Update(prepared);
      }
    } else {
      const absl::StatusOr<absl::string_view> bytes = SinglePiece(entry, piece);
      if (bytes.ok()) {
        std::memcpy(dst.data(), bytes->data() + skip, length);
      } else {
        result.Update(bytes.status());
      }
    }
    dst.remove_prefix(length);
    offset += length;
  }
  ring_.Drain(take).IgnoreError();
  return result;
}

absl::Status RecoverReader::WillRead(absl::Span<const EntryRange> ranges) {
  std::vector<EntryRange> of_base;
  for (const EntryRange& range : ranges) {
    if (!diff_.entries[range.entry].has_base || range.length == 0) continue;
    const uint64_t begin = range.offset - range.offset % kDiffPieceBytes;
    of_base.push_back({base_entry_[range.entry], begin, range.offset + range.length - begin});
  }
  return base_.WillRead(of_base);
}

}  // namespace cairn
