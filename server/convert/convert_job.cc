#include "server/convert/convert_job.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/checkpoint_file.h"
#include "common/io/file_identity.h"
#include "common/net/url.h"
#include "server/convert/finished_conversions.h"
#include "server/convert/index_memory.h"
#include "server/engine/stored_reader.h"
#include "server/engine/stored_writer.h"

namespace cairn {
namespace {

// Two windows, and the extent or file buffers of either end.
constexpr uint64_t kJobBytes = 24u << 20;
// What rearranging tensors takes besides, and the maps.
constexpr uint64_t kMapScratchBytes = 16u << 20;
constexpr uint64_t kMapBytes = 2 * kMapScratchBytes;
// A caller whose connection broke is back before his last attempt has ended.
constexpr absl::Duration kResumeWait = absl::Seconds(15);
constexpr size_t kLeftOutShown = 20;
constexpr uint32_t kMostParts = 128;  // More than any format takes.

class ConvertJob : private JobSources {
 public:
  ConvertJob(CheckpointEngine& engine, const AllowedRoots& roots, const ConvertRequest& request, const Cancellation& cancellation, FinishedConversions* finished)
      : context_{engine, roots, cancellation}, request_(request), finished_(finished) {}

  absl::StatusOr<ConvertResult> Run(const JobBudgets& budgets, const std::function<void(const ConvertProgress&)>& report) {
    CAIRN_RETURN_IF_ERROR(CheckPlace(request_.source, "source"));
    CAIRN_RETURN_IF_ERROR(CheckPlace(request_.target, "target"));
    absl::StatusOr<JobMemory> memory =
        OpenWithinBudget(budgets, JobBytes(), context_.cancellation, *this);
    if (!memory.ok()) return Annotate(memory.status(), "source");
    memory_ = *std::move(memory);
    CAIRN_RETURN_IF_ERROR(ReportLeftOut());
    if (absl::Status opened = OpenTarget(); !opened.ok()) return Annotate(opened, "target");
    if (answer_.has_value()) return *std::move(answer_);
    if (stored_ != nullptr && stored_->committed().has_value()) {
      // An earlier attempt with this key got to the end, and its answer was lost.
      result_.checkpoint = stored_->committed();
      return result_;
    }
    CAIRN_RETURN_IF_ERROR(MakeRecipe());
    ConvertOptions options;
    options.cancellation = context_.cancellation;
    options.may_drop = request_.drop_unsupported;
    options.progress = [&](const ConvertProgress& progress) {
      result_.progress = progress;
      report(progress);
    };
    CAIRN_RETURN_IF_ERROR(RunConvert(recipe_->reader(), recipe_->plan(), *writer_, options));
    if (stored_ != nullptr) result_.checkpoint = stored_->committed();
    // What is left of the conversion beside its target goes first: it may have the target by a second name.
    writer_.reset();
    if (!key_.empty()) {
      if (const absl::StatusOr<std::string> state = FileIdentity(target_path_); state.ok()) finished_->Add(key_, *state, result_);
    }
    return result_;
  }

 private:
  uint64_t JobBytes() const {
    // Files that are written side by side, each with a part of its own that is being filled.
    const uint64_t parts = IsUrl(request_.target.path) ? kUrlPartBytes * std::min(request_.parts, kMostParts) : 0;
    return kJobBytes + (request_.recipe.map.has_value() ? kMapBytes : 0) + SourceBytes(request_.source) + TargetBytes(request_.target) + parts;
  }

  int count() const override { return 1; }
  void Close() override { source_ = {}; }
  absl::StatusOr<uint64_t> Open(const ReadLimits& limits) override {
    CAIRN_ASSIGN_OR_RETURN(source_, cairn::OpenSource(context_, request_.source, limits));
    if (source_.spec.format != nullptr) result_.source_format = std::string(source_.spec.format->name());
    return IndexMemory(source_.reader->index());
  }

