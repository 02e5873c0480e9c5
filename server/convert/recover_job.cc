#include "server/convert/recover_job.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/convert/convert_plan.h"
#include "common/diff/arithmetic.h"
#include "common/diff/recover_reader.h"
#include "common/format/cairndiff/diff_file.h"
#include "server/convert/diff_places.h"
#include "server/convert/index_memory.h"

namespace cairn {
namespace {

// The windows of the conversion and of both readers; of an exact diff besides some 5 MiB for each of five pieces on their way.
constexpr int kThreads = 2;
constexpr uint64_t kArithmeticBytes = 32u << 20;
constexpr uint64_t kExactBytes = 56u << 20;
// Of an index once it is read: its bytes, of which a piece of 17 at least becomes a record of some 80; and its entries, each of
// which is there several times, in the indices of reader, plan and writer.
constexpr uint64_t kIndexFactor = 6;

class RecoverJob : private JobSources {
 public:
  RecoverJob(CheckpointEngine& engine, const AllowedRoots& roots, const RecoverRequest& request, const Cancellation& cancellation,
             const std::function<void(const ConvertProgress&)>& report)
      : context_{engine, roots, cancellation}, request_(request), cancellation_(cancellation), report_(report) {}

  absl::StatusOr<RecoverResult> Run(const JobBudgets& budgets) {
    CAIRN_RETURN_IF_ERROR(CheckOutput(request_.output.place));
    if (request_.arithmetic) {
      CAIRN_RETURN_IF_ERROR(Add(budgets));
    } else {
      CAIRN_RETURN_IF_ERROR(Apply(budgets));
    }
    return std::move(result_);
  }

 private:
  absl::Status Apply(const JobBudgets& budgets) {
    CAIRN_ASSIGN_OR_RETURN(DiffBytes diff, OpenDiffBytes(context_, request_.diff, "diff"));
    const DiffIndexClaim index = ClaimedDiffIndex(*diff.bytes, ReadLimits());
    const uint64_t index_bytes = kIndexFactor * index.bytes + kEntryMemory * index.entries;
    // More than the budget waits for all of it, so that there is one such job at a time.
    const uint64_t most = std::max(budgets.indices.limit(), kMostIndexMemory);
    if (index_bytes > most) {
      return absl::ResourceExhaustedError(absl::StrCat("the diff: its index of ", index.entries, " entries in ", index.bytes, " bytes takes up to ", index_bytes,
                                                       " bytes of memory, expected at most ", most,
                                                       "; give the daemon a larger memory_budget, or recover where the caller is"));
    }
    diff_index_bytes_ = index_bytes;
    CAIRN_ASSIGN_OR_RETURN(memory_, OpenWithinBudget(budgets, kExactBytes + PlaceBytes(), cancellation_, *this));
    const DiffPlace& base = base_;
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<RecoverReader> reader,
                           RecoverReader::Open(*base.side.reader, std::move(diff.bytes), ReadLimits(), cancellation_, kThreads));
    CAIRN_RETURN_IF_ERROR(Write(*reader, base, diff.identity, request_.float_dtype));
    // What was cast is no longer what the digest is of.
    if (!request_.float_dtype.has_value()) result_.target_digest = reader->diff().target.content.ToHex();
    return absl::OkStatus();
  }

  absl::Status Add(const JobBudgets& budgets) {
    CAIRN_ASSIGN_OR_RETURN(memory_, OpenWithinBudget(budgets, kArithmeticBytes + PlaceBytes(), cancellation_, *this));
    const DiffPlace &base = base_, &diff = diff_;
    CAIRN_ASSIGN_OR_RETURN(
        const std::unique_ptr<ArithmeticReader> sum,
        ArithmeticReader::Open(*base.side.reader, *diff.side.reader, {ArithmeticOperation::kSum, request_.float_dtype}));
    return Write(*sum, base, diff.identity, std::nullopt);
  }

  // The base, and of an arithmetic recovery the diff.
  int count() const override { return request_.arithmetic ? 2 : 1; }
  void Close() override {
    base_ = {};
    diff_ = {};
  }
  absl::StatusOr<uint64_t> Open(const ReadLimits& limits) override {
    CAIRN_ASSIGN_OR_RETURN(base_, OpenDiffPlace(context_, request_.base, limits, "base"));
    if (!request_.arithmetic) return diff_index_bytes_ + IndexMemory(base_.side.reader->index());
    CAIRN_ASSIGN_OR_RETURN(diff_, OpenDiffPlace(context_, request_.diff, limits, "diff"));
    return IndexMemory(base_.side.reader->index()) + IndexMemory(diff_.side.reader->index());
  }

  uint64_t PlaceBytes() const { return SourceBytes(request_.base) + SourceBytes(request_.diff) + TargetBytes(request_.output.place); }

  absl::Status Write(CheckpointReader& reader, const DiffPlace& base, const std::string& diff_identity, std::optional<Dtype> float_dtype) {
    PlanOptions plan_options;
    plan_options.float_dtype = float_dtype;
    CAIRN_ASSIGN_OR_RETURN(const ConvertPlan plan, MakeConvertPlan(reader.index(), plan_options));
    OutputRequest request = request_.output;
    request.parent = base.uid;
    request.identity = absl::StrCat("recover ", request_.arithmetic ? "arithmetic " : "exact ",
                                    request_.float_dtype.has_value() ? DtypeName(*request_.float_dtype) : "keep", "\n", base.identity, "\n",
                                    diff_identity);
    absl::StatusOr<JobOutput> output = JobOutput::Open(context_, request, reader.index().metadata);
    if (!output.ok()) return Annotate(output.status(), "the output");
    if (!output->committed().has_value()) {
      ConvertOptions options;
      options.cancellation = cancellation_;
      options.progress = [this](const ConvertProgress& progress) {
        result_.progress = progress;
        if (report_) report_(progress);
      };
      CAIRN_RETURN_IF_ERROR(RunConvert(reader, plan, output->writer(), options));
    }
    result_.checkpoint = output->committed();
    return absl::OkStatus();
  }

  JobMemory memory_;  // Before all that it is of.
  const PlaceContext context_;
  const RecoverRequest& request_;
  const Cancellation& cancellation_;
  const std::function<void(const ConvertProgress&)>& report_;
  DiffPlace base_, diff_;
  uint64_t diff_index_bytes_ = 0;  // Of an exact diff, once it is read.
  RecoverResult result_;
};

}  // namespace

absl::StatusOr<RecoverResult> RunRecoverJob(CheckpointEngine& engine, const AllowedRoots& roots, const JobBudgets& budgets,
                                            const RecoverRequest& request, const Cancellation& cancellation,
                                            const std::function<void(const ConvertProgress&)>& report) {
  absl::StatusOr<RecoverResult> result = RecoverJob(engine, roots, request, cancellation, report).Run(budgets);
  if (!result.ok()) return NotToBeRepeated(result.status());
  return result;
}

}  // namespace cairn
