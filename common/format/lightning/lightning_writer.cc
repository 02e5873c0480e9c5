#include "common/format/lightning/lightning_writer.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/format/folder/json_events.h"
#include "common/format/lightning/lightning_names.h"
#include "common/format/torch/torch_writer.h"

namespace cairn {
namespace {

constexpr size_t kMaxShownProblems = 5;
// The first release with the keys of today: later ones change nothing in a checkpoint that says this.
constexpr char kWrittenVersion[] = "2.0.0";
constexpr char kStepOfMetadata[] = "step";

std::string Shown(const KeyPath& path) { return NameForMessage(path.ToString()); }

// Makes a Trainer's checkpoint of any index, which is then written as a file of torch.
class LightningWriter final : public CheckpointWriter {
 public:
  LightningWriter(std::shared_ptr<SinkTree> sink, const WriteOptions& options)
      : name_(sink->name()), options_(options), file_(CreateTorchFileWriter(std::move(sink), options, "")) {}

  absl::StatusOr<std::vector<size_t>> Begin(const CheckpointIndex& index) override {
    if (!numbers_.empty()) return absl::FailedPreconditionError("Begin() was called before");
    CAIRN_RETURN_IF_ERROR(MakeTarget(index));
    CAIRN_ASSIGN_OR_RETURN(std::vector<size_t> order, file_->Begin(target_));
    for (size_t& number : order) number = sources_[number];
    return order;
  }

  absl::StatusOr<uint64_t> StartEntry(size_t number) override {
    if (number >= numbers_.size() || !numbers_[number].has_value()) {
      return absl::FailedPreconditionError(absl::StrCat(name_, ": entry ", number, " out of order"));
    }
    return file_->StartEntry(*numbers_[number]);
  }
  absl::Status Append(absl::string_view bytes) override { return file_->Append(bytes); }
  absl::Status FinishEntry() override { return file_->FinishEntry(); }
  absl::Status Finish() override { return file_->Finish(); }

 private:
  absl::Status MakeTarget(const CheckpointIndex& index) {
    numbers_.resize(index.entries.size());
    const KeyPath state_dict = KeyPath::Of({kLightningStateDict});
    const bool whole = options_.variant.empty() && std::any_of(index.entries.begin(), index.entries.end(), [&](const Entry& entry) {
      return entry.kind != EntryKind::kAsset && entry.path.StartsWith(state_dict);
    });
    AddHeader(index, whole);
    std::vector<std::string> problems;
    size_t problem_count = 0;
    absl::flat_hash_map<std::string, const KeyPath*> taken;
    for (size_t i = 0; i < index.entries.size(); ++i) {
      Entry entry = index.entries[i];
      absl::string_view problem;
      if (entry.kind == EntryKind::kAsset) problem = "is a file beside the weights";
      else if (entry.path.empty()) problem = "is the root of the tree: expected a name";
      else if (entry.kind == EntryKind::kValue && !whole) problem = "is no tensor, as all entries of a state dict are";
      if (!problem.empty()) {
        if (++problem_count <= kMaxShownProblems) problems.push_back(absl::StrCat(Shown(entry.path), " ", problem));
        continue;
      }
      if (!whole) {
        const std::string name = entry.path.Joined(options_.separator);
        if (const auto [other, is_new] = taken.emplace(name, &index.entries[i].path); !is_new) {
          return absl::InvalidArgumentError(absl::StrCat(name_, ": ", Shown(entry.path), " and ", Shown(*other->second), " are both named ",
                                                         NameForMessage(name), " when joined with \"", options_.separator, "\"; choose another separator"));
        }
        entry.path = KeyPath::Of({kLightningStateDict, name});
        if (entry.kind == EntryKind::kAlias) entry.target = KeyPath::Of({kLightningStateDict, entry.target.Joined(options_.separator)});
      }
      numbers_[i] = target_.entries.size();
      Add(std::move(entry), i);
    }
    if (problem_count > 0 && !options_.drop_unsupported) {
      return absl::InvalidArgumentError(absl::StrCat(name_, ": ", problem_count, problem_count == 1 ? " entry does" : " entries do", " not fit into a checkpoint of Lightning: ",
                                                     absl::StrJoin(problems, "; "), problem_count > problems.size() ? "; ..." : "",
                                                     ". To leave them out, ask to drop what is unsupported"));
    }
    if (!whole && taken.empty()) Add(Entry::OfValue(state_dict, EmptyDict()), 0);
    return absl::OkStatus();
  }

  // What every checkpoint of the Trainer says, unless this one does.
  void AddHeader(const CheckpointIndex& index, bool whole) {
    int64_t step = 0;
    if (const auto known = index.metadata.find(kStepOfMetadata); known == index.metadata.end() || !absl::SimpleAtoi(known->second, &step)) step = 0;
    const std::pair<const char*, Value> header[] = {
        {kLightningEpoch, Value::Int(0)}, {kLightningStep, Value::Int(step)}, {kLightningVersion, Value::String(kWrittenVersion)}};
    for (const auto& [key, value] : header) {
      const KeyPath path = KeyPath::Of({key});
      const bool there = whole && std::any_of(index.entries.begin(), index.entries.end(), [&](const Entry& entry) {
        return entry.kind != EntryKind::kAsset && entry.path.StartsWith(path);
      });
      if (!there) Add(Entry::OfValue(path, value), 0);
    }
  }

  void Add(Entry entry, size_t source) {
    target_.entries.push_back(std::move(entry));
    sources_.push_back(source);
  }

  static Value EmptyDict() {
    Value value;
    value.kind = Value::Kind::kDict;
    return value;
  }

  const std::string name_;
  const WriteOptions options_;
  CheckpointIndex target_;
  std::vector<size_t> sources_;                  // By entry of target_.
  std::vector<std::optional<size_t>> numbers_;   // By entry of the source, in target_.
  const std::unique_ptr<CheckpointWriter> file_;
};

}  // namespace

std::unique_ptr<CheckpointWriter> CreateLightningWriter(std::shared_ptr<SinkTree> sink, const WriteOptions& options) {
  return std::make_unique<LightningWriter>(std::move(sink), options);
}

}  // namespace cairn
