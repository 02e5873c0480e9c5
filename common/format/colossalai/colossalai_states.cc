#include "common/format/colossalai/colossalai_states.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/format/colossalai/colossalai_lists.h"
#include "common/format/colossalai/colossalai_names.h"
#include "common/format/folder/json_events.h"
#include "common/format/torch/torch_pickle.h"

namespace cairn {
namespace {

KeyPath Tail(const KeyPath& path, size_t from) {
  return KeyPath({path.segments().begin() + static_cast<ptrdiff_t>(from), path.segments().end()});
}

class Planner {
 public:
  Planner(const CheckpointIndex& index, const OptimizerLayout& layout)
      : index_(index), layout_(layout), names_(ColossalAiNamesOf(ColossalAiPart::kOptimizer, layout.safetensors)) {}

  absl::StatusOr<OptimizerPlan> Plan(std::vector<OptimizerEntry> states, std::vector<OptimizerEntry> groups) {
    if (groups.empty()) {
      return absl::InvalidArgumentError("the optimizer has no param_groups: ColossalAI loads none without; expected optimizer/param_groups");
    }
    CAIRN_ASSIGN_OR_RETURN(groups, WithLists(index_, std::move(groups)));
    CAIRN_RETURN_IF_ERROR(NumberNames(groups));
    CAIRN_RETURN_IF_ERROR(Sort(std::move(states)));
    if (layout_.lone) {
      CAIRN_RETURN_IF_ERROR(MakeLoneFile(groups));
    } else {
      CAIRN_RETURN_IF_ERROR(CutIntoShards());
      AddGroups(groups, &plan_.files.emplace_back());
    }
    return std::move(plan_);
  }

 private:
  // All states of one parameter, which stay together.
  struct Parameter {
    std::vector<OptimizerEntry> entries;  // Paths begin after the id.
    uint64_t bytes = 0;
  };

  absl::Status Refuse(const OptimizerEntry& entry, absl::string_view why) const {
    return absl::InvalidArgumentError(absl::StrCat(NameForMessage(index_.entries[entry.number].path.ToString()), " ", why));
  }