  absl::Status OpenTarget() {
    if (!request_.target.ref.empty()) return OpenStoredTarget();
    CAIRN_ASSIGN_OR_RETURN(const FileSpec spec, SpecOf(request_.target));
    TargetFileOptions options;
    options.max_shard_bytes = request_.max_shard_bytes;
    options.separator = request_.separator;
    options.drop_unsupported = request_.drop_unsupported;
    options.overwrite = request_.overwrite;
    options.parts = request_.parts;
    options.assets_beside = request_.assets_beside;
    CAIRN_ASSIGN_OR_RETURN(TargetFile target, ResolveTarget(spec, options));
    result_.target_format = std::string(target.format->name());
    target_holds_values_ = target.format->traits().values;
    if (request_.target.sink_tree != nullptr) {
      if (request_.resume || request_.assets_beside) return absl::InvalidArgumentError("resume and assets_beside: only for files on this daemon's machine");
      CAIRN_ASSIGN_OR_RETURN(writer_, target.format->Create(request_.target.sink_tree, target.options));
      return absl::OkStatus();
    }
    if (IsUrl(target.path)) {
      if (request_.resume || request_.assets_beside) return absl::InvalidArgumentError("resume and assets_beside: only for files on this daemon's machine");
      CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<SinkTree> sink,
                             context_.roots.CreateTarget(target.path, {.overwrite = target.overwrite}, context_.cancellation));
      CAIRN_ASSIGN_OR_RETURN(writer_, target.format->Create(std::move(sink), target.options));
      return absl::OkStatus();
    }
    CAIRN_ASSIGN_OR_RETURN(target.path, context_.roots.ResolveTarget(target.path));
    target.note = [this](const std::string& note) { result_.notes.push_back(note); };
    const bool remembers = finished_ != nullptr && !request_.session_key.empty();
    if (request_.resume || remembers) {
      const absl::StatusOr<std::string> source = SourceIdentity();
      if (request_.resume) {
        CAIRN_RETURN_IF_ERROR(source.status());
        target.resume_identity = ResumeIdentity(target, {*source, request_.recipe.WholeIdentity()});
        target.resume_wait = kResumeWait;
        target.cancellation = context_.cancellation;
      }
      if (remembers && source.ok()) FindAnswer(target, *source);
      if (answer_.has_value()) return absl::OkStatus();
    }
    CAIRN_ASSIGN_OR_RETURN(writer_, CreateTarget(target));
    // An earlier attempt that was waited for may have got to the end.
    if (remembers && request_.resume) {
      if (const absl::StatusOr<std::string> state = FileIdentity(target_path_); !key_.empty() && state.ok()) answer_ = finished_->Find(key_, *state);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> SourceIdentity() const { return cairn::SourceIdentity(request_.source, source_.tree.get(), source_.stored); }

  // An answer that was lost is given again, and not ALREADY_EXISTS.
  void FindAnswer(const TargetFile& target, const std::string& source) {
    target_path_ = target.path;
    key_ = absl::StrCat(request_.session_key, "\n",
                        ResumeIdentity(target, {source, request_.recipe.WholeIdentity(), target.path, absl::StrCat(request_.overwrite, request_.strict)}));
    if (const absl::StatusOr<std::string> state = FileIdentity(target.path); state.ok()) answer_ = finished_->Find(key_, *state);
  }

  absl::Status OpenStoredTarget() {
    if (request_.resume || request_.assets_beside || request_.parts > 0) {
      return absl::InvalidArgumentError("resume, assets_beside and parts are about files that are written, and this is a ref");
    }
    OutputRequest output;
    output.place = request_.target;
    output.overwrite = request_.overwrite;
    output.session_key = request_.session_key;
    // Whoever sends files here says with the key which ones.
    if (request_.source.source_tree == nullptr) {
      output.identity = absl::StrCat("convert ", IdentityForKey(request_.source, source_.tree.get(), source_.stored), "\n",
                                     request_.recipe.WholeIdentity());
    }
    output.metadata = request_.metadata;
    output.created_by = request_.created_by;
    if (source_.stored != nullptr) output.parent = source_.stored->row().uid;
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<StoredWriter> stored, CreateStoredTarget(context_.engine, output, source_.reader->index().metadata));
    stored_ = stored.get();
    writer_ = std::move(stored);
    return absl::OkStatus();
  }

  absl::Status ReportLeftOut() {
    const std::vector<LeftOut>& left_out = source_.reader->index().left_out;
    for (size_t i = 0; i < std::min(left_out.size(), kLeftOutShown); ++i) {
      result_.left_out.push_back(absl::StrCat("\"", left_out[i].path.ToString(), "\": ", left_out[i].what));
    }
    if (left_out.size() > kLeftOutShown) result_.left_out.push_back(absl::StrCat("and ", left_out.size() - kLeftOutShown, " more"));
    if (!request_.strict || left_out.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("strict: the source holds what cannot be carried: ", absl::StrJoin(result_.left_out, "; ")));
  }

  absl::Status MakeRecipe() {
    RecipeRequest request = request_.recipe;
    request.weight_marks = target_holds_values_;
    if (request.map.has_value()) request.map->read.scratch_bytes = kMapScratchBytes;
    CAIRN_ASSIGN_OR_RETURN(recipe_, Recipe::Create(*source_.reader, source_.tree.get(), request));
    if (recipe_->weights().has_value()) result_.weights = recipe_->weights()->Describe();
    if (recipe_->mapping() != nullptr) {
      result_.map = recipe_->mapping()->Describe();
      result_.map_dropped = recipe_->mapping()->plan().dropped;
    }
    return absl::OkStatus();
  }

  JobMemory memory_;  // Before all that it is of.
  const PlaceContext context_;
  const ConvertRequest& request_;
  FinishedConversions* const finished_;
  ConvertResult result_;
  std::string target_path_;              // Of files.
  std::string key_;                      // Empty: is not remembered.
  std::optional<ConvertResult> answer_;  // Of the same conversion, which was made before.
  SourcePlace source_;
  std::unique_ptr<Recipe> recipe_;
  std::unique_ptr<CheckpointWriter> writer_;
  bool target_holds_values_ = true;
  StoredWriter* stored_ = nullptr;  // The writer, where the target is a ref.
};

}  // namespace

absl::StatusOr<ConvertResult> RunConvertJob(CheckpointEngine& engine, const AllowedRoots& roots, const JobBudgets& budgets,
                                            const ConvertRequest& request, const Cancellation& cancellation,
                                            const std::function<void(const ConvertProgress&)>& report, FinishedConversions* finished) {
  absl::StatusOr<ConvertResult> result = ConvertJob(engine, roots, request, cancellation, finished).Run(budgets, report);
  if (!result.ok()) return NotToBeRepeated(result.status());
  return result;
}

}  // namespace cairn
