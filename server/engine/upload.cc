#include "server/engine/upload.h"

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/error_info.h"
#include "common/base/fail_point.h"
#include "common/base/status_macros.h"
#include "server/engine/assemble.h"
#include "server/engine/session_parts.h"

namespace cairn {
namespace {

// A part is recorded at the latest when its record is this long: a million values must not pile up in memory.
constexpr uint64_t kMaxRecordBytes = 4u << 20;
constexpr uint64_t kExtentRecordBytes = 48;
constexpr size_t kMaxPendingExtents = 512;

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

struct Upload::Current {
  Entry entry;
  Box box;
  uint64_t total = 0;
  uint64_t received = 0;            // Offset after the last byte that came.
  std::vector<Buffer> tail;         // The unfinished extent.
  uint64_t tail_bytes = 0;
  std::optional<size_t> piece;      // Of record_.pieces; absent until something is placed in the current part.
  uint64_t placed = 0;              // Offset up to which extents are in pieces.
};

struct Upload::PendingExtent {
  std::vector<Buffer> bytes;
  uint32_t size = 0;
  Digest digest;
  size_t piece = 0;
};

Upload::Upload(ObjectStore& store, Registry& registry, const Clock& clock, UploadOptions options,
               std::string session_id, uint32_t writer)
    : store_(store), registry_(registry), clock_(clock), options_(options), session_id_(std::move(session_id)),
      writer_(writer), renewed_(clock.Now()) {}

Upload::~Upload() = default;

absl::StatusOr<std::unique_ptr<Upload>> Upload::Open(ObjectStore& store, Registry& registry, const Clock& clock,
                                                     UploadOptions options, const std::string& session_id,
                                                     uint32_t writer) {
  CAIRN_ASSIGN_OR_RETURN(const Session session, registry.GetSession(session_id));
  if (writer >= session.spec.writers) {
    return absl::InvalidArgumentError(absl::StrCat("writer ", writer, ": the session has writers 0 to ",
                                                   session.spec.writers - 1));
  }
  CAIRN_RETURN_IF_ERROR(registry.RenewSession(session_id, clock.Now()));
  auto upload = std::unique_ptr<Upload>(new Upload(store, registry, clock, options, session_id, writer));
  CAIRN_RETURN_IF_ERROR(upload->LoadEarlierProgress());
  return upload;
}

absl::Status Upload::LoadEarlierProgress() {
  ManifestAssembler earlier;
  CAIRN_RETURN_IF_ERROR(ForEachPart(registry_, session_id_, writer_, [&](const SessionPart& part) -> absl::Status {
    CAIRN_ASSIGN_OR_RETURN(SessionRecord record, DecodeSessionRecord(part.record));
    return earlier.Add(writer_, std::move(record));
  }).status());
  for (const auto& [writer, shard] : earlier.Progress()) {
    earlier_[ShardKey(writer, shard.entry.path, shard.box, shard.entry.kind)] = {shard.durable_bytes, shard.finished};
  }
  return absl::OkStatus();
}

std::string Upload::CurrentEntry() const {
  return current_ == nullptr ? "" : absl::StrCat("entry \"", current_->entry.path.ToString(), "\"");
}

absl::Status Upload::Declare(const Entry& entry, const std::optional<Box>& box, uint64_t start) {
  if (current_ != nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("declared \"", entry.path.ToString(), "\" before \"",
                                                      current_->entry.path.ToString(), "\" was finished"));
  }
  auto current = std::make_unique<Current>();
  current->entry = entry;
  if (entry.kind == EntryKind::kTensor) {
    current->box = box.has_value() ? *box : Box::Whole(entry.shape);
    CAIRN_RETURN_IF_ERROR(CheckBox(current->box, entry.shape));
  }
  CAIRN_ASSIGN_OR_RETURN(current->total, ShardBytes(entry, current->box));

