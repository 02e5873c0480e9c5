#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/cancellation.h"
#include "common/base/clock.h"
#include "common/base/thread_pool.h"
#include "common/tensor/ref.h"
#include "server/engine/assemble.h"
#include "server/engine/base_reader.h"
#include "server/engine/download.h"
#include "server/engine/garbage_collector.h"
#include "server/engine/manifest_cache.h"
#include "server/engine/read_pins.h"
#include "server/engine/stored_reader.h"
#include "server/engine/upload.h"
#include "server/registry/registry.h"
#include "server/store/object_store.h"

namespace cairn {

struct EngineOptions {
  UploadOptions upload;
  DownloadOptions download;
  uint64_t manifest_cache_bytes = 32u << 20;
  int seal_threads = 4;  // They wait for the disk: fsyncs of as many uploads at a time.
  int read_threads = 4;  // They read ahead of loads: as many reads are on their way to the disk at a time.
  absl::Duration default_lease = absl::Minutes(10);
  absl::Duration min_lease = absl::Seconds(10);
  absl::Duration max_lease = absl::Hours(24);
  absl::Duration ended_session_retention = absl::Hours(24);
  // Names this daemon in leases and pins: the same after a restart, another for every other daemon on this registry.
  // Empty: a random one.
  std::string holder;
  // Told what an operator may want to know though no call fails. May be empty; called in any thread.
  std::function<void(absl::string_view)> notice;
};

struct SaveStatus {
  Session session;
  std::optional<CheckpointRow> checkpoint;  // Once committed.
  std::vector<std::pair<uint32_t, ShardProgress>> shards;  // By writer.
};

struct VerifyReport {
  struct Problem {
    std::string path;
    Box box;
    std::string object;
    std::string message;
  };
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
  std::vector<Problem> problems;  // Since the last report.
};

// The storage engine: it knows in which order things become durable (objects, then manifest, then the registry's row)
// and keeps no state that another daemon on the same store and registry would need. Transport-free.
//
// Thread-safe. Every call may block on disk and database: run them on a pool, not on a gRPC thread (the exception: decision 0018).
class CheckpointEngine {
 public:
  // `clock` outlives the engine.
  CheckpointEngine(std::unique_ptr<ObjectStore> store, std::unique_ptr<Registry> registry, const Clock& clock,
                   EngineOptions options);

  // -- Saving. INVALID_ARGUMENT for names, steps, keys and counts out of range; otherwise as registry.h says.
  // `spec.parent` is a ref here. With `parent_is_previous` it is the highest step of the name below the one that is saved,
  // if there is one. A repeated call of a session finds it even if its parent is gone.
  absl::StatusOr<Session> BeginSave(SessionSpec spec, bool parent_is_previous = false);
  absl::StatusOr<std::unique_ptr<Upload>> OpenUpload(const std::string& session_id, uint32_t writer);
  absl::StatusOr<SaveStatus> GetSaveStatus(const std::string& session_id, std::optional<uint32_t> writer);
  // With auto_commit, the last writer's call commits: the session that it returns is then committed.
  absl::StatusOr<Session> FinishWriter(const std::string& session_id, uint32_t writer);
  // FAILED_PRECONDITION while writers have not finished: the session may go on. The same for what
  // ManifestAssembler::Finish refuses: then the writers' records are wrong for good, and the session is to be aborted.
  // Committing again returns the same checkpoint.
  absl::StatusOr<CheckpointRow> CommitSave(const std::string& session_id);
  absl::Status AbortSave(const std::string& session_id);

  // -- Loading. NOT_FOUND names what is missing, and what there is instead.
  absl::StatusOr<CheckpointRow> Resolve(const Ref& ref);
  absl::StatusOr<std::shared_ptr<const OpenCheckpoint>> Open(const Ref& ref);
  absl::StatusOr<std::unique_ptr<Download>> OpenDownload(const Ref& ref, DownloadRequest request);
  // The same as the source of a conversion; the engine outlives it.
  absl::StatusOr<std::unique_ptr<StoredReader>> OpenReader(const Ref& ref);
  // The same as the base of deltas.
  absl::StatusOr<std::unique_ptr<BaseReader>> OpenBase(const Ref& ref);
  // Of the parent of a save session. FAILED_PRECONDITION if it has none, NOT_FOUND if that is no longer there.
  absl::StatusOr<std::unique_ptr<BaseReader>> OpenParent(const std::string& session_id);

  // -- The registry.
  absl::StatusOr<std::vector<CheckpointRow>> ListCheckpoints(const CheckpointFilter& filter,
                                                             const std::string& after_name, int64_t after_step,
                                                             size_t limit);
  absl::StatusOr<CheckpointRow> DeleteCheckpoint(const Ref& ref);
  absl::StatusOr<CheckpointRow> SetTag(const Ref& ref, const std::string& tag, std::optional<std::string> expected_uid);
  absl::Status DeleteTag(const std::string& name, const std::string& tag);

  // -- Operation.
  // Reads every byte of a checkpoint and compares it with its digest. `report` is called after each entry and some
  // MiB; damage is reported there and does not end the check.
  absl::Status Verify(const Ref& ref, const Cancellation& cancellation,
                      const std::function<void(const CheckpointRow&, const VerifyReport&)>& report);
  absl::StatusOr<GarbageReport> CollectGarbage(bool dry_run, const Cancellation& cancellation,
                                               const std::function<void(const GarbageReport&)>& progress);
  // What has to be done now and then (each minute): ends expired sessions, renews pins, forgets old sessions.
  absl::Status Maintain();

  struct Info {
    std::string object_store;
    std::string registry;
    ObjectStore::Space space;
    Registry::Totals totals;
  };
  absl::StatusOr<Info> GetInfo();

  const EngineOptions& options() const { return options_; }

 private:
  absl::Status ResolveParent(SessionSpec& spec, bool parent_is_previous);
  absl::StatusOr<std::shared_ptr<const OpenCheckpoint>> ParentToStoreAgainst(const std::string& session_id);
  absl::StatusOr<Manifest> AssembleManifest(const Session& session, uint64_t* part_count, uint64_t* new_bytes);

  const std::unique_ptr<ObjectStore> store_;
  const std::unique_ptr<Registry> registry_;
  const Clock& clock_;
  const EngineOptions options_;
  const std::string holder_;  // Names this daemon in leases and pins.
  ReadPins pins_;
  absl::Mutex garbage_mu_;  // Held by the one collection of this process.
  ManifestCache manifests_;
  ThreadPool seal_pool_;  // Last, both: what they still do uses the others.
  ThreadPool read_pool_;
};

}  // namespace cairn
