#include "common/format/colossalai/colossalai_optimizer.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/colossalai/colossalai_names.h"
#include "common/format/folder/json_events.h"
#include "common/format/folder/one_file_tree.h"
#include "common/format/safetensors/safetensors_reader.h"
#include "common/format/torch/torch_contents.h"
#include "common/format/torch/torch_reader.h"
#include "common/pickle/pickle_reader.h"

namespace cairn {
namespace {

KeyPath StatePath() { return KeyPath::Of({kColossalAiOptimizer, kColossalAiState}); }
KeyPath GroupsPath() { return KeyPath::Of({kColossalAiOptimizer, kColossalAiGroups}); }

Value EmptyDict() {
  Value value;
  value.kind = Value::Kind::kDict;
  return value;
}

absl::Status NoId(const std::string& where, const KeyPath& path) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", NameForMessage(path.ToString()),
                                                 ": expected states of an optimizer by the ids of parameters (0, 1, ...)"));
}

// [ID]/NAME of a shard -> optimizer/state/[ID]/NAME. Ids may be text.
absl::StatusOr<KeyPath> PlaceOfState(const std::string& where, const KeyPath& path) {
  const std::optional<int64_t> id = path.empty() ? std::nullopt : ColossalAiParameterId(path.segments()[0]);
  if (!id.has_value()) return NoId(where, path);
  KeyPath place = StatePath();
  place.Append(*id);
  for (size_t i = 1; i < path.segments().size(); ++i) place.Append(path.segments()[i]);
  return place;
}

// ["state.0.step", "param_groups"]
class StringListHandler final : public JsonHandler {
 public:
  explicit StringListHandler(uint64_t max_strings) : max_strings_(max_strings) {}
  absl::flat_hash_set<std::string> Take() && { return std::move(strings_); }

  absl::Status OnKey(uint32_t, std::string) override { return Refuse("an object"); }
  absl::Status OnStart(uint32_t depth, bool is_object) override {
    return depth == 0 && !is_object ? absl::OkStatus() : Refuse(is_object ? "an object" : "an array within it");
  }
  absl::Status OnEnd(uint32_t) override { return absl::OkStatus(); }
  absl::Status OnString(uint32_t depth, std::string value) override {
    if (depth != 1) return Refuse("a string");
    if (strings_.size() >= max_strings_) return absl::InvalidArgumentError(absl::StrCat("more names than the limit of ", max_strings_));
    strings_.insert(std::move(value));
    return absl::OkStatus();
  }
  absl::Status OnUnsigned(uint32_t, uint64_t) override { return Refuse("a number"); }
  absl::Status OnOther(uint32_t, absl::string_view what) override { return Refuse(what); }

 private:
  static absl::Status Refuse(absl::string_view found) {
    return absl::InvalidArgumentError(absl::StrCat("expected a list of names, found ", found));
  }
  const uint64_t max_strings_;
  absl::flat_hash_set<std::string> strings_;
};

absl::StatusOr<absl::flat_hash_set<std::string>> PickledNames(const CheckpointIndex& index, const std::string& where, const ReadLimits& limits) {
  const auto text = index.metadata.find(kColossalAiPickled);
  if (text == index.metadata.end()) return absl::flat_hash_set<std::string>();
  StringListHandler handler(limits.max_entries);
  const absl::Status parsed = ParseJson(text->second, {.max_depth = 4, .max_string_bytes = limits.max_name_bytes}, &handler);
  if (!parsed.ok()) return Annotate(parsed, absl::StrCat(where, ": metadata \"", kColossalAiPickled, "\""));
  return std::move(handler).Take();
}

// A tensor of bytes that is a pickle -> what the pickle says, at `at`.
absl::Status AddPickled(size_t part, size_t number, const KeyPath& at, const std::string& where, ColossalAiAssembly* assembly) {
  const Entry& entry = assembly->part(part).index().entries[number];
  const ReadLimits& limits = assembly->limits();
  const std::string what = absl::StrCat(where, ": tensor ", NameForMessage(entry.path.ToString()));
  if (entry.dtype != Dtype::kUint8 || entry.shape.size() != 1) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": the metadata says that it is a pickle; expected uint8 of one dimension, found ",
                                                   DtypeName(entry.dtype), " ", ShapeToString(entry.shape)));
  }
  if (entry.byte_size > limits.max_value_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": a pickle of ", entry.byte_size, " bytes, over the limit of ", limits.max_value_bytes));
  }
  std::string bytes(entry.byte_size, '\0');
  CAIRN_RETURN_IF_ERROR(assembly->part(part).ReadAt(number, 0, absl::MakeSpan(bytes)));
  PickleLimits pickle_limits;
  pickle_limits.max_text_bytes = limits.max_value_bytes;
  pickle_limits.max_memory_bytes = std::min(pickle_limits.max_memory_bytes, limits.max_tree_bytes);
  absl::StatusOr<PickleTree> tree = ReadPickle(bytes, what, pickle_limits);
  if (absl::IsResourceExhausted(tree.status()) || absl::IsUnimplemented(tree.status())) {
    return absl::InvalidArgumentError(tree.status().message());
  }
  if (!tree.ok()) return tree.status();
  CAIRN_ASSIGN_OR_RETURN(TorchContents contents, ReadTorchContentsAt(at, *tree, tree->root(), what, limits, assembly->budget()));
  for (Entry& value : contents.entries) {
    if (value.kind != EntryKind::kValue) {
      return absl::InvalidArgumentError(absl::StrCat(what, ": ", NameForMessage(value.path.ToString()),
                                                     ": a tensor whose bytes lie outside of the pickle, which has no outside"));
    }
    CAIRN_RETURN_IF_ERROR(assembly->AddValue(std::move(value.path), std::move(value.value)));
  }
  auto& left_out = assembly->index().left_out;
  left_out.insert(left_out.end(), contents.left_out.begin(), contents.left_out.end());
  return absl::OkStatus();
}

