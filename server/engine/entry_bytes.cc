#include "server/engine/entry_bytes.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "common/cast/cast.h"

namespace cairn {
namespace {

// Runs shorter than this are copied together into one buffer rather than sent one by one.
constexpr uint64_t kMinBorrowedBytes = 64u << 10;

}  // namespace

absl::StatusOr<std::unique_ptr<EntryBytes>> EntryBytes::Open(const Manifest& manifest, const StoredEntry& stored,
                                                             const std::optional<Box>& box,
                                                             std::optional<Dtype> dtype, ExtentReader& extents) {
  auto bytes = std::unique_ptr<EntryBytes>(new EntryBytes(manifest, stored, extents));
  const Entry& entry = stored.entry;
  if (entry.kind != EntryKind::kTensor) {
    bytes->size_ = bytes->stored_size_ = entry.byte_size;
    return bytes;
  }
  bytes->box_ = box.has_value() ? *box : Box::Whole(entry.shape);
  if (absl::Status inside = CheckBox(bytes->box_, entry.shape); !inside.ok()) {
    return WithErrorInfo(
        absl::InvalidArgumentError(absl::StrCat("tensor \"", entry.path.ToString(), "\": ", inside.message())),
        {"BOX_OUTSIDE", {{"path", entry.path.ToString()}, {"expected", ShapeToString(entry.shape)}}});
  }
  bytes->from_ = bytes->to_ = entry.dtype;
  if (dtype.has_value() && IsFloat(entry.dtype)) bytes->to_ = *dtype;
  if (!(bytes->from_ == bytes->to_) && !CanCast(bytes->from_, bytes->to_)) {
    return absl::InvalidArgumentError(absl::StrCat("tensor \"", entry.path.ToString(), "\": no cast from ",
                                                   DtypeName(bytes->from_), " to ", DtypeName(bytes->to_)));
  }
  const bool whole = bytes->box_ == Box::Whole(entry.shape);
  if (BitWidth(entry.dtype) % 8 != 0 && (!whole || stored.shards.size() != 1)) {
    return absl::InvalidArgumentError(absl::StrCat("tensor \"", entry.path.ToString(), "\": ", DtypeName(entry.dtype),
                                                   " packs several elements into a byte and can only be read whole"));
  }
  CAIRN_ASSIGN_OR_RETURN(bytes->stored_size_, ByteSize(bytes->from_, bytes->box_.extent));
  CAIRN_ASSIGN_OR_RETURN(bytes->size_, ByteSize(bytes->to_, bytes->box_.extent));
  if (whole && stored.shards.size() == 1) return bytes;
  std::vector<Box> shards;
  shards.reserve(stored.shards.size());
  for (const StoredShard& shard : stored.shards) shards.push_back(shard.box);
  bytes->layout_ = std::make_unique<BoxLayout>(bytes->box_, shards);
  return bytes;
}

uint64_t EntryBytes::InterleavedBytes() const {
  if (layout_ == nullptr) return 0;
  std::vector<uint64_t> extents;
  extents.reserve(stored_.shards.size());
  for (const StoredShard& shard : stored_.shards) extents.push_back(shard.extents.empty() ? 0 : shard.extents[0].raw_bytes);
  return layout_->Interleaved(extents, static_cast<uint64_t>(BitWidth(from_)) / 8);
}

uint64_t EntryBytes::StoredOffset(uint64_t offset) const {
  if (from_ == to_) return offset;
  return offset / (static_cast<uint64_t>(BitWidth(to_)) / 8) * (static_cast<uint64_t>(BitWidth(from_)) / 8);
}

EntryBytes::Spot EntryBytes::LocateInShard(size_t shard, uint64_t offset, uint64_t max_bytes) {
  const std::vector<Extent>& extents = stored_.shards[shard].extents;
  if (extents.size() == 1) return {shard, &extents[0], offset, std::min<uint64_t>(max_bytes, extents[0].raw_bytes - offset)};
  extent_ends_.resize(stored_.shards.size());
  std::vector<uint64_t>& ends = extent_ends_[shard];
  if (ends.empty()) {
    uint64_t end = 0;
    ends.reserve(extents.size());
    for (const Extent& extent : extents) ends.push_back(end += extent.raw_bytes);
  }
  const size_t index = static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), offset) - ends.begin());
  const uint64_t begin = ends[index] - extents[index].raw_bytes;
  return {shard, &extents[index], offset - begin, std::min<uint64_t>(max_bytes, ends[index] - offset)};
}

