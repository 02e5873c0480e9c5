#include "client/python/native/local_diff.h"

#include <filesystem>
#include <functional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/python/native/blocking_call.h"
#include "client/transfer/diff_entries.h"
#include "client/transfer/remote_reader.h"
#include "client/transfer/remote_writer.h"
#include "common/base/status_macros.h"
#include "common/convert/convert.h"
#include "common/convert/convert_plan.h"
#include "common/convert/planned_reader.h"
#include "common/diff/arithmetic.h"
#include "common/diff/compare.h"
#include "common/diff/diff_asset.h"
#include "common/diff/exact_diff.h"
#include "common/diff/recover_reader.h"
#include "common/diff/selected_reader.h"
#include "common/format/cairndiff/cairndiff_format.h"
#include "common/format/cairndiff/diff_file.h"
#include "common/format/checkpoint_file.h"
#include "common/io/file_tree.h"
#include "common/io/posix_file.h"
#include "common/tensor/ref.h"

namespace cairn::python {
namespace {

struct Side {
  DiffSide side;
  std::string label;
  std::string uid_ref;  // Of a ref.
};

absl::StatusOr<Side> Open(const LocalPlace& place) {
  Side opened;
  if (place.client != nullptr) {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<transfer::RemoteReader> remote,
                           transfer::RemoteReader::Open(*place.client, place.text, std::nullopt));
    opened.label = remote->checkpoint().ShownRef();
    opened.uid_ref = remote->checkpoint().UidRef();
    opened.side.digests = remote->digests();
    opened.side.reader = std::move(remote);
    return opened;
  }
  CAIRN_ASSIGN_OR_RETURN(FileSpec spec, ParseFileSpec(place.text));
  CAIRN_RETURN_IF_ERROR(DetectFormatOf(spec));
  const std::filesystem::path path(spec.path);
  opened.label = (path.has_filename() ? path : path.parent_path()).filename().string();
  absl::StatusOr<std::unique_ptr<CheckpointReader>> file = OpenCheckpointFile(spec, ReadLimits{});
  // To a reader, bytes that are none of its format are a wrong argument; to the caller they are damage.
  if (absl::IsInvalidArgument(file.status())) return absl::DataLossError(file.status().message());
  CAIRN_RETURN_IF_ERROR(file.status());
  opened.side.reader = *std::move(file);
  return opened;
}

absl::StatusOr<std::unique_ptr<ByteSource>> OpenDiff(const LocalPlace& place) {
  std::unique_ptr<ByteSource> bytes;
  if (place.client != nullptr) {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<transfer::RemoteReader> remote,
                           transfer::RemoteReader::Open(*place.client, place.text, std::nullopt));
    std::string name = remote->checkpoint().ShownRef();
    if (StoresDiff(remote->index())) bytes = StoredDiffBytes(std::move(remote), std::move(name));
  } else {
    CAIRN_ASSIGN_OR_RETURN(const FileSpec spec, ParseFileSpec(place.text));
    std::error_code ignored;
    if (!std::filesystem::is_directory(spec.path, ignored)) {
      CAIRN_ASSIGN_OR_RETURN(bytes, OpenFileSource(spec.path));
      if (spec.format != &CairnDiffFormat() && !LooksLikeDiffFile(*bytes)) bytes.reset();
    }
  }
  if (bytes != nullptr) return bytes;
  return absl::FailedPreconditionError(absl::StrCat(
      place.text, ": is no exact diff (a .cairndiff file, or a ref that stores one); a checkpoint of differences is added to the base with mode=\"arithmetic\""));
}

// Tells how far it is, and whether the caller has had enough.
class Steps {
 public:
  explicit Steps(const LocalProgress& progress) : progress_(progress) {}
  void operator()(uint64_t done, uint64_t total) const {
    if (progress_) progress_(done, total);
    if (PollBlockingCall()) cancellation_.Cancel();
  }
  const Cancellation& cancellation() const { return cancellation_; }

 private:
  const LocalProgress& progress_;
  const Cancellation cancellation_;
};

absl::StatusOr<client::CheckpointInfo> Save(CheckpointReader& reader, const LocalOutput& output, const std::string& parent) {
  CAIRN_ASSIGN_OR_RETURN(const Ref ref, Ref::Parse(output.place.text));
  if (!ref.step.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", output.place.text, "\": expected NAME@STEP, the name and step to save under"));
  }
  client::SaveSpec spec;
  spec.name = ref.name;
  spec.step = *ref.step;
  spec.overwrite = output.overwrite;
  spec.session_key = output.session_key;
  spec.metadata = output.metadata;
  spec.metadata.insert(reader.index().metadata.begin(), reader.index().metadata.end());
  spec.parent = parent;
  spec.created_by = output.created_by;
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<client::SaveWriter> save, output.place.client->Save(spec));
  CAIRN_RETURN_IF_ERROR(transfer::PutCheckpoint(*save, reader));
  return save->Commit();
}

