#include "server/engine/upload.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "server/engine/assemble.h"
#include "server/engine/session_parts.h"

namespace cairn {

struct Upload::Current {
  Entry entry;
  Box box;
  uint64_t total = 0;
  uint64_t received = 0;            // Offset after the last byte that came.
  std::vector<Buffer> tail;         // The unfinished extent.
  uint64_t tail_bytes = 0;
  std::optional<size_t> piece;      // Of the current part; absent until something of the entry is in it.
  uint64_t placed = 0;              // Offset up to which extents are in pieces.
};

Upload::Upload(ObjectStore& store, Registry& registry, const Clock& clock, ThreadPool& seal_pool,
               UploadOptions options, std::string session_id, uint32_t writer,
               std::shared_ptr<const OpenCheckpoint> parent)
    : registry_(registry), clock_(clock), options_(std::move(options)), session_id_(std::move(session_id)), writer_(writer),
      part_(store, registry, clock, seal_pool, options_, session_id_, writer, std::move(parent)), renewed_(clock.Now()) {}

Upload::~Upload() = default;

absl::StatusOr<std::unique_ptr<Upload>> Upload::Open(ObjectStore& store, Registry& registry, const Clock& clock,
                                                     ThreadPool& seal_pool, UploadOptions options,
                                                     const std::string& session_id, uint32_t writer,
                                                     std::shared_ptr<const OpenCheckpoint> parent) {
  CAIRN_ASSIGN_OR_RETURN(const Session session, registry.GetSession(session_id));
  if (writer >= session.spec.writers) {
    return absl::InvalidArgumentError(absl::StrCat("writer ", writer, ": the session has writers 0 to ",
                                                   session.spec.writers - 1));
  }
  CAIRN_RETURN_IF_ERROR(registry.RenewSession(session_id, clock.Now()));
  auto upload = std::unique_ptr<Upload>(new Upload(store, registry, clock, seal_pool, std::move(options), session_id, writer,
                                                   std::move(parent)));
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

// Turns the tail into an extent of the part; makes sure that the entry has a piece there.
void Upload::CollectTail() {
  Current& current = *current_;
  if (!current.piece.has_value()) current.piece = part_.AddPiece(current.entry, current.box, current.placed);
  if (current.tail_bytes == 0) return;
  part_.AddExtent(*current.piece, std::move(current.tail), static_cast<uint32_t>(current.tail_bytes));
  current.placed += current.tail_bytes;
  current.tail.clear();
  current.tail_bytes = 0;
}

absl::Status Upload::PlaceAndSealIfDue() {
  CAIRN_RETURN_IF_ERROR(part_.PlaceIfDue());
  return part_.SealIsDue() ? StartSeal() : absl::OkStatus();
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
  part_.FinishPiece(*current_->piece);
  earlier_[key] = {current_->total, true};
  current_.reset();
  ++entries_;
  return PlaceAndSealIfDue();
}

absl::Status Upload::Settle() {
  CAIRN_RETURN_IF_ERROR(part_.Place());
  return part_.SealIsDone() ? TakeProgress() : absl::OkStatus();
}

absl::Status Upload::Flush() {
  CAIRN_RETURN_IF_ERROR(StartSeal());
  return TakeProgress();
}

absl::Status Upload::StartSeal() {
  CAIRN_RETURN_IF_ERROR(part_.StartSeal());
  if (sealing_.has_value()) progress_ = *sealing_;
  renewed_ = clock_.Now();
  if (current_ != nullptr) current_->piece.reset();
  sealing_ = UploadProgress{.durable_entries = entries_,
                            .durable_offset = current_ == nullptr ? 0 : current_->placed,
                            .durable_bytes = part_.placed_bytes(),
                            .deduplicated_bytes = part_.known_bytes()};
  return absl::OkStatus();
}

// Waits for the part under way.
absl::Status Upload::TakeProgress() {
  CAIRN_RETURN_IF_ERROR(part_.AwaitSeal());
  if (sealing_.has_value()) progress_ = *std::exchange(sealing_, std::nullopt);
  return absl::OkStatus();
}

absl::Status Upload::RenewIfDue() {
  const absl::Time now = clock_.Now();
  if (now - renewed_ < options_.renew_every) return absl::OkStatus();
  renewed_ = now;
  return registry_.RenewSession(session_id_, now);
}

}  // namespace cairn
