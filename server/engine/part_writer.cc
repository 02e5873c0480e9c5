#include "server/engine/part_writer.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

// A part is recorded at the latest when its record is this long: a million values must not pile up in memory.
constexpr uint64_t kMaxRecordBytes = 4u << 20;
constexpr uint64_t kExtentRecordBytes = 32;
constexpr size_t kMaxWaitingExtents = 512;
constexpr size_t kCompareBytes = 128u << 10;  // Read and compared while they are in the cache.

// Rough bytes of a piece in the record, besides its extents.
uint64_t PieceBytes(const Entry& entry) {
  uint64_t bytes = 32 + entry.value.text.size() + 16 * entry.shape.size();
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
  Digest digest;
};

PartWriter::PartWriter(ObjectStore& store, Registry& registry, const Clock& clock, ThreadPool& seal_pool,
                       PartOptions options, std::string session_id, uint32_t writer)
    : store_(store), registry_(registry), options_(options), session_id_(std::move(session_id)), writer_(writer),
      sealer_(registry, clock, seal_pool, session_id_) {}

PartWriter::~PartWriter() = default;

size_t PartWriter::AddPiece(const Entry& entry, const Box& box, uint64_t start) {
  record_.pieces.push_back({entry, box, start, {}, false});
  record_bytes_ += PieceBytes(entry);
  return record_.pieces.size() - 1;
}

void PartWriter::AddExtent(size_t piece, std::vector<Buffer> bytes, uint32_t size) {
  waiting_.push_back({std::move(bytes), size, piece, {}});
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

absl::Status PartWriter::Place() {
  if (waiting_.empty()) return absl::OkStatus();
  std::vector<Digest> digests;
  digests.reserve(waiting_.size());
  for (Waiting& waiting : waiting_) {
    for (const Buffer& piece : waiting.bytes) digester_.Update(piece.bytes());
    waiting.digest = digester_.Finish();
    digests.push_back(waiting.digest);
  }
  CAIRN_ASSIGN_OR_RETURN(const std::vector<std::optional<ExtentLocation>> known,
                         registry_.ClaimExtents(session_id_, digests));
  for (size_t i = 0; i < waiting_.size(); ++i) {
    const Waiting& waiting = waiting_[i];
    Extent extent;
    extent.digest = waiting.digest;
    extent.raw_bytes = waiting.size;
    extent.stored_bytes = waiting.size;
    bool stored = false;
    if (known[i].has_value()) {
      CAIRN_ASSIGN_OR_RETURN(stored, IsStored(waiting, *known[i]));
    }
    if (stored) {
      extent.object = ObjectIndex(known[i]->object_key);
      extent.offset = known[i]->offset;
      extent.stored_bytes = known[i]->stored_bytes;
      extent.encoding = static_cast<ExtentEncoding>(known[i]->encoding);
      known_bytes_ += waiting.size;
    } else if (IsUnsealed(waiting, extent)) {
      known_bytes_ += waiting.size;
    } else {
      CAIRN_RETURN_IF_ERROR(AppendToObject(waiting, extent));
    }
    placed_bytes_ += waiting.size;
    record_.pieces[waiting.piece].extents.push_back(extent);
  }
  waiting_.clear();
  waiting_bytes_ = 0;
  return absl::OkStatus();
}

// Whether the bytes at `location` are these. What is damaged or gone is not; the bytes are stored anew then.
absl::StatusOr<bool> PartWriter::IsStored(const Waiting& waiting, const ExtentLocation& location) {
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

bool PartWriter::IsUnsealed(const Waiting& waiting, Extent& extent) {
  for (const Unsealed* unsealed : {&filling_, &sealing_}) {
    const auto found = unsealed->extents.find(waiting.digest);
    if (found == unsealed->extents.end() || found->second.raw_bytes != waiting.size) continue;
    extent = found->second;
    extent.object = ObjectIndex(unsealed->object_key);
    return true;
  }
  return false;
}

absl::Status PartWriter::AppendToObject(const Waiting& waiting, Extent& extent) {
  if (object_ == nullptr) {
    // The session's id leads, so that garbage collection knows whose object it is before it is recorded.
    thread_local absl::BitGen random;
    filling_.object_key =
        absl::StrCat(session_id_, "/", writer_, "-", absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16));
    CAIRN_ASSIGN_OR_RETURN(object_, store_.Create(filling_.object_key, options_.object_bytes));
  }
  extent.object = ObjectIndex(filling_.object_key);
  extent.offset = object_->size();
  CAIRN_RETURN_IF_ERROR(Annotate(object_->Append(waiting.bytes), absl::StrCat("object ", filling_.object_key)));
  new_extents_.push_back({extent.digest, extent.offset, extent.stored_bytes, extent.raw_bytes, 0});
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
  object_index_.clear();
  new_extents_.clear();
  return sealer_.Start(std::move(filled));
}

}  // namespace cairn
