#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "client/cli/checkpoint_output.h"
#include "client/cli/command_set.h"
#include "client/cli/connect.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
#include "client/transfer/remote_writer.h"
#include "client/cli/session_key.h"
#include "client/cli/text.h"
#include "client/cli/transfer.h"
#include "common/base/status_macros.h"
#include "common/convert/planned_reader.h"
#include "common/tensor/ref.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(100);
constexpr int kMostKeys = 64;

struct Options {
  std::string source;
  std::string ref;
  SourceOptions from;
  std::vector<std::string> metadata;
  std::vector<std::string> tags;
  std::string parent;
  std::string session_key;
  bool overwrite = false;
  bool keep_session = false;
};

absl::StatusOr<std::map<std::string, std::string>> ParseMetadata(const std::vector<std::string>& items) {
  std::map<std::string, std::string> metadata;
  for (const std::string& item : items) {
    const size_t equals = item.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return UsageError(absl::StrCat("--metadata: expected KEY=VALUE, found \"", item, "\""));
    }
    if (!metadata.emplace(item.substr(0, equals), item.substr(equals + 1)).second) {
      return UsageError(absl::StrCat("--metadata: \"", item.substr(0, equals), "\" is given twice"));
    }
  }
  return metadata;
}

std::string WhoIsThis() {
  std::array<char, 256> host = {};
  ::gethostname(host.data(), host.size() - 1);
  const struct passwd* user = ::getpwuid(::geteuid());
  return absl::StrCat(user != nullptr ? user->pw_name : absl::StrCat(::geteuid()), "@", host.data());
}

// What --metadata says, over what the file says of itself.
std::map<std::string, std::string> Merged(std::map<std::string, std::string> chosen,
                                          const std::map<std::string, std::string>& found) {
  chosen.insert(found.begin(), found.end());
  return chosen;
}

absl::StatusOr<Ref> ParseTargetRef(const std::string& text) {
  absl::StatusOr<Ref> ref = Ref::Parse(text);
  if (!ref.ok()) return UsageError(ref.status().message());
  if (!ref->step.has_value()) {
    return UsageError(absl::StrCat("\"", text, "\": expected NAME@STEP, the name and step to save under"));
  }
  return ref;
}

// What can be said to be wrong before anything is opened.
absl::Status CheckOptions(const Options& options) {
  CAIRN_RETURN_IF_ERROR(ParseTargetRef(options.ref).status());
  CAIRN_RETURN_IF_ERROR(ParseMetadata(options.metadata).status());
  if (const absl::Status parent = Ref::Parse(options.parent).status(); !options.parent.empty() && !parent.ok()) {
    return UsageError(absl::StrCat("--parent: ", parent.message()));
  }
  for (const std::string& tag : options.tags) {
    if (const absl::Status status = CheckTagName(tag); !status.ok()) return UsageError(status.message());
  }
  return absl::OkStatus();
}

absl::StatusOr<client::SaveSpec> MakeSpec(const Options& options, const PlanOptions& plan,
                                          const CheckpointIndex& target) {
  CAIRN_ASSIGN_OR_RETURN(const Ref ref, ParseTargetRef(options.ref));
  client::SaveSpec spec;
  spec.name = ref.name;
  spec.step = *ref.step;
  spec.overwrite = options.overwrite;
  spec.parent = options.parent;
  spec.created_by = WhoIsThis();
  CAIRN_ASSIGN_OR_RETURN(spec.metadata, ParseMetadata(options.metadata));
  spec.session_key = options.session_key;
  if (spec.session_key.empty()) {
    PushIdentity identity;
    identity.ref = ref.ToString();
    identity.source = options.source;
    CAIRN_ASSIGN_OR_RETURN(const FileSpec file, ParseFileArgument(options.source));
    CAIRN_ASSIGN_OR_RETURN(identity.file_identity, FileIdentity(file.path));
    identity.float_dtype = plan.float_dtype;
    identity.select = options.from.select;
    identity.root = plan.root.ToString();
    identity.metadata = spec.metadata;
    identity.parent = spec.parent;
    identity.overwrite = spec.overwrite;
    spec.session_key = SessionKey(identity);
  }
  spec.metadata = Merged(std::move(spec.metadata), target.metadata);
  return spec;
}