// "state.0.exp_avg" -> optimizer/state/[0]/exp_avg.
absl::StatusOr<KeyPath> PlaceOfFlat(const std::string& where, const KeyPath& path) {
  const std::string& name = std::get<std::string>(path.segments()[0]);
  if (name == kColossalAiGroups) return GroupsPath();
  const std::vector<std::string> parts = absl::StrSplit(name, absl::MaxSplits('.', 2));
  if (parts.size() != 3 || parts[0] != kColossalAiState || !ColossalAiParameterId(parts[1]).has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": tensor ", NameForMessage(name), ": expected \"state.ID.NAME\" or \"",
                                                   kColossalAiGroups, "\""));
  }
  return PlaceOfState(where, KeyPath::Of({parts[1], parts[2]}));
}

// `wanted` says by an entry's place whether it belongs here.
absl::Status AddStates(std::shared_ptr<const SourceTree> file, absl::FunctionRef<bool(const KeyPath&)> wanted, ColossalAiAssembly* assembly) {
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<CheckpointReader> reader, OpenSafetensors(file, assembly->limits()));
  CAIRN_ASSIGN_OR_RETURN(const absl::flat_hash_set<std::string> pickled, PickledNames(reader->index(), file->name(), assembly->limits()));
  const size_t part = assembly->AddPart(std::move(reader));
  const CheckpointIndex& index = assembly->part(part).index();
  for (size_t i = 0; i < index.entries.size(); ++i) {
    CAIRN_ASSIGN_OR_RETURN(KeyPath place, PlaceOfFlat(file->name(), index.entries[i].path));
    if (!wanted(place)) continue;
    if (pickled.contains(std::get<std::string>(index.entries[i].path.segments()[0]))) {
      CAIRN_RETURN_IF_ERROR(AddPickled(part, i, place, file->name(), assembly));
    } else {
      CAIRN_RETURN_IF_ERROR(assembly->AddEntry(part, i, std::move(place)));
    }
  }
  return absl::OkStatus();
}

// A list of dicts.
absl::Status AddGroups(std::shared_ptr<const SourceTree> folder, const std::string& name, ColossalAiAssembly* assembly) {
  const std::shared_ptr<const SourceTree> file = FileOfTree(folder, name);
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<CheckpointReader> groups, OpenTorch(file, assembly->limits()));
  const CheckpointIndex& index = groups->index();
  int64_t length = 0;
  const auto count = [&](const KeyPath& path) -> absl::Status {
    const auto* const position = path.empty() ? nullptr : std::get_if<int64_t>(&path.segments()[0]);
    if (position == nullptr || *position < 0) {
      return absl::InvalidArgumentError(absl::StrCat(file->name(), ": ", NameForMessage(path.ToString()), ": expected a list of parameter groups"));
    }
    length = std::max(length, *position + 1);
    return absl::OkStatus();
  };
  for (const Entry& entry : index.entries) CAIRN_RETURN_IF_ERROR(count(entry.path));
  for (const LeftOut& left_out : index.left_out) CAIRN_RETURN_IF_ERROR(count(left_out.path));
  Value mark;
  mark.kind = Value::Kind::kList;
  mark.length = static_cast<uint64_t>(length);
  CAIRN_RETURN_IF_ERROR(assembly->AddValue(GroupsPath(), std::move(mark)));
  return assembly->Add(std::move(groups), "", [](const KeyPath& path) {
    return std::optional<KeyPath>(Below({kColossalAiOptimizer, kColossalAiGroups}, path));
  });
}

}  // namespace

