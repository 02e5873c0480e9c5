#include <memory>
#include <optional>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/checkpoint_target.h"
#include "client/cli/command_set.h"
#include "client/cli/diff_source.h"
#include "client/cli/exit_code.h"
#include "client/cli/remote_diff.h"
#include "common/base/status_macros.h"
#include "common/diff/arithmetic.h"
#include "common/diff/recover_reader.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {
namespace {

struct Options {
  std::string base;
  std::string diff;
  std::string destination;
  std::string mode;
  std::string dtype;
  TargetOptions to;
};

void Print(CommandContext& context, const WrittenTarget& written, const std::string& mode, const std::string& digest) {
  if (context.console.json()) {
    nlohmann::json json = TargetToJson(written);
    json["mode"] = mode;
    if (!digest.empty()) json["target_digest"] = digest;
    context.console.PrintJson(json);
    return;
  }
  context.console.PrintLine(TargetLine(written));
  if (!digest.empty()) context.console.PrintLine(absl::StrCat("content digest ", digest, ", verified"));
}

absl::Status RecoverExact(CommandContext& context, DiffSource& base, std::unique_ptr<ByteSource> bytes,
                          TargetRequest request, const std::string& dtype) {
  // Not even EasyLM's files cast what shall be exact, unless somebody says so.
  CAIRN_ASSIGN_OR_RETURN(request.float_dtype, ParseDtypeOption(dtype));
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<RecoverReader> reader,
                         RecoverReader::Open(*base.side.reader, std::move(bytes), ReadLimits(), context.cancellation));
  CAIRN_ASSIGN_OR_RETURN(const WrittenTarget written, WriteTarget(context, request, *reader));
  // What was cast, or written in part, is no longer what the digest is of.
  const bool whole = !request.float_dtype.has_value() && !request.to.drop_unsupported;
  Print(context, written, "exact", whole ? reader->diff().target.content.ToHex() : "");
  return absl::OkStatus();
}

absl::Status RecoverArithmetic(CommandContext& context, const Options& options, DiffSource& base, TargetRequest request) {
  CAIRN_ASSIGN_OR_RETURN(DiffSource diff, OpenDiffSource(context, options.diff));
  absl::StrAppend(&request.identity, diff.identity);
  std::optional<Dtype> dtype;
  if (IsRefTarget(options.destination)) {
    CAIRN_ASSIGN_OR_RETURN(dtype, ParseDtypeOption(options.dtype));
  } else {
    CAIRN_ASSIGN_OR_RETURN(const TargetFile file, ResolveTarget(options.destination, options.to));
    CAIRN_ASSIGN_OR_RETURN(dtype, DtypeForTarget(options.dtype, *file.format));
  }
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ArithmeticReader> sum,
                         ArithmeticReader::Open(*base.side.reader, *diff.side.reader, {ArithmeticOperation::kSum, dtype}));
  CAIRN_ASSIGN_OR_RETURN(const WrittenTarget written, WriteTarget(context, request, *sum));
  Print(context, written, "arithmetic", "");
  return absl::OkStatus();
}

absl::Status RunInDaemon(CommandContext& context, const Options& options, const DaemonPlaces& places) {
  RemoteDiffRequest request;
  request.verb = "recover";
  request.sources = {options.base, options.diff};
  request.places = places;
  request.destination = options.destination;
  request.mode = options.mode;
  request.dtype = options.dtype;
  request.to = options.to;
  CAIRN_ASSIGN_OR_RETURN(const RemoteRecovery recovery, RecoverRemotely(context, std::move(request)));
  Print(context, recovery.written, options.mode == "arithmetic" ? "arithmetic" : "exact", recovery.result.target_digest);
  return absl::OkStatus();
}

absl::Status Run(CommandContext& context, Options options) {
  CAIRN_ASSIGN_OR_RETURN(const std::optional<DaemonPlaces> places, FindDaemonPlaces({options.base, options.diff}, options.destination));
  if (places.has_value()) {
    const absl::Status done = RunInDaemon(context, options, *places);
    if (!FallsBack(context, done, *places)) return done;
  }
  options.destination = WithoutRefPrefix(options.destination);
  TargetRequest request;
  request.verb = "recover";
  request.destination = options.destination;
  request.to = options.to;
  CAIRN_RETURN_IF_ERROR(CheckTarget(request));
  std::string diff_identity;
  std::unique_ptr<ByteSource> bytes;
  if (options.mode != "arithmetic") {
    CAIRN_ASSIGN_OR_RETURN(bytes, OpenDiffBytes(context, options.diff, &diff_identity));
    if (bytes == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat(
          options.diff, ": is no exact diff (a .cairndiff file, or a ref that stores one); a checkpoint of differences is added to the base with --mode arithmetic"));
    }
  }
  CAIRN_ASSIGN_OR_RETURN(DiffSource base, OpenDiffSource(context, options.base));
  request.parent = base.uid_ref;
  request.identity = absl::StrCat(options.mode, "\n", options.dtype, "\n", base.identity, "\n", diff_identity, "\n");
  return bytes != nullptr ? RecoverExact(context, base, std::move(bytes), std::move(request), options.dtype)
                          : RecoverArithmetic(context, options, base, std::move(request));
}

}  // namespace

void AddRecoverCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add(
      "recover", "Make a checkpoint from a base and a diff.",
      {"cairn recover base.safetensors tuned.cairndiff tuned.safetensors",
       "cairn recover team/base@1 team/tuned-diff@1 team/tuned@1                   # runs in the daemon", "cairn recover team/base@1 tuned.cairndiff model/ --to safetensors",
       "cairn recover params::base params::delta params::tuned --mode arithmetic --dtype bf16"},
      [options](CommandContext& context) { return Run(context, *options); });
  command->add_option("BASE", options->base, "What the diff was made from: a ref, or a file; on the daemon's machine, server::PATH")->required();
  command->add_option("DIFF", options->diff, "What \"cairn diff --output\" has written: a file, or a ref")->required();
  command->add_option("DST", options->destination, "What to write: PATH or PREFIX::PATH, or NAME@STEP")->required();
  command->add_option("--mode", options->mode, "exact, or arithmetic: base + diff [exact]")
      ->check(CLI::IsMember({"exact", "arithmetic"}));
  command->add_option("--dtype", options->dtype,
                      "Cast float tensors; keep leaves them [keep; bf16 for arithmetic if the target is easylm]")
      ->type_name("D|keep");
  AddTargetOptions(*command, options->to);
}

}  // namespace cairn::cli
