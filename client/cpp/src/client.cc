#include "cairn/client.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace cairn::client {

SaveWriter::SaveWriter(std::shared_ptr<Connection> connection, OpenedSave save, uint32_t writer,
                       std::unique_ptr<PutStream> stream)
    : connection_(std::move(connection)), save_(std::move(save)), writer_(writer), stream_(std::move(stream)) {}

absl::Status SaveWriter::Put(Entry entry, std::shared_ptr<EntryBytes> bytes) {
  if (stream_ == nullptr) return absl::OkStatus();
  return stream_->Put(std::move(entry), std::nullopt, std::move(bytes));
}

absl::Status SaveWriter::PutShard(Entry entry, Box box, std::shared_ptr<EntryBytes> bytes) {
  if (stream_ == nullptr) return absl::OkStatus();
  return stream_->Put(std::move(entry), std::move(box), std::move(bytes));
}

absl::Status SaveWriter::StartEntry(Entry entry, std::optional<Box> box) {
  if (stream_ == nullptr) return absl::OkStatus();
  return stream_->Start(std::move(entry), std::move(box));
}

absl::Status SaveWriter::Append(Buffer bytes) {
  return stream_ == nullptr ? absl::OkStatus() : stream_->Append(std::move(bytes));
}

absl::Status SaveWriter::Append(absl::string_view bytes) {
  return stream_ == nullptr ? absl::OkStatus() : stream_->Append(Buffer::FromString(std::string(bytes)));
}

absl::Status SaveWriter::FinishEntry() { return stream_ == nullptr ? absl::OkStatus() : stream_->FinishEntry(); }

absl::Status SaveWriter::Flush() { return stream_ == nullptr ? absl::OkStatus() : stream_->Flush(); }

absl::StatusOr<SaveSession> SaveWriter::Finish() {
  if (!stream_finished_ && stream_ != nullptr) CAIRN_RETURN_IF_ERROR(stream_->Finish());
  stream_finished_ = true;
  if (save_.session.state == SessionState::kCommitted) return save_.session;
  CAIRN_ASSIGN_OR_RETURN(save_.session, connection_->FinishWriter(save_.session.session_id, writer_));
  return save_.session;
}

absl::StatusOr<CheckpointInfo> SaveWriter::Commit() {
  CAIRN_ASSIGN_OR_RETURN(const SaveSession session, Finish());
  if (session.checkpoint.has_value()) return *session.checkpoint;
  CAIRN_ASSIGN_OR_RETURN(CheckpointInfo checkpoint, connection_->CommitSave(session.session_id));
  save_.session.state = SessionState::kCommitted;
  save_.session.checkpoint = checkpoint;
  return checkpoint;
}

absl::Status SaveWriter::Abort() {
  Cancel();
  return connection_->AbortSave(save_.session.session_id);
}

void SaveWriter::Cancel() {
  if (stream_ != nullptr) stream_->Cancel();
}

PutProgress SaveWriter::progress() const { return stream_ == nullptr ? PutProgress() : stream_->progress(); }

absl::StatusOr<Client> Client::Connect(absl::string_view target, const Options& options) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<Connection> connection, MakeConnection(target, options));
  return Client(std::move(connection));
}

absl::StatusOr<std::unique_ptr<SaveWriter>> Client::Save(const SaveSpec& spec, uint32_t writer) const {
  CAIRN_ASSIGN_OR_RETURN(OpenedSave save, connection_->BeginSave(spec));
  const SaveSession& session = save.session;
  std::unique_ptr<PutStream> stream;
  const std::vector<uint32_t>& finished = session.finished_writers;
  if (session.state != SessionState::kCommitted &&
      std::find(finished.begin(), finished.end(), writer) == finished.end()) {
    const bool deltas = save.delta_chunks && (spec.base_uid.empty() || spec.base_uid == save.parent_uid);
    CAIRN_ASSIGN_OR_RETURN(stream, connection_->OpenPut({session.session_id, writer, save.max_chunk_bytes,
                                                         save.extent_bytes, session.ShownRef(),
                                                         save.max_small_entries, deltas}));
  }
  return std::make_unique<SaveWriter>(connection_, std::move(save), writer, std::move(stream));
}

absl::StatusOr<std::unique_ptr<GetStream>> Client::Load(const GetSpec& spec) const {
  return connection_->OpenGet(spec);
}

absl::StatusOr<CheckpointInfo> Client::GetCheckpoint(const std::string& ref) const {
  return connection_->GetCheckpoint(ref);
}

absl::StatusOr<std::vector<CheckpointInfo>> Client::ListCheckpoints(ListCheckpointsSpec spec) const {
  std::vector<CheckpointInfo> all;
  do {
    CAIRN_ASSIGN_OR_RETURN(CheckpointPage page, connection_->ListCheckpoints(spec));
    std::move(page.checkpoints.begin(), page.checkpoints.end(), std::back_inserter(all));
    spec.page_token = std::move(page.next_page_token);
  } while (!spec.page_token.empty());
  return all;
}

absl::StatusOr<std::vector<EntryInfo>> Client::ListEntries(ListEntriesSpec spec) const {
  std::vector<EntryInfo> all;
  do {
    CAIRN_ASSIGN_OR_RETURN(EntryPage page, connection_->ListEntries(spec));
    std::move(page.entries.begin(), page.entries.end(), std::back_inserter(all));
    // The pages after the first are of the same checkpoint, whatever happens to the ref meanwhile.
    spec.ref = page.checkpoint.UidRef();
    spec.page_token = std::move(page.next_page_token);
  } while (!spec.page_token.empty());
  return all;
}

absl::StatusOr<std::optional<CheckpointInfo>> Client::DeleteCheckpoint(const std::string& ref,
                                                                       bool allow_missing) const {
  return connection_->DeleteCheckpoint({ref, allow_missing});
}

absl::StatusOr<CheckpointInfo> Client::SetTag(const SetTagSpec& spec) const { return connection_->SetTag(spec); }

absl::Status Client::DeleteTag(const DeleteTagSpec& spec) const { return connection_->DeleteTag(spec); }

absl::StatusOr<VerifyResult> Client::Verify(const std::string& ref, const VerifyCallback& progress) const {
  return connection_->Verify(ref, progress);
}

absl::StatusOr<ConversionResult> Client::Convert(const ConvertSpec& spec, const ConvertCallback& progress) const {
  return connection_->Convert(spec, progress);
}

absl::StatusOr<ConversionResult> Client::Export(const ConvertSpec& spec, ExportTarget& files, const ConvertCallback& progress) const {
  return connection_->Export(spec, files, progress);
}

absl::StatusOr<ConversionResult> Client::Import(const ConvertSpec& spec, ImportSource& files, const ConvertCallback& progress) const {
  return connection_->Import(spec, files, progress);
}

absl::StatusOr<DiffResult> Client::Diff(const DiffSpec& spec, const DiffCallback& progress) const {
  return connection_->Diff(spec, progress);
}

absl::StatusOr<RecoverResult> Client::Recover(const RecoverSpec& spec, const DiffCallback& progress) const {
  return connection_->Recover(spec, progress);
}

absl::StatusOr<GarbageReport> Client::CollectGarbage(bool dry_run, const GarbageCallback& progress) const {
  return connection_->CollectGarbage(dry_run, progress);
}

absl::StatusOr<ServerInfo> Client::GetServerInfo() const { return connection_->GetServerInfo(); }

}  // namespace cairn::client
