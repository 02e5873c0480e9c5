#include "server/engine/garbage_collector.h"

#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/fail_point.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr absl::string_view kLease = "garbage";
constexpr absl::Duration kLeaseLength = absl::Minutes(2);
constexpr size_t kBatch = 500;

class Collection {
 public:
  Collection(ObjectStore& store, Registry& registry, const Clock& clock, const std::string& holder, bool dry_run,
             const Cancellation& cancellation, const std::function<void(const GarbageReport&)>& progress)
      : store_(store), registry_(registry), clock_(clock), holder_(holder), dry_run_(dry_run),
        cancellation_(cancellation), progress_(progress) {}

  absl::StatusOr<GarbageReport> Run() {
    CAIRN_RETURN_IF_ERROR(dry_run_ ? Forecast() : DeleteUnneeded());
    CAIRN_RETURN_IF_ERROR(DeleteUnknown());
    if (!dry_run_) {
      CAIRN_ASSIGN_OR_RETURN(const uint64_t leftovers, store_.RemoveLeftovers());
      report_.deleted_bytes += leftovers;
    }
    return report_;
  }

 private:
  absl::Status Forecast() {
    CAIRN_ASSIGN_OR_RETURN(const Registry::GarbageForecast forecast, registry_.ForecastGarbage(clock_.Now()));
    report_.expired_sessions = forecast.sessions;
    report_.purged_checkpoints = forecast.checkpoints;
    report_.deleted_objects = forecast.objects;
    report_.deleted_bytes = forecast.bytes;
    return absl::OkStatus();
  }

  // Between batches: are we still wanted, and still the only one?
  absl::Status KeepGoing() {
    if (progress_) progress_(report_);
    CAIRN_RETURN_IF_ERROR(cancellation_.Check());
    CAIRN_ASSIGN_OR_RETURN(const bool ours, registry_.AcquireLease(kLease, holder_, clock_.Now(), kLeaseLength));
    return ours ? absl::OkStatus() : absl::AbortedError("garbage collection was taken over by another daemon");
  }

  // Objects that were recorded once and that nothing needs any more.
  absl::Status DeleteUnneeded() {
    CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> expired, registry_.ExpireSessions(clock_.Now()));
    report_.expired_sessions = expired.size();
    CAIRN_ASSIGN_OR_RETURN(report_.purged_checkpoints, registry_.PurgeDeleted(clock_.Now()));
    while (true) {
      CAIRN_ASSIGN_OR_RETURN(const std::vector<Registry::Garbage> garbage, registry_.CondemnObjects(kBatch));
      CAIRN_FAIL_POINT("gc.after_condemn");
      std::vector<std::string> keys;
      for (const Registry::Garbage& object : garbage) {
        CAIRN_RETURN_IF_ERROR(store_.Delete(object.object_key));
        keys.push_back(object.object_key);
        ++report_.deleted_objects;
        report_.deleted_bytes += object.bytes;
      }
      CAIRN_FAIL_POINT("gc.before_forget");
      CAIRN_RETURN_IF_ERROR(registry_.ForgetObjects(keys));
      if (garbage.size() < kBatch) return absl::OkStatus();
      CAIRN_RETURN_IF_ERROR(KeepGoing());
    }
  }

  // Objects that a crash left between their sealing and their recording. An object's key begins with the id of the
  // session that wrote it. While that session is open, the object may still be recorded. Once it is not, nothing can
  // record it any more, and what the registry does not know then is garbage for ever: so the session is asked first.
  absl::Status DeleteUnknown() {
    std::string after;
    while (true) {
      CAIRN_ASSIGN_OR_RETURN(const std::vector<ObjectStore::ObjectInfo> page, store_.List("", after, kBatch));
      std::vector<ObjectStore::ObjectInfo> candidates;
      for (const ObjectStore::ObjectInfo& object : page) {
        CAIRN_ASSIGN_OR_RETURN(const bool open, SessionIsOpen(object.key.substr(0, object.key.find('/'))));
        if (!open) candidates.push_back(object);
        if (!open && unknown_session_) CAIRN_RETURN_IF_ERROR(CheckRegistryIsOurs());
      }
      sessions_.clear();  // Another page, another look.
      std::vector<std::string> keys;
      for (const ObjectStore::ObjectInfo& object : candidates) keys.push_back(object.key);
      CAIRN_ASSIGN_OR_RETURN(const std::vector<bool> known, registry_.KnowsObjects(keys));
      for (size_t i = 0; i < candidates.size(); ++i) {
        if (known[i]) continue;
        if (!dry_run_) CAIRN_RETURN_IF_ERROR(store_.Delete(candidates[i].key));
        ++report_.deleted_objects;
        report_.deleted_bytes += candidates[i].bytes;
      }
      if (page.size() < kBatch) return absl::OkStatus();
      after = page.back().key;
      CAIRN_RETURN_IF_ERROR(KeepGoing());
    }
  }

  // A registry that was lost and made anew knows no object: to it, everything that the store holds is garbage.
  absl::Status CheckRegistryIsOurs() {
    CAIRN_ASSIGN_OR_RETURN(const Registry::Totals totals, registry_.GetTotals());
    if (totals.checkpoints + totals.objects + totals.open_sessions > 0) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        store_.Describe(), " holds objects, but the registry ", registry_.Describe(),
        " knows none: was the registry lost or exchanged? nothing more is deleted; restore the registry, or empty the "
        "object store by hand if nothing in it is needed"));
  }

  absl::StatusOr<bool> SessionIsOpen(const std::string& id) {
    const auto seen = sessions_.find(id);
    if (seen != sessions_.end()) return seen->second;
    const absl::StatusOr<Session> session = registry_.GetSession(id);
    if (!session.ok() && !absl::IsNotFound(session.status())) return session.status();
    unknown_session_ = !session.ok();
    // A run has ended the sessions whose lease is over, a dry run has not. In a run the state alone counts: a session
    // whose lease has just ended may still be renewed, and record its object.
    const bool over = dry_run_ && session.ok() && session->expires_at <= clock_.Now();
    return sessions_[id] = session.ok() && session->state == SessionState::kOpen && !over;
  }

  ObjectStore& store_;
  Registry& registry_;
  const Clock& clock_;
  const std::string& holder_;
  const bool dry_run_;
  const Cancellation& cancellation_;
  const std::function<void(const GarbageReport&)>& progress_;
  GarbageReport report_;
  absl::flat_hash_map<std::string, bool> sessions_;
  bool unknown_session_ = false;  // The session asked for last is not known at all, not even as an ended one.
};

}  // namespace

absl::StatusOr<GarbageReport> CollectGarbage(ObjectStore& store, Registry& registry, const Clock& clock,
                                             const std::string& holder, bool dry_run, const Cancellation& cancellation,
                                             const std::function<void(const GarbageReport&)>& progress) {
  CAIRN_ASSIGN_OR_RETURN(const bool ours, registry.AcquireLease(kLease, holder, clock.Now(), kLeaseLength));
  if (!ours) return absl::AbortedError("another daemon is collecting garbage; try again when it is done");
  absl::StatusOr<GarbageReport> report =
      Collection(store, registry, clock, holder, dry_run, cancellation, progress).Run();
  const absl::Status released = registry.ReleaseLease(kLease, holder);
  if (report.ok() && !released.ok()) return released;
  return report;
}

}  // namespace cairn
