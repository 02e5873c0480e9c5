#include <algorithm>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/checkpoint_output.h"
#include "client/cli/command_set.h"
#include "client/cli/connect.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
#include "client/cli/text.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

constexpr uint64_t kWindowBytes = 4u << 20;

struct Options {
  std::string what;
};

absl::Status ReadEverything(CommandContext& context, const std::string& label, CheckpointReader& reader) {
  const std::unique_ptr<ProgressMeter> meter = context.console.StartProgress(label);
  const std::vector<Entry>& entries = reader.index().entries;
  ProgressCounts counts;
  counts.total = reader.index().TotalBytes();
  std::vector<char> window;
  for (size_t i = 0; i < entries.size(); ++i) {
    for (uint64_t offset = 0; offset < entries[i].byte_size; offset += window.size()) {
      CAIRN_RETURN_IF_ERROR(context.cancellation.Check());
      window.resize(std::min(kWindowBytes, entries[i].byte_size - offset));
      CAIRN_RETURN_IF_ERROR(Annotate(reader.ReadAt(i, offset, absl::MakeSpan(window)),
                                     absl::StrCat("\"", entries[i].path.ToString(), "\"")));
      counts.done += window.size();
      meter->Update(counts);
    }
  }
  return absl::OkStatus();
}

absl::Status VerifyFile(CommandContext& context, const Options& options) {
  CAIRN_ASSIGN_OR_RETURN(const OpenedFile file, OpenLocalFile(options.what, context.cancellation));
  const CheckpointIndex& index = file.reader->index();
  CAIRN_RETURN_IF_ERROR(AsDamagedFile(index.Check()));
  CAIRN_RETURN_IF_ERROR(
      AsDamagedFile(ReadEverything(context, absl::StrCat("verify ", file.shown), *file.reader)));
  if (context.console.json()) {
    context.console.PrintJson({{"ok", true},
                               {"path", file.shown},
                               {"format", std::string(file.spec.format->name())},
                               {"entries", index.entries.size()},
                               {"bytes", index.TotalBytes()},
                               {"problems", nlohmann::json::array()}});
  } else {
    context.console.PrintLine(absl::StrCat(
        SafeText(file.shown), ": whole (", FormatCount(index.entries.size()),
        index.entries.size() == 1 ? " entry, " : " entries, ", FormatBytes(index.TotalBytes()), ")"));
  }
  return absl::OkStatus();
}

std::string ProblemLine(const client::VerifyProblem& problem) {
  std::string line = SafeText(problem.path);
  if (problem.box.has_value()) absl::StrAppend(&line, " ", problem.box->ToString());
  if (!problem.object.empty()) absl::StrAppend(&line, " (object ", SafeText(problem.object), ")");
  return absl::StrCat(line, ": ", SafeText(problem.message));
}

nlohmann::json ProblemToJson(const client::VerifyProblem& problem) {
  nlohmann::json json = {{"path", problem.path}, {"object", problem.object}, {"message", problem.message}};
  if (problem.box.has_value())
    json["box"] = {{"offset", problem.box->offset}, {"extent", problem.box->extent}};
  return json;
}

absl::Status VerifyRef(CommandContext& context, const Options& options) {
  CAIRN_RETURN_IF_ERROR(CheckRefArgument(options.what));
  CAIRN_ASSIGN_OR_RETURN(const client::Client client, Connect(context));
  std::unique_ptr<ProgressMeter> meter = context.console.StartProgress(absl::StrCat("verify ", options.what));
  const absl::StatusOr<client::VerifyResult> verified =
      client.Verify(options.what, [&](const client::VerifyProgress& progress) {
        meter->Update({progress.bytes_done, progress.bytes_total, 0});
      });
  meter.reset();
  if (!verified.ok()) return NorAFile(verified.status(), options.what);
  const client::VerifyResult& result = *verified;
  if (context.console.json()) {
    nlohmann::json problems = nlohmann::json::array();
    for (const client::VerifyProblem& problem : result.problems) problems.push_back(ProblemToJson(problem));
    context.console.PrintJson({{"ok", result.problems.empty()},
                               {"checkpoint", CheckpointToJson(result.checkpoint)},
                               {"bytes", result.bytes},
                               {"problems", std::move(problems)}});
  } else {
    for (const client::VerifyProblem& problem : result.problems)
      context.console.PrintLine(ProblemLine(problem));
    if (result.problems.empty()) {
      context.console.PrintLine(absl::StrCat(SafeText(result.checkpoint.ShownRef()), ": whole (",
                                             FormatBytes(result.bytes), " checked)"));
    }
  }
  if (result.problems.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(result.checkpoint.ShownRef(), ": damaged in ",
                                          result.problems.size(),
                                          result.problems.size() == 1 ? " place" : " places"));
}

}  // namespace

void AddVerifyCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add("verify", "Read every byte of a checkpoint or a file and check it.",
                                   {"cairn verify team/run@1000", "cairn verify model.safetensors",
                                    "cairn verify params::streaming_params --json"},
                                   [options](CommandContext& context) {
                                     return IsFileArgument(options->what) ? VerifyFile(context, *options)
                                                                          : VerifyRef(context, *options);
                                   });
  command->add_option("REF|FILE", options->what, "A ref; or a file: PREFIX::PATH, or a path that exists")
      ->required();
}

}  // namespace cairn::cli
