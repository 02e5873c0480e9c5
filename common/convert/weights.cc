#include "common/convert/weights.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/strings/string_view.h"
#include "common/base/checked_math.h"
#include "common/tensor/shape.h"

namespace cairn {
namespace {

constexpr size_t kCandidatesInMessage = 8;
constexpr size_t kOthersShown = 8;
constexpr int kMaxWrappings = 2;  // {"app": {"model": ..., "optimizer": ...}}.

constexpr std::array<absl::string_view, 6> kModelNames = {"model",  "module", "state_dict", "model_state_dict",
                                                          "params", "model_state"};
// Collections that Flax keeps beside the parameters.
constexpr std::array<absl::string_view, 3> kBesideParams = {"batch_stats", "cache", "dynamic_scale"};
// Parts of names that torch.compile, FSDP and activation checkpointing insert.
constexpr std::array<absl::string_view, 3> kWrappers = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"};
// What stands in front of all names: of DDP and DeepSpeed, of Fabric's strategies.
constexpr std::array<absl::string_view, 2> kWholePrefixes = {"module.", "_forward_module."};
// The attribute of a LightningModule that is the model, by custom.
constexpr std::array<absl::string_view, 2> kLightningAttributes = {"model.", "net."};
// A tree whose levels became dots.
constexpr std::array<absl::string_view, 6> kFlatRoots = {"params.params.", "params.",           "model.",
                                                         "state_dict.",    "model_state_dict.", "module."};

template <typename Names>
bool IsOneOf(absl::string_view name, const Names& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Names of what a training job keeps beside its model; a module of a model is hardly called so.
bool IsTrainingState(absl::string_view name) {
  static constexpr std::array<absl::string_view, 8> kNames = {"opt_state",   "optim", "param_groups", "dataloader",
                                                              "train_state", "loops", "callbacks",    "rng"};
  if (IsOneOf(name, kNames)) return true;
  const std::string lower = absl::AsciiStrToLower(name);
  for (const absl::string_view part : {"optimizer", "lr_scheduler", "rng_state", "dataloader"}) {
    if (absl::StrContains(lower, part)) return true;
  }
  // Not every scheduler is one of training: a diffusion model has its noise's.
  return absl::StartsWith(lower, "scheduler") || absl::StartsWith(lower, "datamodule");
}

// The same, and names that tell of training where they are no tree of tensors.
bool IsTrainingName(absl::string_view name) {
  static constexpr std::array<absl::string_view, 25> kNames = {
      "step",    "steps", "global_step", "step_count",   "iter_num",      "iteration", "iter",
      "epoch",   "epochs", "dataset",    "sampler",      "args",          "hyper_parameters", "hparams",
      "config",  "amp",   "scaler",      "grad_scaler",  "extra_state",   "metrics",   "loss",
      "random_state", "best_metric", "MixedPrecision", "pytorch-lightning_version"};
  return IsTrainingState(name) || IsOneOf(name, kNames) || absl::StartsWith(name, "hparams_");
}

// The front of a flat name, where a model's own names are near: "optimizer.state.x.exp_avg".
bool HasTrainingPrefix(absl::string_view name) {
  const size_t dot = name.find('.');
  if (dot == absl::string_view::npos) return false;
  static constexpr std::array<absl::string_view, 6> kNames = {"opt_state", "optim", "dataloader", "train_state", "loops", "callbacks"};
  static constexpr std::array<absl::string_view, 5> kEnds = {"", "s", "_state", "_states", "_state_dict"};
  absl::string_view piece = name.substr(0, dot);
  if (IsOneOf(piece, kNames)) return true;
  // "optimizer_0" is one of several, "optimizer_head" a module of somebody's.
  if (!absl::ConsumePrefix(&piece, "optimizer") && !absl::ConsumePrefix(&piece, "lr_scheduler")) return false;
  if (IsOneOf(piece, kEnds)) return true;
  return absl::ConsumePrefix(&piece, "_") && !piece.empty() && std::all_of(piece.begin(), piece.end(), absl::ascii_isdigit);
}

std::string SegmentText(const KeyPath::Segment& segment) { return KeyPath({segment}).ToString(); }

bool IsMark(const Entry& entry) {
  return entry.kind == EntryKind::kValue && entry.value->length > 0 && entry.value->items.empty() &&
         (entry.value->kind == Value::Kind::kList || entry.value->kind == Value::Kind::kTuple);
}

bool IsWeight(const Entry& entry) { return entry.kind == EntryKind::kTensor || entry.kind == EntryKind::kAlias; }

// What a training job counts and notes; None and empty containers are nobody's.
bool TellsOfTraining(const Value& value) {
  switch (value.kind) {
    case Value::Kind::kBool:
    case Value::Kind::kInt:
    case Value::Kind::kBigInt:
    case Value::Kind::kFloat:
    case Value::Kind::kString:
    case Value::Kind::kOpaque:
      return true;
    default:
      return false;
  }
}

// What stands below one name of a level, where that is no tensor itself.
struct Group {
  bool flat = true;  // All its tensors are one level below.
};

// One level of the tree.
struct Level {
  std::map<KeyPath::Segment, Group> groups;  // By name; those with tensors.
  bool lone = false;                         // There are tensors at this level that a model could have.
  bool has_training_tensors = false;         // There are tensors at this level, or below, of the training job's.
  bool tells_of_training = false;            // By a name or a value,
  bool flat_training = false;                // of which one is a flat name: "optimizer.state.x.exp_avg".
  std::set<std::string> training_names;

  bool empty() const { return groups.empty() && !lone && !has_training_tensors; }
};

// Is this of the training job, and not of the model beside it?
bool IsBeside(const std::string& name, bool lone) {
  if (!lone) return IsTrainingState(name);
  return absl::StrContains(name, '.') ? HasTrainingPrefix(name) : IsTrainingName(name);
}

Level LookAt(const CheckpointIndex& index, const KeyPath& root) {
  Level level;
  const size_t depth = root.segments().size();
  for (const Entry& entry : index.entries) {
    if (entry.kind == EntryKind::kAsset || entry.path.segments().size() <= depth || !entry.path.StartsWith(root)) continue;
    const KeyPath::Segment& segment = entry.path.segments()[depth];
    const std::string name = SegmentText(segment);
    const size_t below = entry.path.segments().size() - depth;
    if (!(below == 1 && absl::StrContains(name, '.')) && IsTrainingName(name)) {
      // "step" with tensors below could be a module of somebody's.
      if (below == 1 || !IsWeight(entry) || IsTrainingState(name)) level.tells_of_training = true;
      level.training_names.insert(name);
    }
    if (below == 1 && entry.kind == EntryKind::kValue && TellsOfTraining(entry.value)) level.tells_of_training = true;
    if (!IsWeight(entry)) continue;
    if (below == 1) {
      const bool training = IsBeside(name, true);
      level.tells_of_training |= training;
      level.flat_training |= training && absl::StrContains(name, '.');
      (training ? level.has_training_tensors : level.lone) = true;
    } else if (IsBeside(name, false)) {
      level.has_training_tensors = true;
    } else {
      level.groups[segment].flat &= below == 2;
    }
  }
  return level;
}

// Takes parts of wrappers out of one segment, and notes them.
std::string WithoutWrappers(const std::string& text, std::set<std::string>* found) {
  const bool any = std::any_of(kWrappers.begin(), kWrappers.end(),
                               [&](absl::string_view wrapper) { return absl::StrContains(text, wrapper); });
  if (!any) return text;
  std::vector<absl::string_view> pieces = absl::StrSplit(text, '.');
  std::erase_if(pieces, [&](absl::string_view piece) {
    if (!IsOneOf(piece, kWrappers)) return false;
    if (found != nullptr) found->insert(std::string(piece));
    return true;
  });
  return absl::StrJoin(pieces, ".");
}

KeyPath WithoutWrappers(const KeyPath& path, std::set<std::string>* found) {
  KeyPath result;
  for (const KeyPath::Segment& segment : path.segments()) {
    const auto* text = std::get_if<std::string>(&segment);
    if (text == nullptr) {
      result.Append(segment);
      continue;
    }
    std::string rest = WithoutWrappers(*text, found);
    if (!rest.empty() || text->empty()) result.Append(std::move(rest));
  }
  // A name that is a wrapper's and nothing else is somebody's name.
  return result.empty() ? path : result;
}

KeyPath Below(const KeyPath& path, size_t depth) {
  return KeyPath(
      std::vector<KeyPath::Segment>(path.segments().begin() + static_cast<ptrdiff_t>(depth), path.segments().end()));
}

class Finder {
 public:
  explicit Finder(const CheckpointIndex& index) : index_(index) {}

  WeightsFinding Find(const KeyPath& root, int wrappings) {
    const Level level = LookAt(index_, root);
    if (level.empty() || IsOptimizerFile(level)) return {};
    const bool training = level.tells_of_training;

    std::vector<KeyPath::Segment> models, others;
    bool all_flat = true;
    for (const auto& [segment, group] : level.groups) {
      const std::string name = SegmentText(segment);
      if (!IsOneOf(name, kModelNames) && training && IsOneOf(name, kBesideParams)) continue;
      (IsOneOf(name, kModelNames) ? models : others).push_back(segment);
      all_flat &= group.flat;
    }
    // A state dict of PyTorch is flat, so what holds one is a wrapping; a tree of Flax may have a module called "model".
    const bool only_params = models.size() == 1 && others.empty() && !level.lone && SegmentText(models[0]) == "params";
    if (!models.empty() && (training || all_flat || only_params)) {
      // What else a training job has with tensors in it, an "amp" or "metrics", is no model.
      std::erase_if(others, [&](const KeyPath::Segment& segment) { return IsTrainingName(SegmentText(segment)); });
      if (models.size() == 1 && others.empty()) return UnderModel(root, models[0], level);
      models.insert(models.end(), others.begin(), others.end());
      return Several(root, models);
    }
    if (models.empty() && !level.lone) {
      if (others.empty()) return {};
      if (training && all_flat && others.size() > 1) return Several(root, others);
      if (training && all_flat) return Take(Child(root, others[0]), "training checkpoint");
      if (others.size() == 1 && wrappings < kMaxWrappings) {
        const KeyPath child = Child(root, others[0]);
        if (LookAt(index_, child).tells_of_training) return Find(child, wrappings + 1);
      }
    }
    return TopLevel(root, level);
  }

 private:
  // {"state": {0: {...}}, "param_groups": [...]}.
  static bool IsOptimizerFile(const Level& level) {
    return level.training_names.contains("param_groups") && level.groups.size() == 1 && !level.lone &&
           level.groups.contains(KeyPath::Segment(std::string("state")));
  }

  static KeyPath Child(const KeyPath& root, const KeyPath::Segment& segment) {
    KeyPath child = root;
    child.Append(segment);
    return child;
  }

  static WeightsFinding Several(const KeyPath& root, const std::vector<KeyPath::Segment>& segments) {
    WeightsFinding finding;
    for (const KeyPath::Segment& segment : segments) finding.candidates.push_back(Child(root, segment).ToString());
    return finding;
  }

  WeightsFinding UnderModel(const KeyPath& root, const KeyPath::Segment& segment, const Level& level) {
    const KeyPath model = Child(root, segment);
    const std::string name = SegmentText(segment);
    if (name == "params") {
      const Level inner = LookAt(index_, model);
      const KeyPath::Segment params = std::string("params");
      if (inner.groups.contains(params)) return Take(Child(model, params), "EasyLM train state");
      return Take(model, level.tells_of_training ? "Flax train state" : "Flax variables");
    }
    const bool lightning = name == "state_dict" && (level.training_names.contains("pytorch-lightning_version") || level.training_names.contains("loops"));
    if (lightning) return Take(model, "Lightning Trainer checkpoint", Under::kLightning);
    return Take(model, level.tells_of_training ? "training checkpoint" : "state dict");
  }

  // All that is there, but for what training keeps beside it.
  WeightsFinding TopLevel(const KeyPath& root, const Level& level) {
    if (level.tells_of_training) return Take(root, "model beside its training state", Under::kTraining, level.flat_training);
    return Take(root, level.groups.empty() ? "state dict" : "tree of weights");
  }

  // What else is at the level: nothing that matters here, the checkpoint of a LightningModule, entries to be skipped.
  enum class Under { kRoot, kLightning, kTraining };

  WeightsFinding Take(const KeyPath& root, std::string form, Under under = Under::kRoot, bool flat_training = false) {
    WeightsPlace place;
    place.root = root;
    place.form = std::move(form);
    const size_t depth = root.segments().size();
    std::set<std::string> wrappers;
    CommonFront front;
    for (size_t i = 0; i < index_.entries.size(); ++i) {
      const Entry& entry = index_.entries[i];
      if (entry.kind == EntryKind::kAsset || entry.path.segments().size() <= depth || !entry.path.StartsWith(root)) continue;
      if (!IsWeight(entry) && !IsMark(entry)) continue;
      const KeyPath name = Below(entry.path, depth);
      const bool lone = name.segments().size() == 1 && IsWeight(entry);
      if (under == Under::kTraining && IsBeside(SegmentText(name.segments()[0]), lone)) {
        if (lone) place.lone_others.push_back(SegmentText(name.segments()[0]));
        continue;
      }
      place.entries.push_back(i);
      if (!IsWeight(entry)) continue;
      front.Add(WithoutWrappers(name, &wrappers));
      if (entry.kind == EntryKind::kAlias) continue;
      ++place.tensors;
      place.parameters += ElementCount(entry.shape).value_or(0);
      place.bytes = CheckedAdd(place.bytes, entry.byte_size).value_or(place.bytes);
    }
    place.wrappers.assign(wrappers.begin(), wrappers.end());
    place.prefix = PrefixOf(front, under == Under::kLightning, flat_training);
    return {std::move(place), {}};
  }

  // What the first segments of all names begin with.
  class CommonFront {
   public:
    void Add(const KeyPath& name) {
      const auto* segment = std::get_if<std::string>(&name.segments()[0]);
      const absl::string_view text = segment == nullptr ? absl::string_view() : absl::string_view(*segment);
      if (first_) front_ = std::string(text);
      first_ = false;
      const size_t most = std::min(front_.size(), text.size());
      size_t same = 0;
      while (same < most && front_[same] == text[same]) ++same;
      front_.resize(same);
      // Something must be left of each.
      if (same == text.size() && same > 0) front_.pop_back();
    }
    bool BeginsWith(absl::string_view prefix) const { return absl::StartsWith(front_, prefix); }

   private:
    bool first_ = true;
    std::string front_;
  };

  static std::string PrefixOf(const CommonFront& front, bool lightning, bool flat_training) {
    std::string prefix;
    const auto take = [&](absl::string_view one) {
      const std::string longer = absl::StrCat(prefix, one);
      if (!front.BeginsWith(longer)) return false;
      prefix = longer;
      return true;
    };
    const auto take_one_of = [&](const auto& prefixes) { return std::any_of(prefixes.begin(), prefixes.end(), take); };
    if (flat_training) take_one_of(kFlatRoots);
    while (take_one_of(kWholePrefixes)) continue;
    if (lightning && take_one_of(kLightningAttributes)) {
      while (take_one_of(kWholePrefixes)) continue;
    }
    return prefix;
  }

  const CheckpointIndex& index_;
};

}  // namespace

KeyPath WeightsPlace::NameOf(const KeyPath& below_root) const {
  KeyPath name = wrappers.empty() ? below_root : WithoutWrappers(below_root, nullptr);
  if (prefix.empty() || name.empty()) return name;
  std::vector<KeyPath::Segment> segments = name.segments();
  if (auto* text = std::get_if<std::string>(&segments[0]); text != nullptr && absl::StartsWith(*text, prefix)) {
    text->erase(0, prefix.size());
  }
  return KeyPath(std::move(segments));
}

std::string WeightsPlace::Describe() const {
  std::string text = absl::StrCat(form, root.empty() ? "" : ": under ", root.ToString());
  std::vector<std::string> taken = wrappers;
  for (std::string& wrapper : taken) wrapper += '.';
  if (!prefix.empty()) taken.insert(taken.begin(), prefix);
  if (!taken.empty()) absl::StrAppend(&text, ", names without ", absl::StrJoin(taken, ", "));
  if (!lone_others.empty()) {
    const size_t shown = std::min(lone_others.size(), kOthersShown);
    absl::StrAppend(&text, "; not among them: ", absl::StrJoin(lone_others.begin(), lone_others.begin() + static_cast<ptrdiff_t>(shown), ", "),
                    shown < lone_others.size() ? absl::StrCat(" and ", lone_others.size() - shown, " more") : "");
  }
  return text;
}

WeightsFinding FindWeights(const CheckpointIndex& index, const KeyPath& root) { return Finder(index).Find(root, 0); }

absl::Status WeightsError(const WeightsFinding& finding, const KeyPath& root) {
  const std::string where = root.empty() ? "" : absl::StrCat(" below \"", root.ToString(), "\"");
  if (finding.candidates.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights only: nothing", where, " looks like the weights of a model; name the place with a root, or select entries"));
  }
  std::vector<std::string> shown = finding.candidates;
  const size_t count = shown.size();
  shown.resize(std::min(count, kCandidatesInMessage));
  return absl::InvalidArgumentError(absl::StrCat("weights only: ", count, " places", where, " could be meant: \"",
                                                 absl::StrJoin(shown, "\", \""), "\"",
                                                 count > kCandidatesInMessage ? ", ..." : "",
                                                 "; name one as the root, or leave the others out by a selection"));
}

}  // namespace cairn
