#include "server/engine/stored_writer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr uint32_t kWriter = 0;

bool HasBytes(const Entry& entry) { return entry.kind == EntryKind::kTensor || entry.kind == EntryKind::kAsset; }

// An asset and a tensor may have one path.
std::string KeyOf(EntryKind kind, const KeyPath& path) {
  return absl::StrCat(kind == EntryKind::kAsset ? "asset " : "entry ", path.ToString());
}

}  // namespace

absl::StatusOr<std::unique_ptr<StoredWriter>> StoredWriter::Create(CheckpointEngine& engine, SessionSpec spec) {
  spec.writers = 1;
  spec.auto_commit = false;
  CAIRN_ASSIGN_OR_RETURN(Session session, engine.BeginSave(std::move(spec)));
  auto writer = std::unique_ptr<StoredWriter>(new StoredWriter(engine, std::move(session)));
  CAIRN_ASSIGN_OR_RETURN(const SaveStatus status, engine.GetSaveStatus(writer->session_.id, kWriter));
  writer->committed_ = status.checkpoint;
  if (status.session.state != SessionState::kOpen && !status.checkpoint.has_value()) {
    return WithErrorInfo(absl::FailedPreconditionError(absl::StrCat("save session ", writer->session_.id,
                                                                    ": has ended without a checkpoint; use another session key")),
                         {"SESSION_SPENT", {}});
  }
  for (const auto& [number, shard] : status.shards) writer->durable_[KeyOf(shard.entry.kind, shard.entry.path)] = shard.durable_bytes;
  return writer;
}

absl::StatusOr<std::vector<size_t>> StoredWriter::Begin(const CheckpointIndex& index) {
  CAIRN_RETURN_IF_ERROR(index.Check());
  index_ = &index;
  CAIRN_ASSIGN_OR_RETURN(upload_, engine_.OpenUpload(session_.id, kWriter));
  std::vector<size_t> order;
  for (size_t i = 0; i < index.entries.size(); ++i) {
    if (HasBytes(index.entries[i])) order.push_back(i);
  }
  return order;
}

absl::Status StoredWriter::DeclareUpTo(size_t end) {
  for (; next_ < end; ++next_) {
    const Entry& entry = index_->entries[next_];
    if (HasBytes(entry)) {
      return absl::InternalError(absl::StrCat("entry \"", entry.path.ToString(), "\" was passed over"));
    }
    CAIRN_RETURN_IF_ERROR(upload_->Declare(entry, std::nullopt, 0));
    CAIRN_RETURN_IF_ERROR(upload_->FinishEntry());
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> StoredWriter::StartEntry(size_t entry) {
  CAIRN_RETURN_IF_ERROR(DeclareUpTo(entry));
  const Entry& declared = index_->entries[entry];
  const auto durable = durable_.find(KeyOf(declared.kind, declared.path));
  offset_ = durable == durable_.end() ? 0 : durable->second;
  CAIRN_RETURN_IF_ERROR(upload_->Declare(declared, std::nullopt, offset_));
  next_ = entry + 1;
  return offset_;
}

absl::Status StoredWriter::Append(absl::string_view bytes) {
  if (bytes.empty()) return absl::OkStatus();
  // The caller's window is used again, the upload keeps what it gets.
  CAIRN_RETURN_IF_ERROR(upload_->Append(offset_, {Buffer::FromString(std::string(bytes))}));
  offset_ += bytes.size();
  return absl::OkStatus();
}

absl::Status StoredWriter::FinishEntry() { return upload_->FinishEntry(); }

absl::Status StoredWriter::Finish() {
  CAIRN_RETURN_IF_ERROR(DeclareUpTo(index_->entries.size()));
  CAIRN_RETURN_IF_ERROR(upload_->Flush());
  upload_.reset();
  CAIRN_RETURN_IF_ERROR(engine_.FinishWriter(session_.id, kWriter).status());
  CAIRN_ASSIGN_OR_RETURN(committed_, engine_.CommitSave(session_.id));
  return absl::OkStatus();
}

}  // namespace cairn
