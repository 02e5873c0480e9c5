#include "server/convert/diff_job.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/convert/convert.h"
#include "common/convert/convert_plan.h"
#include "common/diff/arithmetic.h"
#include "common/diff/diff_asset.h"
#include "common/format/cairndiff/cairndiff_format.h"
#include "common/format/cairndiff/diff_file.h"
#include "server/convert/diff_places.h"
#include "server/convert/index_memory.h"

namespace cairn {
namespace {

// Threads beside the one that reads and digests, and what they and both readers hold: of a report two windows of 1 MiB for
// each of nine pieces of work; of an exact diff some 7 MiB for each of five.
constexpr int kReportThreads = 4;
constexpr int kExactThreads = 2;
constexpr uint64_t kReportBytes = 32u << 20;
constexpr uint64_t kExactBytes = 48u << 20;
constexpr uint64_t kArithmeticBytes = 32u << 20;
constexpr uint64_t kPieceRecordBytes = 192;  // What an exact diff remembers of each piece of both, and its index in bytes.

class DiffJob : private JobSources {
 public:
  DiffJob(CheckpointEngine& engine, const AllowedRoots& roots, const DiffRequest& request, const Cancellation& cancellation,
          const DiffCallbacks& callbacks)
      : context_{engine, roots, cancellation}, request_(request), cancellation_(cancellation), callbacks_(callbacks) {}

  absl::StatusOr<DiffResult> Run(const JobBudgets& budgets) {
    CAIRN_RETURN_IF_ERROR(CheckRequest());
    const uint64_t bytes = JobBytes() + SourceBytes(request_.base) + SourceBytes(request_.target) + TargetBytes(request_.output.place);
    CAIRN_ASSIGN_OR_RETURN(memory_,
                           OpenWithinBudget(budgets, bytes, cancellation_, *this));
    if (request_.mode == DiffMode::kReport && base_.stored != nullptr && target_.stored != nullptr) {
      base_.side.digests = EntryDigests(*base_.stored);
      target_.side.digests = EntryDigests(*target_.stored);
    }
    CAIRN_RETURN_IF_ERROR(SelectInBoth(request_.select, base_.side, target_.side));
    switch (request_.mode) {
      case DiffMode::kReport:
        CAIRN_RETURN_IF_ERROR(Report());
        break;
      case DiffMode::kExact:
        CAIRN_RETURN_IF_ERROR(request_.output.place.ref.empty() ? WriteExactFile() : WriteExactRef());
        break;
      case DiffMode::kArithmetic:
        CAIRN_RETURN_IF_ERROR(WriteArithmetic());
        break;
    }
    return std::move(result_);
  }

 private:
  absl::Status CheckRequest() const {
    const ConvertPlace& output = request_.output.place;
    if (request_.mode == DiffMode::kReport) {
      if (!output.ref.empty() || !output.path.empty()) return absl::InvalidArgumentError("output: a report has none");
      if (!(request_.tolerance.absolute >= 0) || !(request_.tolerance.relative >= 0)) {
        return absl::InvalidArgumentError("absolute_tolerance, relative_tolerance: expected numbers that are not negative");
      }
    } else {
      CAIRN_RETURN_IF_ERROR(CheckOutput(output));
    }
    if (request_.float_dtype.has_value() && request_.mode != DiffMode::kArithmetic) {
      return absl::InvalidArgumentError("float_dtype: of an arithmetic diff; an exact one keeps every bit");
    }
    return absl::OkStatus();
  }

  uint64_t JobBytes() const {
    switch (request_.mode) {
      case DiffMode::kReport:
        return kReportBytes;
      case DiffMode::kExact:
        return kExactBytes;
      case DiffMode::kArithmetic:
        return kArithmeticBytes;
    }
    return 0;
  }

  int count() const override { return 2; }
  void Close() override {
    base_ = {};
    target_ = {};
  }
  // Both indices, and what is remembered of their pieces.
  absl::StatusOr<uint64_t> Open(const ReadLimits& limits) override {
    CAIRN_ASSIGN_OR_RETURN(base_, OpenDiffPlace(context_, request_.base, limits, "base"));
    CAIRN_ASSIGN_OR_RETURN(target_, OpenDiffPlace(context_, request_.target, limits, "target"));
    const CheckpointIndex &base = base_.side.reader->index(), &target = target_.side.reader->index();
    const uint64_t pieces = request_.mode == DiffMode::kExact ? (base.TotalBytes() + target.TotalBytes()) / kDiffPieceBytes : 0;
    return IndexMemory(base) + IndexMemory(target) + pieces * kPieceRecordBytes;
  }

  void Progress(uint64_t done, uint64_t total) {
    result_.bytes = done;
    if (callbacks_.progress) callbacks_.progress(done, total);
  }

  absl::Status Report() {
    CompareOptions options;
    options.tolerance = request_.tolerance;
    options.threads = kReportThreads;
    options.base_digests = base_.side.digests;
    options.target_digests = target_.side.digests;
    options.cancellation = cancellation_;
    options.progress = [this](uint64_t done, uint64_t total) { Progress(done, total); };
    return CompareCheckpoints(*base_.side.reader, *target_.side.reader, options, callbacks_.entry);
  }

  ExactDiffOptions ExactOptions() {
    ExactDiffOptions options;
    options.base_label = base_.label;
    options.target_label = target_.label;
    options.threads = kExactThreads;
    options.base_piece = KnownPieces(base_);
    options.target_piece = KnownPieces(target_);
    options.cancellation = cancellation_;
    options.progress = [this](uint64_t done, uint64_t total) { Progress(done, total); };
    return options;
  }

