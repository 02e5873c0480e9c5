#include "server/engine/checkpoint_engine.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "server/engine/session_parts.h"

namespace cairn {
namespace {

constexpr uint32_t kMaxWriters = 65'536;
constexpr size_t kMaxKeyBytes = 128;
constexpr size_t kMaxMetadataBytes = 64u << 10;
constexpr size_t kMaxCreatedByBytes = 1024;

std::string RandomHolder() {
  char host[256] = "host";
  gethostname(host, sizeof(host) - 1);
  absl::BitGen random;
  return absl::StrCat(host, "-", getpid(), "-", absl::Hex(absl::Uniform<uint32_t>(random), absl::kZeroPad8));
}

absl::Status NamingRef(absl::Status status, const Ref& ref) {
  return WithErrorInfo(Annotate(status, ref.ToString()), {"", {{"ref", ref.ToString()}}});
}

}  // namespace

CheckpointEngine::CheckpointEngine(std::unique_ptr<ObjectStore> store, std::unique_ptr<Registry> registry,
                                   const Clock& clock, EngineOptions options)
    : store_(std::move(store)), registry_(std::move(registry)), clock_(clock), options_(options), holder_(options.holder.empty() ? RandomHolder() : options.holder),
      pins_(*registry_, clock, holder_), manifests_(*store_, options.manifest_cache_bytes),
      seal_pool_("seal", options.seal_threads), read_pool_("read", options.read_threads) {}

absl::StatusOr<Session> CheckpointEngine::BeginSave(SessionSpec spec, bool parent_is_previous) {
  CAIRN_RETURN_IF_ERROR(CheckCheckpointName(spec.name));
  if (spec.step < 0) return absl::InvalidArgumentError(absl::StrCat("step ", spec.step, ": expected 0 or more"));
  if (spec.client_key.empty() || spec.client_key.size() > kMaxKeyBytes) {
    return absl::InvalidArgumentError(absl::StrCat("session_key: expected 1 to ", kMaxKeyBytes, " bytes, found ",
                                                   spec.client_key.size()));
  }
  if (spec.writers == 0) spec.writers = 1;
  if (spec.writers > kMaxWriters) {
    return absl::InvalidArgumentError(absl::StrCat("writers ", spec.writers, ": expected at most ", kMaxWriters));
  }
  if (spec.created_by.size() > kMaxCreatedByBytes) {
    return absl::InvalidArgumentError(absl::StrCat("created_by: expected at most ", kMaxCreatedByBytes, " bytes, found ",
                                                   spec.created_by.size()));
  }
  size_t metadata_bytes = 0;
  for (const auto& [key, value] : spec.metadata) metadata_bytes += key.size() + value.size();
  if (metadata_bytes > kMaxMetadataBytes) {
    return absl::InvalidArgumentError(absl::StrCat("metadata: ", metadata_bytes, " bytes, expected at most ", kMaxMetadataBytes,
                                                   "; save large things as values or assets"));
  }
  if (spec.lease <= absl::ZeroDuration()) spec.lease = options_.default_lease;
  spec.lease = std::clamp(spec.lease, options_.min_lease, options_.max_lease);
  CAIRN_RETURN_IF_ERROR(ResolveParent(spec, parent_is_previous));
  absl::BitGen random;
  const std::string id = absl::StrCat(absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16),
                                      absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16));
  return registry_->BeginSession(id, spec, clock_.Now());
}

absl::Status CheckpointEngine::ResolveParent(SessionSpec& spec, bool parent_is_previous) {
  absl::StatusOr<CheckpointRow> row;
  if (parent_is_previous) {
    if (!spec.parent.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("parent \"", spec.parent, "\": parent_is_previous names another one"));
    }
    row = registry_->GetCheckpointBelow(spec.name, spec.step);
    if (absl::IsNotFound(row.status())) return absl::OkStatus();
  } else {
    if (spec.parent.empty()) return absl::OkStatus();
    CAIRN_ASSIGN_OR_RETURN(const Ref parent, Ref::Parse(spec.parent));
    row = Resolve(parent);
    // A client that resumes asks for the same as before. The parent may have been deleted since; the session is there.
    if (absl::IsNotFound(row.status()) && registry_->GetSessionByKey(spec.client_key).ok()) {
      spec.parent.clear();
      return absl::OkStatus();
    }
  }
  if (!row.ok()) return Annotate(row.status(), "parent");
  spec.parent = row->uid;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Upload>> CheckpointEngine::OpenUpload(const std::string& session_id, uint32_t writer) {
  std::shared_ptr<const OpenCheckpoint> parent;
  if (options_.upload.max_delta_chain > 0) {
    CAIRN_ASSIGN_OR_RETURN(parent, ParentToStoreAgainst(session_id));
  }
  UploadOptions options = options_.upload;
  options.notice = options_.notice;
  return Upload::Open(*store_, *registry_, clock_, seal_pool_, std::move(options), session_id, writer, std::move(parent));
}