  const auto earlier = earlier_.find(ShardKey(writer_, entry.path, current->box, entry.kind));
  const uint64_t durable = earlier == earlier_.end() ? 0 : earlier->second.durable_bytes;
  if (start != durable) {
    return WithErrorInfo(absl::FailedPreconditionError(absl::StrCat(
                             "entry \"", entry.path.ToString(), "\", box ", current->box.ToString(), ": starts at ",
                             start, ", but ", durable, " bytes are durable; ask GetSaveStatus and resume there")),
                         {"RESUME_OFFSET",
                          {{"path", entry.path.ToString()},
                           {"box", current->box.ToString()},
                           {"expected", absl::StrCat(durable)},
                           {"found", absl::StrCat(start)}}});
  }
  current->received = start;
  current->placed = start;
  current_ = std::move(current);
  return absl::OkStatus();
}

absl::Status Upload::Append(uint64_t offset, std::vector<Buffer> pieces) {
  if (current_ == nullptr) return absl::FailedPreconditionError("bytes came before an entry was declared");
  Current& current = *current_;
  if (offset != current.received) {
    return WithErrorInfo(
        absl::FailedPreconditionError(absl::StrCat(CurrentEntry(), ": expected bytes from offset ", current.received,
                                                   " on, got offset ", offset)),
        {"CHUNK_OFFSET",
         {{"path", current.entry.path.ToString()}, {"expected", absl::StrCat(current.received)}, {"found", absl::StrCat(offset)}}});
  }
  const uint64_t size = TotalSize(pieces);
  if (size > current.total - current.received) {
    return absl::OutOfRangeError(absl::StrCat(CurrentEntry(), ": bytes up to ", offset + size, " came, but the ",
                                              current.entry.kind == EntryKind::kTensor ? "shard" : "asset", " has ",
                                              current.total));
  }
  for (Buffer& piece : pieces) {
    while (!piece.empty()) {
      const uint64_t room = options_.extent_bytes - current.tail_bytes;
      const uint64_t take = std::min<uint64_t>(room, piece.size());
      current.tail.push_back(piece.Slice(0, take));
      current.tail_bytes += take;
      current.received += take;
      piece = piece.Slice(take, piece.size() - take);
      if (current.tail_bytes == options_.extent_bytes) {
        CollectTail();
        CAIRN_RETURN_IF_ERROR(PlaceAndSealIfDue());
      }
    }
  }
  return RenewIfDue();
}

// Turns the tail into an extent that waits for its digest to be looked up; makes sure that the entry has a piece.
void Upload::CollectTail() {
  Current& current = *current_;
  if (!current.piece.has_value()) {
    current.piece = record_.pieces.size();
    record_.pieces.push_back({current.entry, current.box, current.placed, {}, false});
    record_bytes_ += PieceBytes(current.entry);
  }
  if (current.tail_bytes == 0) return;
  PendingExtent pending;
  pending.bytes = std::move(current.tail);
  pending.size = static_cast<uint32_t>(current.tail_bytes);
  pending.piece = *current.piece;
  current.placed += pending.size;
  current.tail.clear();
  current.tail_bytes = 0;
  pending_bytes_ += pending.size;
  record_bytes_ += kExtentRecordBytes;
  pending_.push_back(std::move(pending));
}

absl::Status Upload::PlaceAndSealIfDue() {
  if (pending_bytes_ >= options_.extent_bytes || pending_.size() >= kMaxPendingExtents) {
    CAIRN_RETURN_IF_ERROR(PlacePending());
  }
  const uint64_t object_size = object_ == nullptr ? 0 : object_->size();
  if (object_size >= options_.object_bytes || record_bytes_ >= kMaxRecordBytes) return SealAndRecord();
  return absl::OkStatus();
}

absl::Status Upload::FinishEntry() {
  if (current_ == nullptr) return absl::FailedPreconditionError("finish came before an entry was declared");
  if (current_->received != current_->total) {
    return absl::InvalidArgumentError(absl::StrCat(CurrentEntry(), ": finished after ", current_->received, " of ",
                                                   current_->total, " bytes"));
  }
  const std::string key = ShardKey(writer_, current_->entry.path, current_->box, current_->entry.kind);
  const auto earlier = earlier_.find(key);
  if (earlier != earlier_.end() && earlier->second.finished) {
    // All of it is recorded already: nothing to write. Durable as soon as everything before it is.
    current_.reset();
    ++entries_;
    return absl::OkStatus();
  }
  CollectTail();
  record_.pieces[*current_->piece].finished = true;
  earlier_[key] = {current_->total, true};
  current_.reset();
  ++entries_;
  return PlaceAndSealIfDue();
}

absl::Status Upload::Flush() {
  CAIRN_RETURN_IF_ERROR(PlacePending());
  return SealAndRecord();
}

uint32_t Upload::ObjectIndex(const std::string& key) {
  const auto [it, inserted] = object_index_.try_emplace(key, static_cast<uint32_t>(record_.objects.size()));
  if (inserted) {
    record_.objects.push_back(key);
    record_bytes_ += key.size() + 2;
  }
  return it->second;
}

absl::Status Upload::PlacePending() {
  if (pending_.empty()) return absl::OkStatus();
  std::vector<Digest> digests;
  digests.reserve(pending_.size());
  Digester digester;
  for (PendingExtent& pending : pending_) {
    for (const Buffer& piece : pending.bytes) digester.Update(piece.bytes());
    pending.digest = digester.Finish();
    digests.push_back(pending.digest);
  }
  CAIRN_ASSIGN_OR_RETURN(const std::vector<std::optional<ExtentLocation>> known,
                         registry_.ClaimExtents(session_id_, digests));
  for (size_t i = 0; i < pending_.size(); ++i) {
    PendingExtent& pending = pending_[i];
    Extent extent;
    extent.digest = pending.digest;
    extent.raw_bytes = pending.size;
    extent.stored_bytes = pending.size;
    const auto unsealed = unsealed_.find(pending.digest);
    if (known[i].has_value() && known[i]->raw_bytes == pending.size) {
      extent.object = ObjectIndex(known[i]->object_key);
      extent.offset = known[i]->offset;
      extent.stored_bytes = known[i]->stored_bytes;
      extent.encoding = static_cast<ExtentEncoding>(known[i]->encoding);
      known_bytes_ += pending.size;
    } else if (unsealed != unsealed_.end()) {
      extent = unsealed->second;
      known_bytes_ += pending.size;
    } else {
      CAIRN_RETURN_IF_ERROR(AppendToObject(pending, extent));
    }
    bytes_ += pending.size;
    record_.pieces[pending.piece].extents.push_back(extent);
  }
  pending_.clear();
  pending_bytes_ = 0;
  return absl::OkStatus();
}

absl::Status Upload::AppendToObject(PendingExtent& pending, Extent& extent) {
  if (object_ == nullptr) {
    // The session's id leads, so that garbage collection knows whose object it is before it is recorded.
    thread_local absl::BitGen random;
    object_key_ = absl::StrCat(session_id_, "/", writer_, "-", absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16));
    CAIRN_ASSIGN_OR_RETURN(object_, store_.Create(object_key_, options_.object_bytes));
  }
  extent.object = ObjectIndex(object_key_);
  extent.offset = object_->size();
  CAIRN_RETURN_IF_ERROR(Annotate(object_->Append(pending.bytes), absl::StrCat("object ", object_key_)));
  new_extents_.push_back({extent.digest, extent.offset, extent.stored_bytes, extent.raw_bytes, 0});
  unsealed_[extent.digest] = extent;
  return absl::OkStatus();
}