  absl::Status WriteExactFile() {
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<SinkTree> tree, Named(CreateDiffFile(context_, request_.output)));
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSink> sink, Named(tree->Create("")));
    CAIRN_ASSIGN_OR_RETURN(const ExactDiffReport report,
                           WriteExactDiff(*base_.side.reader, *target_.side.reader, ExactOptions(), *sink));
    Describe(report);
    CAIRN_RETURN_IF_ERROR(sink->Close());
    sink.reset();
    return tree->Commit();
  }

  absl::Status WriteExactRef() {
    // A session has its metadata from the beginning, and that of a diff has digests which are not known before it is
    // computed. Where something is in the way already, that is said now.
    CAIRN_ASSIGN_OR_RETURN(const Ref ref, Named(Ref::Parse(request_.output.place.ref)));
    if (!request_.output.overwrite && context_.engine.Resolve(ref).ok()) {
      CAIRN_ASSIGN_OR_RETURN(const JobOutput output, Named(JobOutput::Open(context_, Output(), {})));
      if (output.committed().has_value()) return Found(*output.committed());
    }
    ExactDiffReport report;
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointReader> diff,
                           MakeDiffAsset(*base_.side.reader, *target_.side.reader, ExactOptions(), request_.scratch_folder, &report));
    CAIRN_ASSIGN_OR_RETURN(JobOutput output, Named(JobOutput::Open(context_, Output(), diff->index().metadata)));
    if (output.committed().has_value()) return Found(*output.committed());
    Describe(report);
    return Write(*diff, output, /*counts=*/false);
  }

  void Describe(const ExactDiffReport& report) {
    result_.target_bytes = report.target_bytes;
    result_.diff_bytes = report.diff_bytes;
    result_.base_digest = report.base_content.ToHex();
    result_.target_digest = report.target_content.ToHex();
  }

  // An earlier attempt with this session key got to the end, and its answer was lost.
  absl::Status Found(const CheckpointRow& row) {
    const auto text = [&](const char* key) {
      const auto found = row.metadata.find(key);
      return found == row.metadata.end() ? std::string() : found->second;
    };
    result_.checkpoint = row;
    result_.target_bytes = target_.side.reader->index().TotalBytes();
    result_.diff_bytes = row.logical_bytes;
    result_.base_digest = text(kDiffBaseDigestKey);
    result_.target_digest = text(kDiffTargetDigestKey);
    return absl::OkStatus();
  }

  absl::Status WriteArithmetic() {
    CAIRN_ASSIGN_OR_RETURN(
        const std::unique_ptr<ArithmeticReader> difference,
        ArithmeticReader::Open(*base_.side.reader, *target_.side.reader, {ArithmeticOperation::kDifference, request_.float_dtype}));
    LabelledReader labelled(*difference, Labels("arithmetic"));
    CAIRN_ASSIGN_OR_RETURN(JobOutput output, Named(JobOutput::Open(context_, Output(), labelled.index().metadata)));
    if (output.committed().has_value()) {
      result_.checkpoint = output.committed();
      return absl::OkStatus();
    }
    CAIRN_RETURN_IF_ERROR(Write(labelled, output, /*counts=*/true));
    result_.elements = difference->elements();
    result_.inexact = difference->inexact();
    return absl::OkStatus();
  }

  absl::Status Write(CheckpointReader& reader, JobOutput& output, bool counts) {
    CAIRN_ASSIGN_OR_RETURN(const ConvertPlan plan, MakeConvertPlan(reader.index(), PlanOptions()));
    ConvertOptions options;
    options.cancellation = cancellation_;
    if (counts) options.progress = [this](const ConvertProgress& progress) { Progress(progress.bytes_done, progress.bytes_total); };
    CAIRN_RETURN_IF_ERROR(RunConvert(reader, plan, output.writer(), options));
    result_.checkpoint = output.committed();
    return absl::OkStatus();
  }

  OutputRequest Output() const {
    OutputRequest output = request_.output;
    output.parent = base_.uid;
    output.identity = absl::StrCat("diff ", request_.mode == DiffMode::kExact ? "exact " : "arithmetic ",
                                   request_.float_dtype.has_value() ? DtypeName(*request_.float_dtype) : "keep", "\n", base_.identity, "\n",
                                   target_.identity);
    for (const std::string& pattern : request_.select) absl::StrAppend(&output.identity, "\n", pattern.size(), ":", pattern);
    return output;
  }

  std::map<std::string, std::string> Labels(const char* mode) const {
    return {{kDiffModeKey, mode}, {kDiffBaseKey, base_.label}, {kDiffTargetKey, target_.label}};
  }

  template <class T>
  static absl::StatusOr<T> Named(absl::StatusOr<T> result) {
    if (!result.ok()) return Annotate(result.status(), "the output");
    return result;
  }

  JobMemory memory_;  // Before all that it is of.
  const PlaceContext context_;
  const DiffRequest& request_;
  const Cancellation& cancellation_;
  const DiffCallbacks& callbacks_;
  DiffPlace base_, target_;
  DiffResult result_;
};

}  // namespace

absl::StatusOr<DiffResult> RunDiffJob(CheckpointEngine& engine, const AllowedRoots& roots, const JobBudgets& budgets,
                                      const DiffRequest& request, const Cancellation& cancellation, const DiffCallbacks& callbacks) {
  absl::StatusOr<DiffResult> result = DiffJob(engine, roots, request, cancellation, callbacks).Run(budgets);
  if (!result.ok()) return NotToBeRepeated(result.status());
  return result;
}

}  // namespace cairn
