#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/checkpoint_output.h"
#include "client/cli/command_set.h"
#include "client/cli/connect.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
#include "client/cli/metadata_option.h"
#include "client/cli/remote_convert.h"
#include "client/cli/save_ref.h"
#include "client/cli/session_key.h"
#include "client/cli/text.h"
#include "client/cli/transfer.h"
#include "client/transfer/local_import.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {
namespace {

constexpr int kMostKeys = 64;

struct Options {
  std::string source;
  std::string ref;
  SourceOptions from;
  std::vector<std::string> metadata;
  std::string session_key;
  bool overwrite = false;
};

// Under the key of the spec, or, where that was made here and its session has ended without a checkpoint that is still
// there, under the next one of its line.
absl::StatusOr<client::ConversionResult> Import(const client::Client& client, client::ConvertSpec spec, bool derived,
                                                client::ImportSource& files, const client::ConvertCallback& progress) {
  const std::string key = spec.session_key;
  for (int attempt = 1;; ++attempt) {
    absl::StatusOr<client::ConversionResult> done = client.Import(spec, files, progress);
    const bool spent = done.ok() ? absl::IsNotFound(client.GetCheckpoint(done->checkpoint.value_or(client::CheckpointInfo()).UidRef()).status())
                                 : GetErrorInfo(done.status()).reason == "SESSION_SPENT";
    if (!spent || !derived || attempt == kMostKeys) return done;
    spec.session_key = absl::StrCat(key, "-", attempt);
  }
}

absl::Status Report(CommandContext& context, const Options& options, const client::ConversionResult& done, absl::Duration elapsed) {
  // The daemon reads nothing of a file whose import has been done.
  const bool was_there = done.progress.entries_total == 0 && done.checkpoint->entry_count > 0;
  if (context.console.json()) {
    nlohmann::json report = {{"source", options.source},
                             {"source_format", done.source_format},
                             {"already_there", was_there},
                             {"entries", done.progress.entries_done},
                             {"bytes", done.progress.bytes_done},
                             {"bytes_resumed", done.progress.bytes_skipped},
                             {"seconds", absl::ToDoubleSeconds(elapsed)},
                             {"checkpoint", CheckpointToJson(*done.checkpoint)}};
    DescribeConversion(done, report);
    context.console.PrintJson(report);
    return absl::OkStatus();
  }
  if (was_there) {
    context.console.Note("this import was done before; nothing was sent");
  } else if (done.progress.bytes_skipped > 0) {
    context.console.Note(absl::StrCat("went on with an earlier import: ", FormatBytes(done.progress.bytes_skipped), " were there already"));
  }
  context.console.PrintLine(CheckpointLine(*done.checkpoint));
  return absl::OkStatus();
}

absl::Status Run(CommandContext& context, const Options& options) {
  CAIRN_ASSIGN_OR_RETURN(const Ref ref, ParseTargetRef(options.ref));
  client::ConvertSpec spec;
  // A prefix is for the daemon to understand, which may know more formats than this program.
  spec.source = *DaemonPlace(absl::StrCat("server::", options.source));
  spec.target.ref = ref.ToString();
  if (spec.source.path.empty()) return UsageError(absl::StrCat("\"", options.source, "\": expected a path"));
  if (IsUrl(spec.source.path)) {
    return UsageError(absl::StrCat("import sends files of this machine; use cairn push for a URL that is read here, or cairn convert server::",
                                   ShownPlace(spec.source.path), " ref::", ref.ToString(), " for one that the daemon reads"));
  }
  CAIRN_ASSIGN_OR_RETURN(spec.metadata, ParseMetadata(options.metadata));
  CAIRN_RETURN_IF_ERROR(FillConvertSpec(options.from, TargetOptions{.overwrite = options.overwrite}, spec));
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<transfer::LocalImport> files,
                         transfer::LocalImport::Open(spec.source.path, /*beside=*/!spec.map.empty()));
  spec.created_by = WhoIsThis();
  spec.session_key = options.session_key;
  if (spec.session_key.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const RecipeRequest request, MakeRecipeRequest(options.from, spec.float_dtype));
    PushIdentity identity;
    identity.ref = spec.target.ref;
    identity.source = options.source;
    identity.file_identity = files->Identity();
    identity.float_dtype = request.float_dtype;
    identity.select = request.select;
    identity.recipe = absl::StrCat("import ", request.Identity());
    identity.metadata = spec.metadata;
    identity.overwrite = spec.overwrite;
    spec.session_key = SessionKey(identity);
  }

  CAIRN_ASSIGN_OR_RETURN(const client::Client client, ConnectForTransfer(context));
  std::unique_ptr<ProgressMeter> meter = context.console.StartProgress(absl::StrCat("import ", spec.target.ref));
  const absl::StatusOr<client::ConversionResult> done =
      Import(client, spec, options.session_key.empty(), *files, [&](const client::ConversionProgress& progress) {
        meter->Update({progress.bytes_done, progress.bytes_total, progress.bytes_skipped});
      });
  const absl::Duration elapsed = meter->elapsed();
  meter.reset();
  // What is wrong with the file's bytes is damage here, as for push.
  if (absl::IsInvalidArgument(done.status())) return AsDamagedFile(done.status());
  CAIRN_RETURN_IF_ERROR(done.status());
  if (!done->checkpoint.has_value()) return absl::InternalError("the daemon ended the import without a checkpoint");
  NoteConversion(context, *done);
  return Report(context, options, *done, elapsed);
}

}  // namespace

void AddImportCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add(
      "import", "Save a file that the daemon reads.",
      {"cairn import model.safetensors team/run@1000", "cairn import model/ team/run@1000 --dtype bf16 --select '!**/rotary*'",
       "cairn import trainstate::streaming_train_state_1000 team/run@1000 --weights-only"},
      [options](CommandContext& context) { return Run(context, *options); });
  command->footer(absl::StrCat(command->get_footer(),
                               "\n\nLike push, but the work is done by the daemon, which may know formats that this program does not and may read all of\n"
                               "SRC. Where this program knows the format, push spares a daemon that serves many, and sends only what that has not."));
  command->add_option("SRC", options->source, "File or folder here, PATH or PREFIX::PATH; the format is detected")->required();
  command->add_option("REF", options->ref, "NAME@STEP to save under")->required();
  AddSourceOptions(*command, options->from, "Cast float tensors before they are stored [keep]");
  command->add_flag("--overwrite", options->overwrite, "Replace the checkpoint that is there, atomically");
  command->add_option("--metadata", options->metadata, "Text to keep with the checkpoint; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command
      ->add_option("--session-key", options->session_key,
                   "Key under which a repeated import resumes [made from ref, files and options]")
      ->type_name("KEY");
}

}  // namespace cairn::cli