// Null if there is none, or none any more: the save costs more bytes then, and is none the worse.
absl::StatusOr<std::shared_ptr<const OpenCheckpoint>> CheckpointEngine::ParentToStoreAgainst(const std::string& session_id) {
  CAIRN_ASSIGN_OR_RETURN(const Session session, registry_->GetSession(session_id));
  if (session.spec.parent.empty() || session.state != SessionState::kOpen) return nullptr;
  Ref ref;
  ref.uid = session.spec.parent;
  absl::StatusOr<std::shared_ptr<const OpenCheckpoint>> parent = Open(ref);
  if (!absl::IsNotFound(parent.status()) && !absl::IsDataLoss(parent.status())) return parent;
  if (options_.notice) {
    options_.notice(absl::StrCat("save of ", session.spec.name, "@", session.spec.step,
                                 " goes on without its parent, and stores everything whole: ", parent.status().message()));
  }
  return nullptr;
}

absl::StatusOr<SaveStatus> CheckpointEngine::GetSaveStatus(const std::string& session_id, std::optional<uint32_t> writer) {
  SaveStatus status;
  CAIRN_ASSIGN_OR_RETURN(status.session, registry_->GetSession(session_id));
  if (status.session.state == SessionState::kCommitted) {
    // The checkpoint may have been deleted since; then there is none to show.
    absl::StatusOr<CheckpointRow> row = registry_->GetCheckpointByUid(status.session.checkpoint_uid);
    if (row.ok()) {
      status.checkpoint = *std::move(row);
    } else if (!absl::IsNotFound(row.status())) {
      return row.status();
    }
    return status;
  }
  if (status.session.state != SessionState::kOpen) return status;
  CAIRN_RETURN_IF_ERROR(registry_->RenewSession(session_id, clock_.Now()));
  CAIRN_ASSIGN_OR_RETURN(status.session, registry_->GetSession(session_id));
  ManifestAssembler assembler;
  CAIRN_RETURN_IF_ERROR(ForEachPart(*registry_, session_id, writer, [&](const SessionPart& part) -> absl::Status {
    CAIRN_ASSIGN_OR_RETURN(SessionRecord record, DecodeSessionRecord(part.record));
    return assembler.Add(part.writer, std::move(record));
  }).status());
  status.shards = assembler.Progress();
  std::stable_sort(status.shards.begin(), status.shards.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  return status;
}

absl::StatusOr<Session> CheckpointEngine::FinishWriter(const std::string& session_id, uint32_t writer) {
  CAIRN_ASSIGN_OR_RETURN(Session session, registry_->GetSession(session_id));
  // A repeated call after the commit that it caused.
  if (session.state == SessionState::kCommitted) return session;
  CAIRN_ASSIGN_OR_RETURN(session, registry_->FinishWriter(session_id, writer, clock_.Now()));
  if (session.spec.auto_commit && session.finished_writers.size() == session.spec.writers) {
    CAIRN_RETURN_IF_ERROR(CommitSave(session_id).status());
    return registry_->GetSession(session_id);
  }
  return session;
}

absl::Status CheckpointEngine::AbortSave(const std::string& session_id) {
  return registry_->AbortSession(session_id, clock_.Now());
}

absl::StatusOr<CheckpointRow> CheckpointEngine::Resolve(const Ref& ref) {
  absl::StatusOr<CheckpointRow> row =
      ref.uid.empty() ? registry_->GetCheckpoint(ref.name, ref.step, ref.tag) : registry_->GetCheckpointByUid(ref.uid);
  if (!row.ok()) return NamingRef(row.status(), ref);
  return row;
}

absl::StatusOr<std::shared_ptr<const OpenCheckpoint>> CheckpointEngine::Open(const Ref& ref) {
  // Between the look-up and the pin the checkpoint may be overwritten or deleted; then the ref means another one.
  for (int attempt = 0;; ++attempt) {
    auto open = std::make_shared<OpenCheckpoint>();
    CAIRN_ASSIGN_OR_RETURN(open->row, Resolve(ref));
    absl::StatusOr<ReadPins::Pin> pin = pins_.Acquire(open->row.uid);
    if (absl::IsNotFound(pin.status()) && attempt < 3) continue;
    if (!pin.ok()) return NamingRef(pin.status(), ref);
    open->pin = *std::move(pin);
    CAIRN_ASSIGN_OR_RETURN(open->manifest, manifests_.Load(open->row));
    return open;
  }
}

absl::StatusOr<std::unique_ptr<Download>> CheckpointEngine::OpenDownload(const Ref& ref, DownloadRequest request) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const OpenCheckpoint> open, Open(ref));
  return Download::Open(std::move(open), *store_, std::move(request), options_.download, &read_pool_);
}

absl::StatusOr<std::unique_ptr<StoredReader>> CheckpointEngine::OpenReader(const Ref& ref) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const OpenCheckpoint> open, Open(ref));
  return std::make_unique<StoredReader>(std::move(open), *store_, options_.download);
}

absl::StatusOr<std::unique_ptr<BaseReader>> CheckpointEngine::OpenBase(const Ref& ref) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const OpenCheckpoint> open, Open(ref));
  return std::make_unique<BaseReader>(std::move(open), *store_, options_.download);
}