absl::Status Upload::SealAndRecord() {
  // Pending extents belong to pieces of this part.
  CAIRN_RETURN_IF_ERROR(PlacePending());
  if (!record_.pieces.empty()) {
    SessionPart part;
    part.writer = writer_;
    if (object_ != nullptr) {
      CAIRN_FAIL_POINT("upload.before_seal");
      CAIRN_RETURN_IF_ERROR(Annotate(object_->Seal(), absl::StrCat("object ", object_key_)));
      part.object_key = object_key_;
      part.object_bytes = object_->size();
    }
    part.record = EncodeSessionRecord(record_);
    CAIRN_FAIL_POINT("upload.before_record");
    CAIRN_RETURN_IF_ERROR(registry_.RecordPart(session_id_, part, new_extents_, clock_.Now()));
    CAIRN_FAIL_POINT("upload.after_record");
    renewed_ = clock_.Now();
  }
  record_ = {};
  record_bytes_ = 0;
  object_index_.clear();
  object_.reset();
  object_key_.clear();
  new_extents_.clear();
  unsealed_.clear();
  if (current_ != nullptr) current_->piece.reset();

  progress_.durable_entries = entries_;
  progress_.durable_offset = current_ == nullptr ? 0 : current_->placed;
  progress_.durable_bytes = bytes_;
  progress_.deduplicated_bytes = known_bytes_;
  return absl::OkStatus();
}

absl::Status Upload::RenewIfDue() {
  const absl::Time now = clock_.Now();
  if (now - renewed_ < options_.renew_every) return absl::OkStatus();
  renewed_ = now;
  return registry_.RenewSession(session_id_, now);
}

}  // namespace cairn