std::optional<EntryBytes::Spot> EntryBytes::Locate(uint64_t offset, uint64_t max_bytes) {
  if (layout_ == nullptr) return LocateInShard(0, offset, max_bytes);
  const uint64_t item = static_cast<uint64_t>(BitWidth(from_)) / 8;
  const std::optional<BoxLayout::Run> run = layout_->At(offset / item);
  if (!run.has_value()) return std::nullopt;
  const uint64_t within = offset % item;
  return LocateInShard(run->shard, run->position * item + within, std::min(max_bytes, run->length * item - within));
}

std::optional<EntryBytes::Step> EntryBytes::StepAt(uint64_t offset, uint64_t max_bytes) {
  const std::optional<Spot> spot = Locate(offset, UINT64_MAX);
  if (!spot.has_value()) return std::nullopt;
  const uint64_t bytes = spot->extent->raw_bytes;
  return Step{spot->extent, from_ == to_ && spot->skip == 0 && spot->length == bytes && bytes <= max_bytes, spot->length};
}

absl::StatusOr<Buffer> EntryBytes::Borrow(uint64_t offset, uint64_t max_bytes, std::optional<uint32_t>* crc32c) {
  const std::optional<Spot> spot = Locate(offset, max_bytes);
  if (!spot.has_value()) {
    return absl::DataLossError(absl::StrCat("tensor \"", stored_.entry.path.ToString(), "\": the manifest has no shard for byte ",
                                            offset, " of the box ", box_.ToString()));
  }
  const Extent& extent = *spot->extent;
  uint32_t crc = 0;
  const bool checksum = crc32c != nullptr && spot->length == extent.raw_bytes;
  absl::StatusOr<Buffer> whole = extents_.Read(manifest_, extent, checksum ? &crc : nullptr);
  if (!whole.ok()) {
    const std::string box = stored_.shards[spot->shard].box.ToString();
    ErrorInfo info = GetErrorInfo(whole.status());
    info.metadata["path"] = stored_.entry.path.ToString();
    info.metadata["box"] = box;
    return WithErrorInfo(
        absl::Status(whole.status().code(), absl::StrCat(stored_.entry.kind == EntryKind::kAsset ? "asset" : "tensor", " \"",
                                                         stored_.entry.path.ToString(), "\", box ", box, ": ",
                                                         whole.status().message())),
        info);
  }
  if (checksum) *crc32c = crc;
  return whole->Slice(spot->skip, spot->length);
}

absl::Status EntryBytes::Fill(uint64_t offset, absl::Span<char> dst) {
  while (!dst.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const Buffer piece, Borrow(offset, dst.size(), nullptr));
    std::memcpy(dst.data(), piece.data(), piece.size());
    offset += piece.size();
    dst.remove_prefix(piece.size());
  }
  return absl::OkStatus();
}

absl::StatusOr<Buffer> EntryBytes::ReadSome(uint64_t offset, uint64_t max_bytes, std::optional<uint32_t>* crc32c) {
  max_bytes = std::min(max_bytes, size_ - offset);
  if (from_ == to_) {
    CAIRN_ASSIGN_OR_RETURN(const Buffer piece, Borrow(offset, max_bytes, crc32c));
    if (piece.size() == max_bytes || piece.size() >= kMinBorrowedBytes) return piece;
    if (crc32c != nullptr) crc32c->reset();
    std::shared_ptr<char[]> memory(new char[max_bytes]);
    CAIRN_RETURN_IF_ERROR(Fill(offset, absl::MakeSpan(memory.get(), max_bytes)));
    return Buffer(absl::string_view(memory.get(), max_bytes), memory);
  }

  // Whole elements are cast; a resumed read may begin or end within one.
  const uint64_t to_item = static_cast<uint64_t>(BitWidth(to_)) / 8;
  const uint64_t from_item = static_cast<uint64_t>(BitWidth(from_)) / 8;
  const uint64_t first = offset / to_item;
  const uint64_t skip = offset % to_item;
  const uint64_t count = std::max<uint64_t>(1, (skip + max_bytes) / to_item);
  std::unique_ptr<char[]> source(new char[count * from_item]);
  CAIRN_RETURN_IF_ERROR(Fill(first * from_item, absl::MakeSpan(source.get(), count * from_item)));
  std::shared_ptr<char[]> target(new char[count * to_item]);
  CAIRN_RETURN_IF_ERROR(CastElements(from_, absl::string_view(source.get(), count * from_item), to_,
                                     absl::MakeSpan(target.get(), count * to_item)));
  const uint64_t available = count * to_item - skip;
  return Buffer(absl::string_view(target.get() + skip, std::min(available, max_bytes)), target);
}

}  // namespace cairn