absl::StatusOr<std::unique_ptr<BaseReader>> CheckpointEngine::OpenParent(const std::string& session_id) {
  CAIRN_ASSIGN_OR_RETURN(const Session session, registry_->GetSession(session_id));
  if (session.spec.parent.empty()) return absl::FailedPreconditionError("the save session has no parent");
  Ref parent;
  parent.uid = session.spec.parent;
  return OpenBase(parent);
}

absl::StatusOr<std::vector<CheckpointRow>> CheckpointEngine::ListCheckpoints(const CheckpointFilter& filter,
                                                                             const std::string& after_name,
                                                                             int64_t after_step, size_t limit) {
  return registry_->ListCheckpoints(filter, after_name, after_step, limit);
}

absl::StatusOr<CheckpointRow> CheckpointEngine::DeleteCheckpoint(const Ref& ref) {
  CAIRN_ASSIGN_OR_RETURN(const CheckpointRow row, Resolve(ref));
  CAIRN_RETURN_IF_ERROR(registry_->DeleteCheckpoint(row.uid, clock_.Now()));
  return row;
}

absl::StatusOr<CheckpointRow> CheckpointEngine::SetTag(const Ref& ref, const std::string& tag,
                                                       std::optional<std::string> expected_uid) {
  CAIRN_RETURN_IF_ERROR(CheckTagName(tag));
  CAIRN_ASSIGN_OR_RETURN(const CheckpointRow row, Resolve(ref));
  CAIRN_RETURN_IF_ERROR(registry_->SetTag(row.name, tag, row.uid, std::move(expected_uid)));
  return registry_->GetCheckpointByUid(row.uid);
}

absl::Status CheckpointEngine::DeleteTag(const std::string& name, const std::string& tag) {
  CAIRN_RETURN_IF_ERROR(CheckCheckpointName(name));
  CAIRN_RETURN_IF_ERROR(CheckTagName(tag));
  return registry_->DeleteTag(name, tag);
}

absl::Status CheckpointEngine::Verify(const Ref& ref, const Cancellation& cancellation,
                                      const std::function<void(const CheckpointRow&, const VerifyReport&)>& report) {
  constexpr uint64_t kReportBytes = 64u << 20;
  CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<const OpenCheckpoint> open, Open(ref));
  const Manifest& manifest = *open->manifest;
  VerifyReport state;
  for (const StoredEntry& stored : manifest.entries) {
    for (const StoredShard& shard : stored.shards) state.bytes_total += shard.byte_size;
  }
  report(open->row, state);
  ExtentReader extents(*store_, 0);
  uint64_t reported = 0;
  for (const StoredEntry& stored : manifest.entries) {
    for (const StoredShard& shard : stored.shards) {
      for (const Extent& extent : shard.extents) {
        CAIRN_RETURN_IF_ERROR(cancellation.Check());
        const absl::StatusOr<Buffer> bytes = extents.Read(manifest, extent);
        if (absl::IsDataLoss(bytes.status())) {
          // Of a delta, what it is made against may be to blame.
          const ErrorInfo info = GetErrorInfo(bytes.status());
          const auto blamed = info.metadata.find("object");
          state.problems.push_back({stored.entry.path.ToString(), shard.box,
                                    blamed == info.metadata.end() ? manifest.objects[extent.object] : blamed->second,
                                    std::string(bytes.status().message())});
        } else if (!bytes.ok()) {
          return bytes.status();
        }
        state.bytes_done += extent.raw_bytes;
        if (state.bytes_done - reported < kReportBytes && state.problems.size() < 100) continue;
        reported = state.bytes_done;
        report(open->row, state);
        state.problems.clear();
      }
    }
  }
  report(open->row, state);
  return absl::OkStatus();
}

absl::StatusOr<GarbageReport> CheckpointEngine::CollectGarbage(
    bool dry_run, const Cancellation& cancellation, const std::function<void(const GarbageReport&)>& progress) {
  // The lease between daemons does not tell two collections of one daemon apart.
  if (!garbage_mu_.TryLock()) return absl::AbortedError("this daemon is collecting garbage already; try again when it is done");
  const absl::Status renewed = pins_.Renew();  // What was read until a moment ago holds nothing any more.
  absl::StatusOr<GarbageReport> report =
      renewed.ok() ? cairn::CollectGarbage(*store_, *registry_, clock_, holder_, dry_run, cancellation, progress) : renewed;
  garbage_mu_.Unlock();
  return report;
}

absl::Status CheckpointEngine::Maintain() {
  absl::Status result = pins_.Renew();
  result.Update(registry_->ExpireSessions(clock_.Now()).status());
  result.Update(registry_->ForgetEndedSessions(clock_.Now() - options_.ended_session_retention));
  return result;
}

absl::StatusOr<CheckpointEngine::Info> CheckpointEngine::GetInfo() {
  Info info;
  info.object_store = store_->Describe();
  info.registry = registry_->Describe();
  CAIRN_ASSIGN_OR_RETURN(info.space, store_->GetSpace());
  CAIRN_ASSIGN_OR_RETURN(info.totals, registry_->GetTotals());
  return info;
}

}  // namespace cairn