  // [N]/params/[M]: a name becomes the number of its place among all.
  absl::Status NumberNames(const std::vector<OptimizerEntry>& groups) {
    std::map<std::pair<int64_t, int64_t>, const OptimizerEntry*> names;
    for (const OptimizerEntry& entry : groups) {
      if (entry.value.has_value()) continue;
      const auto& segments = entry.path.segments();
      const Entry& source = index_.entries[entry.number];
      if (segments.size() != 3 || segments[1] != KeyPath::Segment(std::string("params")) || source.kind != EntryKind::kValue ||
          source.value->kind != Value::Kind::kString) {
        continue;
      }
      const auto* const group = std::get_if<int64_t>(&segments[0]);
      const auto* const place = std::get_if<int64_t>(&segments[2]);
      if (group != nullptr && place != nullptr) names[{*group, *place}] = &entry;
    }
    for (const auto& [place, entry] : names) {
      const std::string& name = index_.entries[entry->number].value->text;
      if (!id_of_.emplace(name, static_cast<int64_t>(id_of_.size())).second) {
        return Refuse(*entry, absl::StrCat("is ", NameForMessage(name), ", which is in the groups twice"));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> IdOf(const OptimizerEntry& entry) const {
    const KeyPath::Segment& key = entry.path.segments()[0];
    if (!id_of_.empty()) {
      const auto* const name = std::get_if<std::string>(&key);
      const auto found = name == nullptr ? id_of_.end() : id_of_.find(*name);
      if (found != id_of_.end()) return found->second;
      return Refuse(entry, "is of a parameter that no group of the optimizer names");
    }
    const std::optional<int64_t> id = ColossalAiParameterId(key);
    if (id.has_value()) return *id;
    return Refuse(entry, "is of a parameter by a name, and the groups name none: expected ids, or names in optimizer/param_groups/[N]/params");
  }

  absl::Status Sort(std::vector<OptimizerEntry> states) {
    for (OptimizerEntry& entry : states) {
      const Entry& source = index_.entries[entry.number];
      if (entry.path.empty()) {
        if (source.kind == EntryKind::kValue && source.value->kind == Value::Kind::kDict && source.value->pairs.empty()) continue;
        return Refuse(entry, "stands in the place of all states; expected a dict of parameters");
      }
      CAIRN_ASSIGN_OR_RETURN(const int64_t id, IdOf(entry));
      const auto [place, is_new] = place_of_.try_emplace(id, parameters_.size());
      if (is_new) parameters_.push_back({id, {}});
      Parameter& parameter = parameters_[place->second].second;
      parameter.bytes += source.byte_size;
      parameter.entries.push_back({entry.number, Tail(entry.path, 1)});
    }
    return absl::OkStatus();
  }

  // The entry with its new path, and with its aliases' targets where they go.
  absl::StatusOr<Entry> Moved(const OptimizerEntry& entry, KeyPath path) const {
    Entry moved = index_.entries[entry.number];
    if (moved.kind == EntryKind::kAlias) return Refuse(entry, "is another name of a tensor, which states of optimizers cannot be");
    moved.path = std::move(path);
    return moved;
  }

  absl::Status AddParameter(int64_t id, const Parameter& parameter, bool below_state, ColossalAiFile* file) {
    if (layout_.safetensors) return AddFlat(id, parameter, file);
    for (const OptimizerEntry& entry : parameter.entries) {
      KeyPath path;
      if (below_state) path.Append(std::string(kColossalAiState));
      path.Append(id);
      for (const KeyPath::Segment& segment : entry.path.segments()) path.Append(segment);
      CAIRN_ASSIGN_OR_RETURN(Entry moved, Moved(entry, std::move(path)));
      file->Add(std::move(moved), entry.number);
    }
    return absl::OkStatus();
  }

  // Tensors as they are, everything else as a pickle.
  absl::Status AddFlat(int64_t id, const Parameter& parameter, ColossalAiFile* file) {
    for (size_t begin = 0; begin < parameter.entries.size();) {
      const OptimizerEntry& first = parameter.entries[begin];
      if (first.path.empty()) {  // A dict without states.
        ++begin;
        continue;
      }
      const auto* const name = std::get_if<std::string>(&first.path.segments()[0]);
      if (name == nullptr || !IsUtf8(*name)) return Refuse(first, "has a key that is no text: safetensors has names alone");
      if (name->find('.') != std::string::npos) return Refuse(first, "has a name with a dot, which ColossalAI would cut");
      const std::string key = absl::StrCat(kColossalAiState, ".", id, ".", *name);
      const Entry& source = index_.entries[first.number];
      if (source.kind == EntryKind::kTensor && first.path.segments().size() == 1) {
        CAIRN_ASSIGN_OR_RETURN(Entry moved, Moved(first, KeyPath::Of({key})));
        file->Add(std::move(moved), first.number);
        ++begin;
        continue;
      }
      size_t end = begin;
      std::vector<OptimizerEntry> members;
      for (; end < parameter.entries.size(); ++end) {
        const OptimizerEntry& entry = parameter.entries[end];
        if (entry.path.empty() || entry.path.segments()[0] != first.path.segments()[0]) break;
        members.push_back({entry.number, Tail(entry.path, 1)});
      }
      CAIRN_RETURN_IF_ERROR(AddPickled(key, members, file));
      begin = end;
    }
    return absl::OkStatus();
  }

  absl::Status AddPickled(const std::string& key, const std::vector<OptimizerEntry>& members, ColossalAiFile* file) {
    CheckpointIndex index;
    std::vector<size_t> entries;
    for (const OptimizerEntry& member : members) {
      if (!member.value.has_value() && index_.entries[member.number].kind != EntryKind::kValue) {
        return Refuse(member, "is a tensor within a container, which the layout of safetensors has no place for");
      }
      entries.push_back(entries.size());
      index.entries.push_back(Entry::OfValue(member.path, ValueOf(member)));
    }
    CAIRN_ASSIGN_OR_RETURN(TorchObject object, MakeTorchObject(index, entries, nullptr));
    const uint64_t size = object.pickle.size();
    file->AddBytes(Entry::Tensor(KeyPath::Of({key}), Dtype::kUint8, {static_cast<int64_t>(size)}, size), std::move(object.pickle));
    pickled_.push_back(key);
    return absl::OkStatus();
  }

  void FinishFlat(ColossalAiFile* file) {
    file->index.metadata["format"] = "pt";
    if (pickled_.empty()) return;
    file->index.metadata[kColossalAiPickled] =
        absl::StrCat("[", absl::StrJoin(pickled_, ", ", [](std::string* out, const std::string& key) { absl::StrAppend(out, JsonQuote(key)); }), "]");
    pickled_.clear();
  }

  absl::Status CutIntoShards() {
    plan_.index.name = names_.index;
    plan_.index.group = names_.group;
    std::optional<ColossalAiFile> file;
    uint64_t bytes = 0;
    const auto close = [&] {
      if (layout_.safetensors) FinishFlat(&*file);
      plan_.files.push_back(*std::move(file));
      file.reset();
      bytes = 0;
    };
    const auto open = [&] {
      file.emplace();
      file->name = names_.Shard(plan_.files.size());
      file->safetensors = layout_.safetensors;
    };
    open();
    for (const auto& [id, parameter] : parameters_) {
      if (bytes > 0 && parameter.bytes > layout_.max_shard_bytes - std::min(layout_.max_shard_bytes, bytes)) {
        close();
        open();
      }
      bytes += parameter.bytes;
      plan_.index.total_bytes += parameter.bytes;
      plan_.index.weights.emplace_back(absl::StrCat(id), file->name);
      CAIRN_RETURN_IF_ERROR(AddParameter(id, parameter, false, &*file));
    }
    close();
    return absl::OkStatus();
  }

  // Ids in the place of names.
  Value ValueOf(const OptimizerEntry& entry) const {
    if (entry.value.has_value()) return *entry.value;
    const Value& value = index_.entries[entry.number].value;
    const auto& segments = entry.path.segments();
    const bool param = segments.size() == 3 && segments[1] == KeyPath::Segment(std::string("params"));
    const auto id = param && value.kind == Value::Kind::kString ? id_of_.find(value.text) : id_of_.end();
    return id == id_of_.end() ? value : Value::Int(id->second);
  }

  void AddGroups(const std::vector<OptimizerEntry>& groups, ColossalAiFile* file) {
    file->name = names_.group;
    AddGroupsBelow(KeyPath(), groups, file);
  }

  void AddGroupsBelow(const KeyPath& root, const std::vector<OptimizerEntry>& groups, ColossalAiFile* file) {
    const auto below = [&](const KeyPath& path) {
      KeyPath moved = root;
      for (const KeyPath::Segment& segment : path.segments()) moved.Append(segment);
      return moved;
    };
    absl::flat_hash_map<KeyPath, KeyPath> moved_to;
    for (const OptimizerEntry& entry : groups) {
      if (!entry.value.has_value()) moved_to.emplace(index_.entries[entry.number].path, below(entry.path));
    }
    for (const OptimizerEntry& entry : groups) {
      if (entry.value.has_value()) {
        file->Add(Entry::OfValue(below(entry.path), *entry.value), ColossalAiFile::kOwnBytes);
        continue;
      }
      Entry moved = index_.entries[entry.number];
      moved.path = below(entry.path);
      if (moved.kind == EntryKind::kValue) moved.value = ValueOf(entry);
      if (moved.kind == EntryKind::kAlias) {
        if (const auto target = moved_to.find(moved.target); target != moved_to.end()) moved.target = target->second;
      }
      file->Add(std::move(moved), entry.number);
    }
  }

  absl::Status MakeLoneFile(const std::vector<OptimizerEntry>& groups) {
    ColossalAiFile& file = plan_.files.emplace_back();
    file.safetensors = layout_.safetensors;
    if (!layout_.safetensors && parameters_.empty()) {
      Value none;
      none.kind = Value::Kind::kDict;
      file.Add(Entry::OfValue(KeyPath::Of({kColossalAiState}), std::move(none)), ColossalAiFile::kOwnBytes);
    }
    for (const auto& [id, parameter] : parameters_) CAIRN_RETURN_IF_ERROR(AddParameter(id, parameter, true, &file));
    if (!layout_.safetensors) {
      AddGroupsBelow(KeyPath::Of({kColossalAiGroups}), groups, &file);
      return absl::OkStatus();
    }
    CAIRN_RETURN_IF_ERROR(AddPickled(kColossalAiGroups, groups, &file));
    FinishFlat(&file);
    return absl::OkStatus();
  }

  const CheckpointIndex& index_;
  const OptimizerLayout layout_;
  const ColossalAiNames names_;
  absl::flat_hash_map<std::string, int64_t> id_of_;  // Where parameters have names.
  std::vector<std::pair<int64_t, Parameter>> parameters_;
  absl::flat_hash_map<int64_t, size_t> place_of_;  // In parameters_.
  std::vector<std::string> pickled_;               // Of the file that is being planned.
  OptimizerPlan plan_;
};

}  // namespace

absl::StatusOr<OptimizerPlan> PlanOptimizer(const CheckpointIndex& index, std::vector<OptimizerEntry> states,
                                            std::vector<OptimizerEntry> groups, const OptimizerLayout& layout) {
  return Planner(index, layout).Plan(std::move(states), std::move(groups));
}

}  // namespace cairn
