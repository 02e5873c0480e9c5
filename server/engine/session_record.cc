#include "server/engine/session_record.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/engine/extent_codec.h"

namespace cairn {
namespace {

// The oldest version that can say it.
uint8_t VersionOf(const SessionRecord& record) {
  const bool deltas = !record.bases.empty() || std::any_of(record.pieces.begin(), record.pieces.end(), [](const ShardPiece& piece) {
    return HasDeltas(piece.extents);
  });
  return deltas ? kVersionWithDeltas : kVersionWithoutDeltas;
}

}  // namespace

std::string EncodeSessionRecord(const SessionRecord& record) {
  std::string bytes;
  BinaryWriter out(&bytes);
  const uint8_t version = VersionOf(record);
  out.Byte(version);
  WriteTexts(record.objects, out);
  if (version >= kVersionWithDeltas) WriteExtents(record.bases, out);
  out.Varint(record.pieces.size());
  for (const ShardPiece& piece : record.pieces) {
    WriteEntry(piece.entry, out);
    if (piece.entry.kind == EntryKind::kTensor) WriteBox(piece.box, out);
    out.Varint(piece.start);
    WriteExtents(piece.extents, out);
    out.Byte(piece.finished ? 1 : 0);
  }
  return bytes;
}

absl::StatusOr<SessionRecord> DecodeSessionRecord(absl::string_view bytes) {
  BinaryReader in(bytes);
  SessionRecord record;
  CAIRN_ASSIGN_OR_RETURN(const uint8_t version, in.Byte());
  if (version < 1 || version > kVersionWithDeltas) {
    return in.Damaged(absl::StrCat("session record version ", version, ", expected 1 to ", kVersionWithDeltas));
  }
  CAIRN_ASSIGN_OR_RETURN(record.objects, ReadTexts(in));
  ExtentDecoder extents(version, record.objects.size());
  CAIRN_ASSIGN_OR_RETURN(record.bases, extents.ReadBases(in));
  CAIRN_ASSIGN_OR_RETURN(const uint64_t count, in.Count(5));
  record.pieces.resize(count);
  for (ShardPiece& piece : record.pieces) {
    CAIRN_ASSIGN_OR_RETURN(piece.entry, ReadEntry(in));
    if (piece.entry.kind == EntryKind::kTensor) {
      CAIRN_ASSIGN_OR_RETURN(piece.box, ReadBox(in, piece.entry.shape));
    }
    CAIRN_ASSIGN_OR_RETURN(piece.start, in.Varint());
    CAIRN_ASSIGN_OR_RETURN(piece.extents, extents.Read(in));
    CAIRN_ASSIGN_OR_RETURN(const uint8_t finished, in.Byte());
    if (finished > 1) return in.Damaged("finished flag");
    piece.finished = finished == 1;
  }
  if (in.remaining() != 0) return in.Damaged("bytes after the end");
  return record;
}

}  // namespace cairn