// Finds the session of this push: an open one to go on with, or a committed one whose checkpoint is still
// there. A derived key whose session was given up, or whose checkpoint is gone, is spent: the next of its
// line is tried.
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
class PushProgress {
 public:
  PushProgress(CommandContext& context, const std::string& label, const client::SaveWriter& save,
               uint64_t total)
      : meter_(context.console.StartProgress(label)),
        save_(save),
        total_(total),
        thread_([this] { Run(); }) {}
  ~PushProgress() {
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

struct Pushed {
  client::CheckpointInfo checkpoint;
  client::PutProgress progress;
};

absl::StatusOr<Pushed> Send(CommandContext& context, const client::Client& client,
                            const client::SaveSpec& spec, CheckpointReader& source) {
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<client::SaveWriter> save, client.Save(spec));
  Pushed pushed;
  {
    const PushProgress display(context, absl::StrCat("push ", spec.name, "@", spec.step), *save,
                               source.index().TotalBytes());
    CAIRN_RETURN_IF_ERROR(transfer::PutCheckpoint(*save, source));
    CAIRN_RETURN_IF_ERROR(save->Flush());
  }
  CAIRN_RETURN_IF_ERROR(context.cancellation.Check());
  CAIRN_ASSIGN_OR_RETURN(pushed.checkpoint, save->Commit());
  pushed.progress = save->progress();
  return pushed;
}

absl::Status Report(CommandContext& context, const Pushed& pushed, bool was_there, absl::Duration elapsed) {
  if (context.console.json()) {
    context.console.PrintJson({{"checkpoint", CheckpointToJson(pushed.checkpoint)},
                               {"already_there", was_there},
                               {"bytes_sent", pushed.progress.sent_bytes},
                               {"bytes_resumed", pushed.progress.skipped_bytes},
                               {"bytes_deduplicated", pushed.progress.deduplicated_bytes},
                               {"seconds", absl::ToDoubleSeconds(elapsed)}});
    return absl::OkStatus();
  }
  if (was_there) {
    context.console.Note("this push was done before; nothing was sent");
  } else if (pushed.progress.skipped_bytes > 0) {
    context.console.Note(absl::StrCat(
        "went on with an earlier push: ", FormatBytes(pushed.progress.skipped_bytes), " were there already"));
  }
  context.console.PrintLine(CheckpointLine(pushed.checkpoint));
  return absl::OkStatus();
}

absl::Status Run(CommandContext& context, const Options& options) {
  const absl::Time start = Clock::Real().Now();
  CAIRN_ASSIGN_OR_RETURN(const std::optional<Dtype> dtype, ParseDtypeOption(options.from.dtype));
  CAIRN_RETURN_IF_ERROR(CheckOptions(options));
  CAIRN_ASSIGN_OR_RETURN(const OpenedFile file, OpenLocalFile(options.source));
  CAIRN_RETURN_IF_ERROR(ReportLeftOut(context, options.from, file.reader->index()));
  CAIRN_RETURN_IF_ERROR(CheckOptimizerOptions(options.from, file.spec));
  CAIRN_ASSIGN_OR_RETURN(const PlanOptions plan_options,
                         MakePlanOptions(options.from, dtype, file.reader->index()));
  CAIRN_ASSIGN_OR_RETURN(const ConvertPlan plan, MakeConvertPlan(file.reader->index(), plan_options));
  CAIRN_ASSIGN_OR_RETURN(client::SaveSpec spec, MakeSpec(options, plan_options, plan.target));

  CAIRN_ASSIGN_OR_RETURN(const client::Client client, ConnectForTransfer(context));
  CAIRN_ASSIGN_OR_RETURN(const client::SaveSession session,
                         FindSession(client, spec, options.session_key.empty()));
  Pushed pushed;
  const bool was_there = session.state == client::SessionState::kCommitted;
  if (was_there) {
    CAIRN_ASSIGN_OR_RETURN(pushed.checkpoint, client.GetCheckpoint(session.checkpoint->UidRef()));
  } else {
    PlannedReader source(*file.reader, plan);
    absl::StatusOr<Pushed> sent = Send(context, client, spec, source);
    if (!sent.ok()) {
      if (!context.cancellation.cancelled()) return sent.status();
      if (options.keep_session) {
        return absl::CancelledError("interrupted; the same command goes on where it stopped");
      }
      GiveUp(context, session);
      return absl::CancelledError("interrupted; the save was given up");
    }
    pushed = *std::move(sent);
  }
  for (const std::string& tag : options.tags) {
    client::SetTagSpec set;
    set.ref = pushed.checkpoint.UidRef();
    set.tag = tag;
    CAIRN_ASSIGN_OR_RETURN(pushed.checkpoint, client.SetTag(set));
  }
  return Report(context, pushed, was_there, Clock::Real().Now() - start);
}

}  // namespace

void AddPushCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      commands.Add("push", "Save a file as a checkpoint.",
                   {"cairn push model.safetensors team/run@1000",
                    "cairn push params::streaming_params_1000 team/run@1000 --tag best --metadata loss=1.93",
                    "cairn push trainstate::streaming_train_state_1000 team/run@1000 --no-optimizer",
                    "cairn push model/ team/run@1000 --dtype bf16 --select '!**/rotary*'"},
                   [options](CommandContext& context) { return Run(context, *options); });
  command->add_option("SRC", options->source, "File or folder, PATH or PREFIX::PATH; the format is detected")
      ->required();
  command->add_option("REF", options->ref, "NAME@STEP to save under")->required();
  AddSourceOptions(*command, options->from, "Cast float tensors before they are sent [keep]");
  command->add_flag("--overwrite", options->overwrite, "Replace the checkpoint that is there, atomically");
  command->add_option("--metadata", options->metadata, "Text to keep with the checkpoint; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_option("--tag", options->tags, "Tag to point at the checkpoint; may be repeated")
      ->type_name("TAG")
      ->allow_extra_args(false);
  command->add_option("--parent", options->parent, "The checkpoint that this one came from")
      ->type_name("REF");
  command
      ->add_option("--session-key", options->session_key,
                   "Key under which a repeated push resumes [made from ref, file and options]")
      ->type_name("KEY");
  command->add_flag("--keep-session", options->keep_session,
                    "On Ctrl-C keep what was sent, so that the same command goes on from there");
}

}  // namespace cairn::cli