absl::StatusOr<TargetFile> FileOf(const LocalOutput& output) {
  CAIRN_ASSIGN_OR_RETURN(const FileSpec spec, ParseFileSpec(output.place.text));
  TargetFileOptions options;
  options.format = output.format;
  options.overwrite = output.overwrite;
  return cairn::ResolveTarget(spec, options);
}

absl::StatusOr<std::optional<Dtype>> DtypeOf(const LocalOutput& output) {
  if (!output.default_dtype || output.place.client != nullptr) return output.float_dtype;
  CAIRN_ASSIGN_OR_RETURN(const TargetFile file, FileOf(output));
  return DefaultFloatDtype(*file.format);
}

struct Written {
  uint64_t bytes = 0;
  std::optional<client::CheckpointInfo> checkpoint;
};

absl::StatusOr<Written> Write(CheckpointReader& reader, const LocalOutput& output, std::optional<Dtype> float_dtype, const std::string& parent,
                              const Steps& steps) {
  PlanOptions plan_options;
  plan_options.float_dtype = float_dtype;
  CAIRN_ASSIGN_OR_RETURN(const ConvertPlan plan, MakeConvertPlan(reader.index(), plan_options));
  Written written;
  if (output.place.client != nullptr) {
    PlannedReader planned(reader, plan);
    CAIRN_ASSIGN_OR_RETURN(written.checkpoint, Save(planned, output, parent));
    written.bytes = plan.target.TotalBytes();
    return written;
  }
  CAIRN_ASSIGN_OR_RETURN(const TargetFile file, FileOf(output));
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointWriter> writer, cairn::CreateTarget(file));
  ConvertOptions options;
  options.cancellation = steps.cancellation();
  options.progress = [&](const ConvertProgress& progress) {
    written.bytes = progress.bytes_done;
    steps(progress.bytes_done, progress.bytes_total);
  };
  CAIRN_RETURN_IF_ERROR(RunConvert(reader, plan, *writer, options));
  return written;
}

absl::Status WriteExactFile(const Side& base, const Side& target, const ExactDiffOptions& options, const LocalOutput& output,
                            ExactDiffReport* report) {
  CAIRN_ASSIGN_OR_RETURN(const FileSpec spec, ParseFileSpec(output.place.text));
  const std::string format = spec.format != nullptr ? std::string(spec.format->name()) : output.format;
  if (!format.empty() && format != CairnDiffFormat().name()) {
    return absl::InvalidArgumentError(absl::StrCat("an exact diff is a file of its own format, cairndiff, and not ", format,
                                                   "; mode=\"arithmetic\" writes any format"));
  }
  SinkTreeOptions tree_options;
  tree_options.overwrite = output.overwrite;
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<SinkTree> tree, CreateSinkTree(spec.path, tree_options));
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSink> sink, tree->Create(""));
  CAIRN_ASSIGN_OR_RETURN(*report, WriteExactDiff(*base.side.reader, *target.side.reader, options, *sink));
  CAIRN_RETURN_IF_ERROR(sink->Close());
  sink.reset();
  return tree->Commit();
}

absl::StatusOr<client::DiffResult> WriteExact(const Side& base, const Side& target, const LocalOutput& output, const Steps& steps) {
  ExactDiffOptions options;
  options.base_label = base.label;
  options.target_label = target.label;
  options.progress = std::cref(steps);
  options.cancellation = steps.cancellation();
  ExactDiffReport report;
  client::DiffResult result;
  if (output.place.client == nullptr) {
    CAIRN_RETURN_IF_ERROR(WriteExactFile(base, target, options, output, &report));
  } else {
    std::error_code error;
    const std::filesystem::path folder = std::filesystem::temp_directory_path(error);
    if (error) return ErrnoStatus(error.value(), "find the folder for temporary files", "TMPDIR");
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointReader> diff,
                           MakeDiffAsset(*base.side.reader, *target.side.reader, options, folder.string(), &report));
    CAIRN_ASSIGN_OR_RETURN(result.checkpoint, Save(*diff, output, base.uid_ref));
  }
  result.target_bytes = report.target_bytes;
  result.diff_bytes = report.diff_bytes;
  result.base_digest = report.base_content.ToHex();
  result.target_digest = report.target_content.ToHex();
  return result;
}

