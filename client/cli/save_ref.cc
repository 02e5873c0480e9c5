#include "client/cli/save_ref.h"

#include <pwd.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "client/cli/connect.h"
#include "client/cli/exit_code.h"
#include "client/transfer/remote_writer.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(100);
constexpr int kMostKeys = 64;

// An open session to go on with, or a committed one whose checkpoint is still there.
absl::StatusOr<client::SaveSession> FindSession(const client::Client& client, client::SaveSpec& spec,
                                                bool derived) {
  const std::string key = spec.session_key;
  for (int attempt = 1;; ++attempt) {
    CAIRN_ASSIGN_OR_RETURN(const client::OpenedSave save, client.connection().BeginSave(spec));
    const client::SaveSession& session = save.session;
    if (session.state == client::SessionState::kOpen) return session;
    if (session.state == client::SessionState::kCommitted && session.checkpoint.has_value()) {
      const absl::Status found = client.GetCheckpoint(session.checkpoint->UidRef()).status();
      if (found.ok()) return session;
      if (!absl::IsNotFound(found)) return found;
    }
    if (!derived || attempt == kMostKeys) {
      return absl::FailedPreconditionError(
          absl::StrCat("the save session with key \"", spec.session_key,
                       "\" has ended without leaving a checkpoint; choose another --session-key"));
    }
    spec.session_key = absl::StrCat(key, "-", attempt);
  }
}

// Shows what the daemon has made durable while the sending thread waits for it.
class SaveProgress {
 public:
  SaveProgress(CommandContext& context, const std::string& label, const client::SaveWriter& save,
               uint64_t total)
      : meter_(context.console.StartProgress(label)),
        save_(save),
        total_(total),
        thread_([this] { Run(); }) {}
  ~SaveProgress() {
    stop_.Notify();
    thread_.join();
  }

 private:
  void Run() {
    while (!stop_.WaitForNotificationWithTimeout(kTick)) {
      const client::PutProgress progress = save_.progress();
      meter_->Update({progress.durable_bytes, total_, progress.skipped_bytes});
    }
    meter_->Clear();
  }

  const std::unique_ptr<ProgressMeter> meter_;
  const client::SaveWriter& save_;
  const uint64_t total_;
  absl::Notification stop_;
  std::thread thread_;
};

// The daemon would keep the session until its lease is over.
void GiveUp(CommandContext& context, const client::SaveSession& session) {
  const absl::StatusOr<client::Client> client = ConnectForCleanup(context);
  if (client.ok()) client->connection().AbortSave(session.session_id).IgnoreError();
}

absl::StatusOr<SavedRef> Send(CommandContext& context, const client::Client& client,
                            const SaveRefRequest& request, CheckpointReader& source) {
  const client::SaveSpec& spec = request.spec;
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<client::SaveWriter> save, client.Save(spec));
  SavedRef saved;
  {
    const SaveProgress display(context, absl::StrCat(request.verb, " ", spec.name, "@", spec.step), *save,
                               source.index().TotalBytes());
    CAIRN_RETURN_IF_ERROR(transfer::PutCheckpoint(*save, source, request.base));
    CAIRN_RETURN_IF_ERROR(save->Flush());
  }
  CAIRN_RETURN_IF_ERROR(context.cancellation.Check());
  CAIRN_ASSIGN_OR_RETURN(saved.checkpoint, save->Commit());
  saved.progress = save->progress();
  return saved;
}

}  // namespace

absl::StatusOr<Ref> ParseTargetRef(const std::string& text) {
  absl::StatusOr<Ref> ref = Ref::Parse(text);
  if (!ref.ok()) return UsageError(ref.status().message());
  if (!ref->step.has_value()) {
    return UsageError(absl::StrCat("\"", text, "\": expected NAME@STEP, the name and step to save under"));
  }
  return ref;
}

std::string WhoIsThis() {
  std::array<char, 256> host = {};
  ::gethostname(host.data(), host.size() - 1);
  const struct passwd* user = ::getpwuid(::geteuid());
  return absl::StrCat(user != nullptr ? user->pw_name : absl::StrCat(::geteuid()), "@", host.data());
}

absl::StatusOr<SavedRef> SaveToRef(CommandContext& context, const client::Client& client, SaveRefRequest request,
                                   CheckpointReader& source) {
  CAIRN_ASSIGN_OR_RETURN(const client::SaveSession session, FindSession(client, request.spec, request.derived_key));
  if (session.state == client::SessionState::kCommitted) {
    SavedRef saved;
    saved.was_there = true;
    CAIRN_ASSIGN_OR_RETURN(saved.checkpoint, client.GetCheckpoint(session.checkpoint->UidRef()));
    return saved;
  }
  absl::StatusOr<SavedRef> saved = Send(context, client, request, source);
  if (saved.ok() || !context.cancellation.cancelled()) return saved;
  if (request.keep_session) {
    return absl::CancelledError("interrupted; the same command goes on where it stopped");
  }
  GiveUp(context, session);
  return absl::CancelledError("interrupted; the save was given up");
}

}  // namespace cairn::cli
