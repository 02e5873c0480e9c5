#include "common/diff/content_digest.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/cairndiff/diff_fields.h"
#include "common/format/cairndiff/diff_file.h"

namespace cairn {

void ContentDigester::Add(const Entry& entry, absl::Span<const Digest> pieces) {
  std::string record;
  record.push_back(static_cast<char>(entry.kind));
  diff_fields::PutPath(entry.path, &record);
  switch (entry.kind) {
    case EntryKind::kTensor:
      record.push_back(static_cast<char>(entry.dtype));
      diff_fields::PutShape(entry.shape, &record);
      break;
    case EntryKind::kAsset:
      diff_fields::PutNumber(entry.byte_size, &record);
      break;
    case EntryKind::kValue:
      diff_fields::PutText(EncodeValue(entry.value), &record);
      break;
    case EntryKind::kAlias:
      diff_fields::PutPath(entry.target, &record);
      break;
  }
  if (entry.kind == EntryKind::kTensor || entry.kind == EntryKind::kAsset) {
    Digester bytes(DigestAlgorithm::kSha256);
    for (const Digest& piece : pieces) bytes.Update(piece.AsBytes());
    absl::StrAppend(&record, bytes.Finish().AsBytes());
  }
  items_.push_back({entry.kind == EntryKind::kAsset, entry.path, std::move(record)});
}

Digest ContentDigester::Finish() {
  std::sort(items_.begin(), items_.end(),
            [](const Item& a, const Item& b) { return std::tie(a.is_asset, a.path) < std::tie(b.is_asset, b.path); });
  Digester whole(DigestAlgorithm::kSha256);
  whole.Update("cairn content 1\n");
  for (const Item& item : items_) whole.Update(item.record);
  items_.clear();
  return whole.Finish();
}

absl::StatusOr<Digest> ContentDigest(CheckpointReader& reader, const Cancellation& cancellation,
                                     const std::function<void(uint64_t)>& progress) {
  const std::vector<Entry>& entries = reader.index().entries;
  std::vector<EntryRange> ranges;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].byte_size > 0) ranges.push_back({i, 0, entries[i].byte_size});
  }
  CAIRN_RETURN_IF_ERROR(reader.WillRead(ranges));
  ContentDigester digester;
  std::string piece;
  uint64_t done = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    std::vector<Digest> pieces;
    for (uint64_t offset = 0; offset < entries[i].byte_size; offset += kDiffPieceBytes) {
      CAIRN_RETURN_IF_ERROR(cancellation.Check());
      piece.resize(std::min(kDiffPieceBytes, entries[i].byte_size - offset));
      CAIRN_RETURN_IF_ERROR(reader.ReadAt(i, offset, absl::MakeSpan(piece)));
      pieces.push_back(DigestOf(piece, DigestAlgorithm::kXxh3));
      done += piece.size();
      if (progress) progress(done);
    }
    digester.Add(entries[i], pieces);
  }
  return digester.Finish();
}

}  // namespace cairn