absl::StatusOr<client::DiffResult> WriteArithmetic(const Side& base, const Side& target, const LocalOutput& output, const Steps& steps) {
  CAIRN_ASSIGN_OR_RETURN(const std::optional<Dtype> dtype, DtypeOf(output));
  CAIRN_ASSIGN_OR_RETURN(
      const std::unique_ptr<ArithmeticReader> difference,
      ArithmeticReader::Open(*base.side.reader, *target.side.reader, {ArithmeticOperation::kDifference, dtype}));
  LabelledReader labelled(*difference, {{kDiffModeKey, "arithmetic"}, {kDiffBaseKey, base.label}, {kDiffTargetKey, target.label}});
  CAIRN_ASSIGN_OR_RETURN(Written written, Write(labelled, output, std::nullopt, base.uid_ref, steps));
  client::DiffResult result;
  result.elements = difference->elements();
  result.inexact_elements = difference->inexact();
  result.checkpoint = std::move(written.checkpoint);
  return result;
}

}  // namespace

absl::StatusOr<client::DiffResult> CompareHere(const LocalPlace& base_place, const LocalPlace& target_place,
                                               const std::vector<std::string>& select, double absolute, double relative,
                                               const LocalProgress& progress) {
  CAIRN_ASSIGN_OR_RETURN(Side base, Open(base_place));
  CAIRN_ASSIGN_OR_RETURN(Side target, Open(target_place));
  CAIRN_RETURN_IF_ERROR(SelectInBoth(select, base.side, target.side));
  const Steps steps(progress);
  CompareOptions options;
  options.tolerance = {absolute, relative};
  options.base_digests = base.side.digests;
  options.target_digests = target.side.digests;
  options.cancellation = steps.cancellation();
  options.progress = std::cref(steps);
  client::DiffResult result;
  CAIRN_RETURN_IF_ERROR(
      CompareCheckpoints(*base.side.reader, *target.side.reader, options, [&](const EntryComparison& entry) {
        result.entries.push_back(transfer::ToEntryDiff(entry));
        return absl::OkStatus();
      }));
  return result;
}

absl::StatusOr<client::DiffResult> WriteDiffHere(const LocalPlace& base_place, const LocalPlace& target_place,
                                                 const std::vector<std::string>& select, bool exact, const LocalOutput& output,
                                                 const LocalProgress& progress) {
  CAIRN_ASSIGN_OR_RETURN(Side base, Open(base_place));
  CAIRN_ASSIGN_OR_RETURN(Side target, Open(target_place));
  CAIRN_RETURN_IF_ERROR(SelectInBoth(select, base.side, target.side));
  const Steps steps(progress);
  return exact ? WriteExact(base, target, output, steps) : WriteArithmetic(base, target, output, steps);
}

absl::StatusOr<client::RecoverResult> RecoverHere(const LocalPlace& base_place, const LocalPlace& diff_place, bool exact,
                                                  const LocalOutput& output, const LocalProgress& progress) {
  const Steps steps(progress);
  client::RecoverResult result;
  Written written;
  if (exact) {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> bytes, OpenDiff(diff_place));
    CAIRN_ASSIGN_OR_RETURN(const Side base, Open(base_place));
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<RecoverReader> reader,
                           RecoverReader::Open(*base.side.reader, std::move(bytes), ReadLimits(), steps.cancellation()));
    CAIRN_ASSIGN_OR_RETURN(written, Write(*reader, output, output.float_dtype, base.uid_ref, steps));
    if (!output.float_dtype.has_value()) result.target_digest = reader->diff().target.content.ToHex();
  } else {
    CAIRN_ASSIGN_OR_RETURN(const Side base, Open(base_place));
    CAIRN_ASSIGN_OR_RETURN(const Side diff, Open(diff_place));
    CAIRN_ASSIGN_OR_RETURN(const std::optional<Dtype> dtype, DtypeOf(output));
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ArithmeticReader> sum,
                           ArithmeticReader::Open(*base.side.reader, *diff.side.reader, {ArithmeticOperation::kSum, dtype}));
    CAIRN_ASSIGN_OR_RETURN(written, Write(*sum, output, std::nullopt, base.uid_ref, steps));
  }
  result.bytes = written.bytes;
  result.checkpoint = std::move(written.checkpoint);
  return result;
}

}  // namespace cairn::python
