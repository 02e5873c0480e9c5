#include "server/engine/part_writer.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/delta/delta.h"
#include "server/engine/extent_chain.h"

namespace cairn {
namespace {

// A part is recorded at the latest when its record is this long: a million values must not pile up in memory.
constexpr uint64_t kMaxRecordBytes = 4u << 20;
constexpr uint64_t kExtentRecordBytes = 32;
constexpr size_t kMaxWaitingExtents = 512;
constexpr size_t kCompareBytes = 128u << 10;  // Read and compared while they are in the cache.

// Rough bytes of a piece in the record, besides its extents.
uint64_t PieceBytes(const Entry& entry) {
  uint64_t bytes = 32 + entry.value->text.size() + 16 * entry.shape.size();
  for (const KeyPath::Segment& segment : entry.path.segments()) {
    const std::string* text = std::get_if<std::string>(&segment);
    bytes += 2 + (text == nullptr ? 8 : text->size());
  }
  return bytes;
}

}  // namespace

// Whole, but not yet looked up.
struct PartWriter::Waiting {
  std::vector<Buffer> bytes;
  uint32_t size = 0;
  size_t piece = 0;
  const Extent* there = nullptr;  // In the parent; null: it has nothing there.
  Digest digest;
  std::optional<ExtentLocation> stored;  // Where the store has these bytes,
  const Extent* base = nullptr;          // and if it has not, what may help to store fewer.
};

PartWriter::PartWriter(ObjectStore& store, Registry& registry, const Clock& clock, ThreadPool& seal_pool,
                       PartOptions options, std::string session_id, uint32_t writer,
                       std::shared_ptr<const OpenCheckpoint> parent)
    : store_(store), registry_(registry), options_(options), session_id_(std::move(session_id)), writer_(writer),
      sealer_(registry, clock, seal_pool, session_id_) {
  if (parent == nullptr || options_.max_delta_chain == 0) return;
  parent_ = std::make_unique<ParentDeltas>(store, registry, session_id_, std::move(parent), options_.max_delta_chain, options_.notice);
}

PartWriter::~PartWriter() = default;

size_t PartWriter::AddPiece(const Entry& entry, const Box& box, uint64_t start) {
  record_.pieces.push_back({entry, box, start, {}, false});
  Piece& piece = pieces_.emplace_back();
  piece.end = start;
  if (parent_ != nullptr && (entry.kind == EntryKind::kTensor || entry.kind == EntryKind::kAsset)) {
    if (entry.kind == EntryKind::kTensor) piece.unit = DeltaUnit(static_cast<size_t>(BitWidth(entry.dtype)) / 8);
    piece.parent = parent_->extents().Find(entry, box, start);
  }
  record_bytes_ += PieceBytes(entry);
  return record_.pieces.size() - 1;
}

void PartWriter::AddExtent(size_t piece, std::vector<Buffer> bytes, uint32_t size) {
  Piece& at = pieces_[piece];
  const Extent* there = parent_ == nullptr ? nullptr : parent_->extents().At(at.parent, at.end, size);
  waiting_.push_back({std::move(bytes), size, piece, there, {}, std::nullopt});
  at.end += size;
  waiting_bytes_ += size;
  record_bytes_ += kExtentRecordBytes;
}

absl::Status PartWriter::PlaceIfDue() {
  if (waiting_bytes_ < options_.extent_bytes && waiting_.size() < kMaxWaitingExtents) return absl::OkStatus();
  return Place();
}

bool PartWriter::SealIsDue() const {
  return (object_ != nullptr && object_->size() >= options_.object_bytes) || record_bytes_ >= kMaxRecordBytes;
}

uint32_t PartWriter::ObjectIndex(const std::string& key) {
  const auto [it, inserted] = object_index_.try_emplace(key, static_cast<uint32_t>(record_.objects.size()));
  if (inserted) {
    record_.objects.push_back(key);
    record_bytes_ += key.size() + 2;
  }
  return it->second;
}

uint32_t PartWriter::BaseIndex(const Extent& base) {
  const Extent* below = BaseOf(parent_->manifest(), base);
  Extent extent = base;
  extent.object = ObjectIndex(parent_->manifest().objects[base.object]);
  extent.base = below == nullptr ? 0 : BaseIndex(*below);
  const auto [it, inserted] = base_index_.try_emplace(std::make_pair(extent.object, extent.offset),
                                                      static_cast<uint32_t>(record_.bases.size() + 1));
  if (inserted) {
    record_.bases.push_back(extent);
    record_bytes_ += kExtentRecordBytes;
  }
  return it->second;
}

absl::Status PartWriter::Place() {
  if (waiting_.empty()) return absl::OkStatus();
  CAIRN_RETURN_IF_ERROR(FindStored());
  if (parent_ != nullptr) CAIRN_RETURN_IF_ERROR(ClaimBases());
  for (const Waiting& waiting : waiting_) {
    Extent extent;
    extent.digest = waiting.digest;
    extent.raw_bytes = waiting.size;
    extent.stored_bytes = waiting.size;
    if (waiting.stored.has_value()) {
      extent.object = ObjectIndex(waiting.stored->object_key);
      extent.offset = waiting.stored->offset;
      known_bytes_ += waiting.size;
    } else if (IsUnsealed(waiting, extent)) {
      known_bytes_ += waiting.size;
    } else if (parent_ != nullptr) {
      CAIRN_ASSIGN_OR_RETURN(extent, StoreDelta(waiting));
    } else {
      CAIRN_RETURN_IF_ERROR(AppendToObject(waiting.bytes, extent));
    }
    placed_bytes_ += waiting.size;
    record_.pieces[waiting.piece].extents.push_back(extent);
  }
  waiting_.clear();
  waiting_bytes_ = 0;
  return absl::OkStatus();
}

// Of what waits, finds out what the store has.
absl::Status PartWriter::FindStored() {
  std::vector<Digest> digests;
  digests.reserve(waiting_.size());
  for (Waiting& waiting : waiting_) {
    for (const Buffer& piece : waiting.bytes) digester_.Update(piece.bytes());
    waiting.digest = digester_.Finish();
    digests.push_back(waiting.digest);
  }
  CAIRN_ASSIGN_OR_RETURN(std::vector<std::optional<ExtentLocation>> known, registry_.ClaimExtents(session_id_, digests));
  for (size_t i = 0; i < waiting_.size(); ++i) {
    if (!known[i].has_value()) continue;
    CAIRN_ASSIGN_OR_RETURN(const bool stored, IsStored(waiting_[i], *known[i]));
    if (stored) waiting_[i].stored = std::move(known[i]);
  }
  return absl::OkStatus();
}

// Whether the bytes at `location` are these. What is damaged or gone is not; the bytes are stored anew then.
absl::StatusOr<bool> PartWriter::IsStored(const Waiting& waiting, const ExtentLocation& location) {
  if (location.encoding != static_cast<uint8_t>(ExtentEncoding::kRaw)) return false;
  if (location.raw_bytes != waiting.size || location.stored_bytes != waiting.size) return false;
  window_.resize(kCompareBytes);
  uint64_t position = 0;             // In the extent.
  size_t in_window = kCompareBytes;  // Nothing of it is left to compare.
  for (const Buffer& piece : waiting.bytes) {
    for (size_t done = 0; done < piece.size();) {
      if (in_window == kCompareBytes) {
        const absl::Span<char> next = absl::MakeSpan(window_).first(std::min<uint64_t>(kCompareBytes, waiting.size - position));
        const absl::Status read = store_.Read(location.object_key, location.offset + position, next);
        if (absl::IsNotFound(read) || absl::IsOutOfRange(read) || absl::IsDataLoss(read)) return false;
        CAIRN_RETURN_IF_ERROR(Annotate(read, absl::StrCat("object ", location.object_key)));
        in_window = 0;
      }
      const size_t size = std::min(piece.size() - done, kCompareBytes - in_window);
      if (std::memcmp(window_.data() + in_window, piece.data() + done, size) != 0) return false;
      done += size;
      in_window += size;
      position += size;
    }
  }
  return true;
}

absl::Status PartWriter::ClaimBases() {
  std::vector<const Extent*> bases;
  for (const Waiting& waiting : waiting_) {
    bases.push_back(waiting.stored.has_value() ? nullptr : parent_->BaseFor(waiting.there, waiting.digest));
  }
  CAIRN_RETURN_IF_ERROR(parent_->Claim(bases));
  for (size_t i = 0; i < waiting_.size(); ++i) waiting_[i].base = bases[i];
  return absl::OkStatus();
}

absl::StatusOr<Extent> PartWriter::StoreDelta(const Waiting& waiting) {
  CAIRN_ASSIGN_OR_RETURN(DeltaChoice choice,
                         parent_->Choose(waiting.bytes, waiting.size, pieces_[waiting.piece].unit, waiting.base));
  Extent extent;
  if (choice.how == DeltaChoice::How::kShared) {
    const Extent* below = BaseOf(parent_->manifest(), *choice.base);
    extent = *choice.base;
    extent.object = ObjectIndex(parent_->manifest().objects[choice.base->object]);
    extent.base = below == nullptr ? 0 : BaseIndex(*below);
    extent.digest = waiting.digest;
    known_bytes_ += waiting.size;
    return extent;
  }
  extent.digest = waiting.digest;
  extent.raw_bytes = waiting.size;
  extent.stored_bytes = waiting.size;
  if (choice.how == DeltaChoice::How::kAsItIs) {
    CAIRN_RETURN_IF_ERROR(AppendToObject(waiting.bytes, extent));
    return extent;
  }
  extent.encoding = ExtentEncoding::kDelta;
  extent.stored_bytes = static_cast<uint32_t>(choice.encoded.size());
  if (choice.base != nullptr) extent.base = BaseIndex(*choice.base);
  CAIRN_RETURN_IF_ERROR(AppendToObject({Buffer::FromString(std::move(choice.encoded))}, extent));
  return extent;
}

bool PartWriter::IsUnsealed(const Waiting& waiting, Extent& extent) {
  for (const Unsealed* unsealed : {&filling_, &sealing_}) {
    const auto found = unsealed->extents.find(waiting.digest);
    if (found == unsealed->extents.end() || found->second.raw_bytes != waiting.size) continue;
    // Bases are counted anew in each part.
    if (unsealed == &sealing_ && found->second.base != 0) continue;
    extent = found->second;
    extent.object = ObjectIndex(unsealed->object_key);
    return true;
  }
  return false;
}

absl::Status PartWriter::AppendToObject(absl::Span<const Buffer> bytes, Extent& extent) {
  if (object_ == nullptr) {
    // The session's id leads, so that garbage collection knows whose object it is before it is recorded.
    thread_local absl::BitGen random;
    filling_.object_key =
        absl::StrCat(session_id_, "/", writer_, "-", absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16));
    CAIRN_ASSIGN_OR_RETURN(object_, store_.Create(filling_.object_key, options_.object_bytes));
  }
  extent.object = ObjectIndex(filling_.object_key);
  extent.offset = object_->size();
  CAIRN_RETURN_IF_ERROR(Annotate(object_->Append(bytes), absl::StrCat("object ", filling_.object_key)));
  // Whoever finds an extent by its digest compares it as it lies there, and knows nothing of bases.
  if (extent.encoding == ExtentEncoding::kRaw) {
    new_extents_.push_back({extent.digest, extent.offset, extent.stored_bytes, extent.raw_bytes, 0});
  }
  filling_.extents[extent.digest] = extent;
  return absl::OkStatus();
}

absl::Status PartWriter::StartSeal() {
  CAIRN_RETURN_IF_ERROR(Place());
  CAIRN_RETURN_IF_ERROR(sealer_.Await());
  sealing_ = {};
  if (record_.pieces.empty()) return absl::OkStatus();
  FilledPart filled;
  filled.part.writer = writer_;
  filled.part.record = EncodeSessionRecord(record_);
  if (object_ != nullptr) {
    filled.part.object_key = filling_.object_key;
    filled.part.object_bytes = object_->size();
    filled.object = std::move(object_);
    filled.extents = std::move(new_extents_);
  }
  sealing_ = std::exchange(filling_, {});
  record_ = {};
  record_bytes_ = 0;
  pieces_.clear();
  object_index_.clear();
  base_index_.clear();
  new_extents_.clear();
  return sealer_.Start(std::move(filled));
}

}  // namespace cairn
