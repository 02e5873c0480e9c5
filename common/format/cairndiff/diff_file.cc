#include "common/format/cairndiff/diff_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/checked_math.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "common/format/cairndiff/diff_fields.h"

namespace cairn {
namespace {

constexpr absl::string_view kMagic("\x89" "CAIRND\n", 8);
constexpr absl::string_view kEndMagic("\nDNRIAC\x89", 8);
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 16;
constexpr size_t kFooterBytes = 56;
constexpr uint64_t kMaxMetadata = 65'536;
constexpr uint64_t kFrontBytes = 16u << 20;  // Of an index, enough for labels and metadata.
constexpr uint64_t kLeastEntryBytes = 4;      // Kind, a path of one name without a letter, what it is.
constexpr size_t kLongDigest = static_cast<size_t>(DigestAlgorithm::kSha256);
constexpr size_t kPieceDigest = static_cast<size_t>(DigestAlgorithm::kXxh3);

// How the base of an entry is told.
enum class BaseKind : uint8_t { kNone = 0, kAlike = 1, kOtherShape = 2 };

void PutEntry(const DiffFileEntry& entry, std::string* out) {
  const Entry& target = entry.entry;
  out->push_back(static_cast<char>(target.kind));
  diff_fields::PutPath(target.path, out);
  switch (target.kind) {
    case EntryKind::kTensor:
      out->push_back(static_cast<char>(target.dtype));
      diff_fields::PutShape(target.shape, out);
      break;
    case EntryKind::kAsset:
      diff_fields::PutNumber(target.byte_size, out);
      break;
    case EntryKind::kValue:
      diff_fields::PutText(EncodeValue(target.value), out);
      return;
    case EntryKind::kAlias:
      diff_fields::PutPath(target.target, out);
      return;
  }
  const BaseKind base = !entry.has_base          ? BaseKind::kNone
                        : !entry.base_shape      ? BaseKind::kAlike
                                                 : BaseKind::kOtherShape;
  out->push_back(static_cast<char>(base));
  if (base == BaseKind::kOtherShape) diff_fields::PutShape(*entry.base_shape, out);
  for (const DiffPiece& piece : entry.pieces) {
    diff_fields::PutNumber(piece.bytes, out);
    if (entry.has_base) absl::StrAppend(out, piece.base.AsBytes());
    if (piece.bytes > 0) absl::StrAppend(out, piece.target.AsBytes());
  }
}

absl::Status TakePieces(diff_fields::Fields& fields, DiffFileEntry* entry) {
  const uint64_t count = CeilDiv(entry->entry.byte_size, kDiffPieceBytes);
  // A piece takes a length and a digest at least, so this bounds what is allocated.
  if (count > fields.left() / (1 + kPieceDigest)) return fields.Damaged(absl::StrCat(count, " pieces, more than bytes are left"));
  entry->pieces.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    DiffPiece piece;
    const uint64_t length = std::min(kDiffPieceBytes, entry->entry.byte_size - i * kDiffPieceBytes);
    CAIRN_ASSIGN_OR_RETURN(piece.bytes, fields.TakeNumber());
    // An encoder never makes a delta longer than its target and one byte.
    if (piece.bytes > length + 1) {
      return fields.Damaged(absl::StrCat("a delta of ", piece.bytes, " bytes for a piece of ", length));
    }
    if (piece.bytes == 0 && !entry->has_base) return fields.Damaged("a piece that is that of the base, of which there is none");
    if (entry->has_base) {
      CAIRN_ASSIGN_OR_RETURN(piece.base, fields.TakeDigest(kPieceDigest));
    }
    piece.target = piece.base;
    if (piece.bytes > 0) {
      CAIRN_ASSIGN_OR_RETURN(piece.target, fields.TakeDigest(kPieceDigest));
    }
    entry->pieces.push_back(piece);
  }
  return absl::OkStatus();
}

absl::Status TakeBytesOf(diff_fields::Fields& fields, DiffFileEntry* entry) {
  CAIRN_ASSIGN_OR_RETURN(const uint8_t base, fields.TakeByte());
  switch (static_cast<BaseKind>(base)) {
    case BaseKind::kNone:
      break;
    case BaseKind::kAlike:
      entry->has_base = true;
      break;
    case BaseKind::kOtherShape: {
      if (entry->entry.kind != EntryKind::kTensor) return fields.Damaged("a shape for what is no tensor");
      entry->has_base = true;
      CAIRN_ASSIGN_OR_RETURN(entry->base_shape, fields.TakeShape());
      const absl::StatusOr<uint64_t> size = ByteSize(entry->entry.dtype, *entry->base_shape);
      if (!size.ok() || *size != entry->entry.byte_size) return fields.Damaged("a base of another size");
      break;
    }
    default:
      return fields.Damaged(absl::StrCat("unknown kind of base ", base));
  }
  return TakePieces(fields, entry);
}

absl::StatusOr<DiffFileEntry> TakeEntry(diff_fields::Fields& fields, const ReadLimits& limits) {
  DiffFileEntry entry;
  Entry& target = entry.entry;
  CAIRN_ASSIGN_OR_RETURN(const uint8_t kind, fields.TakeByte());
  target.kind = static_cast<EntryKind>(kind);
  CAIRN_ASSIGN_OR_RETURN(target.path, fields.TakePath(limits));
  switch (target.kind) {
    case EntryKind::kTensor: {
      CAIRN_ASSIGN_OR_RETURN(const uint8_t number, fields.TakeByte());
      const std::optional<Dtype> dtype = DtypeFromNumber(number);
      if (!dtype.has_value()) return fields.Damaged(absl::StrCat("unknown dtype ", number));
      target.dtype = *dtype;
      CAIRN_ASSIGN_OR_RETURN(target.shape, fields.TakeShape());
      const absl::StatusOr<uint64_t> size = ByteSize(target.dtype, target.shape);
      if (!size.ok()) return fields.Damaged(size.status().message());
      target.byte_size = *size;
      CAIRN_RETURN_IF_ERROR(TakeBytesOf(fields, &entry));
      return entry;
    }
    case EntryKind::kAsset: {
      CAIRN_ASSIGN_OR_RETURN(target.byte_size, fields.TakeNumber());
      CAIRN_RETURN_IF_ERROR(TakeBytesOf(fields, &entry));
      return entry;
    }
    case EntryKind::kValue: {
      CAIRN_ASSIGN_OR_RETURN(const absl::string_view text, fields.TakeText(limits.max_value_bytes));
      absl::StatusOr<Value> value = DecodeValue(text);
      if (!value.ok()) return fields.Damaged(value.status().message());
      target.value = *std::move(value);
      return entry;
    }
    case EntryKind::kAlias: {
      CAIRN_ASSIGN_OR_RETURN(target.target, fields.TakePath(limits));
      return entry;
    }
  }
  return fields.Damaged(absl::StrCat("unknown kind of entry ", kind));
}

absl::StatusOr<DiffEnd> TakeEnd(diff_fields::Fields& fields) {
  DiffEnd end;
  CAIRN_ASSIGN_OR_RETURN(end.content, fields.TakeDigest(kLongDigest));
  CAIRN_ASSIGN_OR_RETURN(const absl::string_view label, fields.TakeText(fields.left()));
  end.label = std::string(label);
  return end;
}

// Everything in front of the entries, and how many there are.
absl::Status TakeFront(diff_fields::Fields& fields, DiffFileIndex* index, uint64_t* entries) {
  CAIRN_ASSIGN_OR_RETURN(index->base, TakeEnd(fields));
  CAIRN_ASSIGN_OR_RETURN(index->target, TakeEnd(fields));
  CAIRN_ASSIGN_OR_RETURN(const uint64_t metadata, fields.TakeNumber());
  if (metadata > kMaxMetadata) return fields.Damaged(absl::StrCat(metadata, " pieces of metadata, expected at most ", kMaxMetadata));
  for (uint64_t i = 0; i < metadata; ++i) {
    CAIRN_ASSIGN_OR_RETURN(const absl::string_view key, fields.TakeText(fields.left()));
    CAIRN_ASSIGN_OR_RETURN(const absl::string_view value, fields.TakeText(fields.left()));
    if (!index->metadata.emplace(std::string(key), std::string(value)).second) return fields.Damaged("metadata twice");
  }
  CAIRN_ASSIGN_OR_RETURN(*entries, fields.TakeNumber());
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> TakeEntryCount(absl::string_view front) {
  diff_fields::Fields fields(front);
  DiffFileIndex index;
  uint64_t entries = 0;
  CAIRN_RETURN_IF_ERROR(TakeFront(fields, &index, &entries));
  return entries;
}

absl::StatusOr<DiffFileIndex> ParseIndex(absl::string_view bytes, uint64_t pieces_end, const ReadLimits& limits) {
  diff_fields::Fields fields(bytes);
  DiffFileIndex index;
  uint64_t entries = 0;
  CAIRN_RETURN_IF_ERROR(TakeFront(fields, &index, &entries));
  uint64_t offset = kHeaderBytes;
  if (entries > limits.max_entries) {
    return absl::InvalidArgumentError(absl::StrCat(entries, " entries, over the limit of ", limits.max_entries));
  }
  for (uint64_t i = 0; i < entries; ++i) {
    CAIRN_ASSIGN_OR_RETURN(DiffFileEntry entry, TakeEntry(fields, limits));
    entry.offset = offset;
    for (const DiffPiece& piece : entry.pieces) {
      const std::optional<uint64_t> next = CheckedAdd(offset, piece.bytes);
      if (!next.has_value() || *next > pieces_end) return fields.Damaged("its deltas leave the file");
      offset = *next;
    }
    index.entries.push_back(std::move(entry));
  }
  if (offset != pieces_end) return fields.Damaged(absl::StrCat("deltas end at ", offset, ", expected ", pieces_end));
  CAIRN_ASSIGN_OR_RETURN(const uint64_t removed, fields.TakeNumber());
  if (removed > limits.max_entries) {
    return absl::InvalidArgumentError(absl::StrCat(removed, " removed entries, over the limit of ", limits.max_entries));
  }
  for (uint64_t i = 0; i < removed; ++i) {
    RemovedEntry entry;
    CAIRN_ASSIGN_OR_RETURN(const uint8_t kind, fields.TakeByte());
    if (kind < 1 || kind > static_cast<uint8_t>(EntryKind::kAlias)) return fields.Damaged("unknown kind of entry");
    entry.kind = static_cast<EntryKind>(kind);
    CAIRN_ASSIGN_OR_RETURN(entry.path, fields.TakePath(limits));
    index.removed.push_back(std::move(entry));
  }
  if (fields.left() != 0) return fields.Damaged(absl::StrCat(fields.left(), " bytes behind its end"));
  CheckpointIndex target;
  for (const DiffFileEntry& entry : index.entries) target.entries.push_back(entry.entry);
  if (const absl::Status status = target.Check(); !status.ok()) return fields.Damaged(status.message());
  return index;
}

absl::Status Truncated(const ByteSource& file) {
  return DamagedDiff(absl::StrCat(file.name(), ": the diff is truncated: its ", file.size(),
                                          " bytes do not end as a diff file does; get it again"));
}

}  // namespace

absl::Status DamagedDiff(absl::string_view message) { return WithErrorInfo(absl::DataLossError(message), {kDamagedDiffReason, {}}); }

std::string DiffFileHeader() {
  std::string header(kMagic);
  diff_fields::PutFixed32(kVersion, &header);
  diff_fields::PutFixed32(kDiffPieceBytes, &header);
  return header;
}

std::string DiffFileTail(const DiffFileIndex& index, uint64_t pieces_end) {
  std::string tail;
  for (const DiffEnd* end : {&index.base, &index.target}) {
    absl::StrAppend(&tail, end->content.AsBytes());
    diff_fields::PutText(end->label, &tail);
  }
  diff_fields::PutNumber(index.metadata.size(), &tail);
  for (const auto& [key, value] : index.metadata) {
    diff_fields::PutText(key, &tail);
    diff_fields::PutText(value, &tail);
  }
  diff_fields::PutNumber(index.entries.size(), &tail);
  for (const DiffFileEntry& entry : index.entries) PutEntry(entry, &tail);
  diff_fields::PutNumber(index.removed.size(), &tail);
  for (const RemovedEntry& entry : index.removed) {
    tail.push_back(static_cast<char>(entry.kind));
    diff_fields::PutPath(entry.path, &tail);
  }
  const uint64_t index_bytes = tail.size();
  const Digest digest = DigestOf(tail, DigestAlgorithm::kSha256);
  diff_fields::PutFixed64(pieces_end, &tail);
  diff_fields::PutFixed64(index_bytes, &tail);
  absl::StrAppend(&tail, digest.AsBytes(), kEndMagic);
  return tail;
}

uint64_t DiffIndexBytesAtMost(const DiffFileIndex& index, uint64_t pieces) {
  // The length of a delta (kDiffPieceBytes + 1 at most, seven bits a byte) and two digests; texts that are not known yet.
  constexpr uint64_t kMostPieceBytes = 4 + 2 * kPieceDigest;
  constexpr uint64_t kContentDigests = 2 * kLongDigest;
  return DiffFileTail(index, 0).size() + kContentDigests + pieces * kMostPieceBytes;
}

DiffIndexClaim ClaimedDiffIndex(const ByteSource& file, const ReadLimits& limits) {
  char place[16];
  if (file.size() < kHeaderBytes + kFooterBytes) return {};
  const uint64_t before_footer = file.size() - kFooterBytes;
  if (!file.ReadAt(before_footer, absl::MakeSpan(place)).ok()) return {};
  const uint64_t offset = diff_fields::Fixed64(place), bytes = diff_fields::Fixed64(place + 8);
  // Such an index is refused before anything is allocated for it.
  if (offset > before_footer || bytes != before_footer - offset || bytes > limits.max_header_bytes) return {};
  std::string front(std::min(bytes, kFrontBytes), '\0');
  if (!file.ReadAt(offset, absl::MakeSpan(front)).ok()) return {};
  const uint64_t most = std::min(bytes / kLeastEntryBytes, limits.max_entries);
  const absl::StatusOr<uint64_t> entries = TakeEntryCount(front);
  return {bytes, entries.ok() ? std::min(*entries, most) : most};
}

bool LooksLikeDiffFile(const ByteSource& file) {
  char begin[8];
  return file.size() >= sizeof(begin) && file.ReadAt(0, absl::MakeSpan(begin)).ok() &&
         absl::string_view(begin, sizeof(begin)) == kMagic;
}

absl::StatusOr<DiffFileIndex> ReadDiffFile(const ByteSource& file, const ReadLimits& limits) {
  if (!LooksLikeDiffFile(file)) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.name(), ": no diff file: expected it to begin with ", absl::BytesToHexString(kMagic)));
  }
  if (file.size() < kHeaderBytes + kFooterBytes) return Truncated(file);
  std::string header(kHeaderBytes, '\0'), footer(kFooterBytes, '\0');
  CAIRN_RETURN_IF_ERROR(file.ReadAt(0, absl::MakeSpan(header)));
  CAIRN_RETURN_IF_ERROR(file.ReadAt(file.size() - kFooterBytes, absl::MakeSpan(footer)));
  const uint32_t version = diff_fields::Fixed32(header.data() + 8);
  const uint32_t piece_bytes = diff_fields::Fixed32(header.data() + 12);
  if (version != kVersion || piece_bytes != kDiffPieceBytes) {
    return absl::InvalidArgumentError(absl::StrCat(file.name(), ": diff of version ", version, " with pieces of ",
                                                   piece_bytes, " bytes; this program reads version ", kVersion,
                                                   " with ", kDiffPieceBytes));
  }
  if (absl::string_view(footer).substr(kFooterBytes - kEndMagic.size()) != kEndMagic) return Truncated(file);
  const uint64_t index_offset = diff_fields::Fixed64(footer.data());
  const uint64_t index_bytes = diff_fields::Fixed64(footer.data() + 8);
  const uint64_t before_footer = file.size() - kFooterBytes;
  if (index_offset < kHeaderBytes || index_offset > before_footer || index_bytes != before_footer - index_offset) {
    return DamagedDiff(absl::StrCat(file.name(), ": the diff is damaged: an index of ", index_bytes,
                                            " bytes at ", index_offset, " does not end at ", before_footer));
  }
  if (index_bytes > limits.max_header_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(file.name(), ": an index of ", index_bytes,
                                                   " bytes, over the limit of ", limits.max_header_bytes));
  }
  std::string bytes(index_bytes, '\0');
  CAIRN_RETURN_IF_ERROR(file.ReadAt(index_offset, absl::MakeSpan(bytes)));
  if (DigestOf(bytes, DigestAlgorithm::kSha256).AsBytes() != absl::string_view(footer).substr(16, kLongDigest)) {
    return DamagedDiff(
        absl::StrCat(file.name(), ": the diff is damaged: the SHA-256 of its index is another than its footer says"));
  }
  absl::StatusOr<DiffFileIndex> index = ParseIndex(bytes, index_offset, limits);
  if (!index.ok()) return Annotate(index.status(), file.name());
  return index;
}

}  // namespace cairn