absl::Status AddOptimizerShards(std::shared_ptr<const SourceTree> folder, const WeightIndex& index, ColossalAiAssembly* assembly) {
  // The index names ids as text; which shard has which.
  std::vector<std::vector<int64_t>> ids(index.files.size());
  absl::flat_hash_map<int64_t, size_t> file_of;
  for (const std::string& name : index.order) {
    const std::optional<int64_t> id = ColossalAiParameterId(name);
    if (!id.has_value()) return NoId(assembly->name(), KeyPath::Of({name}));
    const size_t file = index.weights.at(name);
    if (!file_of.emplace(*id, file).second) {
      return absl::InvalidArgumentError(absl::StrCat(assembly->name(), ": the index has the states of parameter ", *id, " twice"));
    }
    ids[file].push_back(*id);
  }
  std::vector<size_t> files(index.files.size());
  for (size_t i = 0; i < files.size(); ++i) files[i] = i;
  // As ColossalAI does: the index of a pipeline has its stages in no order.
  std::sort(files.begin(), files.end(), [&](size_t a, size_t b) { return index.files[a] < index.files[b]; });
  bool any = false;
  for (const size_t number : files) {
    const std::string& name = index.files[number];
    const std::shared_ptr<const SourceTree> file = FileOfTree(folder, name);
    absl::flat_hash_set<int64_t> found;
    // A copy of what the index places elsewhere is not meant; what it does not know is kept.
    const auto wanted = [&](const KeyPath& path) {
      const int64_t id = std::get<int64_t>(path.segments()[2]);
      const auto expected = file_of.find(id);
      if (expected != file_of.end() && expected->second != number) return false;
      found.insert(id);
      return true;
    };
    const bool flat = absl::EndsWith(name, ".safetensors");
    if (flat) {
      CAIRN_RETURN_IF_ERROR(AddStates(
          file, [&](const KeyPath& path) { return path.segments().size() > 2 && wanted(path); }, assembly));
    } else {
      CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<CheckpointReader> shard, OpenTorch(file, assembly->limits()));
      CAIRN_RETURN_IF_ERROR(assembly->Add(std::move(shard), "", [&](const KeyPath& path) -> absl::StatusOr<std::optional<KeyPath>> {
        CAIRN_ASSIGN_OR_RETURN(KeyPath place, PlaceOfState(file->name(), path));
        if (!wanted(place)) return std::nullopt;
        return place;
      }));
    }
    any |= !found.empty();
    for (const int64_t id : ids[number]) {
      if (found.contains(id)) continue;
      if (!flat) {
        return absl::InvalidArgumentError(absl::StrCat(assembly->name(), ": the index places the states of parameter ", id, " in ",
                                                       NameForMessage(name), ", which does not hold them"));
      }
      // A dict without tensors leaves no trace in that layout.
      KeyPath path = StatePath();
      path.Append(id);
      CAIRN_RETURN_IF_ERROR(assembly->AddValue(std::move(path), EmptyDict()));
      any = true;
    }
  }
  if (!any) CAIRN_RETURN_IF_ERROR(assembly->AddValue(StatePath(), EmptyDict()));
  const auto groups = index.texts.find(kColossalAiGroups);
  if (groups == index.texts.end()) {
    return absl::InvalidArgumentError(absl::StrCat(assembly->name(), ": the index names no file of parameter groups; expected \"", kColossalAiGroups,
                                                   "\" in its metadata"));
  }
  return AddGroups(folder, groups->second, assembly);
}

absl::Status AddOptimizerFile(std::shared_ptr<const SourceTree> file, ColossalAiAssembly* assembly) {
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> source, file->Open(""));
  if (LooksLikeColossalAiStates(*source)) {
    bool any = false;
    CAIRN_RETURN_IF_ERROR(AddStates(
        file, [&](const KeyPath& path) { any |= path.segments().size() > 2; return true; }, assembly));
    return any ? absl::OkStatus() : assembly->AddValue(StatePath(), EmptyDict());
  }
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<CheckpointReader> all, OpenTorch(file, assembly->limits()));
  return assembly->Add(std::move(all), "", [&](const KeyPath& path) -> absl::StatusOr<std::optional<KeyPath>> {
    const auto* const part = path.empty() ? nullptr : std::get_if<std::string>(&path.segments()[0]);
    if (part == nullptr || (*part != kColossalAiState && *part != kColossalAiGroups)) {
      return absl::InvalidArgumentError(absl::StrCat(file->name(), ": ", NameForMessage(path.ToString()),
                                                     ": expected the states of an optimizer, \"state\" and \"param_groups\""));
    }
    if (*part == kColossalAiGroups || path.segments().size() == 1) return Below({kColossalAiOptimizer}, path);
    CAIRN_ASSIGN_OR_RETURN(KeyPath place, PlaceOfState(file->name(), KeyPath({path.segments().begin() + 1, path.segments().end()})));
    return place;
  });
}

}  // namespace cairn
