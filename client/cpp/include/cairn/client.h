#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cairn/connection.h"
#include "cairn/options.h"
#include "cairn/types.h"

namespace cairn::client {

// One writer's part of a save: BeginSave, the entries, FinishWriter. As PutStream: one thread at a time, but for
// Cancel() and progress(). Destroying it unfinished leaves the session open: the same session key takes it up again.
// Where that finds the writer finished or the session committed already, nothing is sent: every call succeeds, and
// Finish() or Commit() gives what there is.
//
//   auto save = client.Save({.name = "team/run", .step = 400});
//   save->Put(Entry::Tensor(path, Dtype::kFloat32, {2, 3}, 24), EntryBytes::Of(buffer));
//   save->Commit();
class SaveWriter {
 public:
  // `stream` is null if nothing is left to be sent.
  SaveWriter(std::shared_ptr<Connection> connection, OpenedSave save, uint32_t writer,
             std::unique_ptr<PutStream> stream);

  const SaveSession& session() const { return save_.session; }

  // As PutStream's. An entry without bytes (value, alias) needs no `bytes`.
  absl::Status Put(Entry entry, std::shared_ptr<EntryBytes> bytes = nullptr);
  absl::Status PutShard(Entry entry, Box box, std::shared_ptr<EntryBytes> bytes);
  absl::Status StartEntry(Entry entry, std::optional<Box> box = std::nullopt);
  absl::Status Append(Buffer bytes);
  absl::Status Append(absl::string_view bytes);  // Copies.
  absl::Status FinishEntry();
  absl::Status Flush();

  // This writer is done: everything is durable. The session commits if it was the last one and auto_commit was set;
  // then SaveSession::checkpoint is there. May be called again.
  absl::StatusOr<SaveSession> Finish();
  // Finish() and CommitSave.
  absl::StatusOr<CheckpointInfo> Commit();
  // Gives the whole session up.
  absl::Status Abort();

  void Cancel();
  PutProgress progress() const;

 private:
  std::shared_ptr<Connection> connection_;
  OpenedSave save_;
  uint32_t writer_;
  std::unique_ptr<PutStream> stream_;
  bool stream_finished_ = false;
};

// Talks to a cairnd. Cheap to copy; copies share the connection. Thread-safe.
class Client {
 public:
  explicit Client(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}
  // `target`: HOST:PORT or unix:/PATH. Sends nothing yet.
  static absl::StatusOr<Client> Connect(absl::string_view target, const Options& options = {});

  // Opens the session (or the one with the same key) and this writer's stream.
  absl::StatusOr<std::unique_ptr<SaveWriter>> Save(const SaveSpec& spec, uint32_t writer = 0) const;
  // For parallel loads open several, with a part of the entries each.
  absl::StatusOr<std::unique_ptr<GetStream>> Load(const GetSpec& spec) const;

  absl::StatusOr<CheckpointInfo> GetCheckpoint(const std::string& ref) const;
  // All pages. `spec` has no page_token.
  absl::StatusOr<std::vector<CheckpointInfo>> ListCheckpoints(ListCheckpointsSpec spec = {}) const;
  absl::StatusOr<std::vector<EntryInfo>> ListEntries(ListEntriesSpec spec) const;
  absl::StatusOr<std::optional<CheckpointInfo>> DeleteCheckpoint(const std::string& ref,
                                                                 bool allow_missing = false) const;
  absl::StatusOr<CheckpointInfo> SetTag(const SetTagSpec& spec) const;
  absl::Status DeleteTag(const DeleteTagSpec& spec) const;
  absl::StatusOr<VerifyResult> Verify(const std::string& ref, const VerifyCallback& progress = nullptr) const;
  absl::StatusOr<ConversionResult> Convert(const ConvertSpec& spec, const ConvertCallback& progress = nullptr) const;
  // For callers that share no file system with the daemon; client/transfer has local files for both.
  absl::StatusOr<ConversionResult> Export(const ConvertSpec& spec, ExportTarget& files, const ConvertCallback& progress = nullptr) const;
  absl::StatusOr<ConversionResult> Import(const ConvertSpec& spec, ImportSource& files, const ConvertCallback& progress = nullptr) const;
  absl::StatusOr<DiffResult> Diff(const DiffSpec& spec, const DiffCallback& progress = nullptr) const;
  absl::StatusOr<RecoverResult> Recover(const RecoverSpec& spec, const DiffCallback& progress = nullptr) const;
  absl::StatusOr<GarbageReport> CollectGarbage(bool dry_run, const GarbageCallback& progress = nullptr) const;
  absl::StatusOr<ServerInfo> GetServerInfo() const;

  Connection& connection() const { return *connection_; }

 private:
  std::shared_ptr<Connection> connection_;
};

}  // namespace cairn::client
