#include "common/format/colossalai/colossalai_named.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/colossalai/colossalai_names.h"
#include "common/format/folder/json_events.h"

namespace cairn {
namespace {

constexpr char kParams[] = "params";
constexpr char kParamNames[] = "param_names";

bool HasText(const KeyPath& path, size_t at, absl::string_view text) {
  if (path.segments().size() <= at) return false;
  const auto* const segment = std::get_if<std::string>(&path.segments()[at]);
  return segment != nullptr && *segment == text;
}

const int64_t* PositionAt(const KeyPath& path, size_t at) {
  return path.segments().size() <= at ? nullptr : std::get_if<int64_t>(&path.segments()[at]);
}

bool IsState(const KeyPath& path) { return HasText(path, 0, kColossalAiOptimizer) && HasText(path, 1, kColossalAiState); }

// State of layers that no optimizer has, as torch names it.
bool IsBuffer(const Entry& tensor, absl::string_view name) {
  if (!IsFloat(tensor.dtype)) return true;
  return absl::EndsWith(name, "running_mean") || absl::EndsWith(name, "running_var") || absl::EndsWith(name, "inv_freq");
}

class Naming {
 public:
  Naming(const ModelOrder& order, const std::string& where, CheckpointIndex* index) : order_(order), where_(where), index_(index) {}

  absl::Status Run() {
    CAIRN_RETURN_IF_ERROR(ReadGroups());
    if (!NamesOfGroups()) CAIRN_RETURN_IF_ERROR(NamesOfModel());
    CAIRN_RETURN_IF_ERROR(CheckShapes());
    return Rename();
  }

 private:
  absl::Status Refuse(absl::string_view why) const {
    return absl::InvalidArgumentError(absl::StrCat(where_, ": states of the optimizer cannot be named: ", why,
                                                   "; read it as colossalai:: to have them by their ids"));
  }

  struct Group {
    std::map<int64_t, int64_t> ids;
    std::map<int64_t, std::string> names;
  };

  // optimizer/param_groups/[N]/params/[M] and /param_names/[M].
  absl::Status ReadGroups() {
    for (const Entry& entry : index_->entries) {
      const KeyPath& path = entry.path;
      if (entry.kind != EntryKind::kValue || path.segments().size() != 5 || !HasText(path, 0, kColossalAiOptimizer) ||
          !HasText(path, 1, kColossalAiGroups)) {
        continue;
      }
      const int64_t* const group = PositionAt(path, 2);
      const int64_t* const place = PositionAt(path, 4);
      if (group == nullptr || place == nullptr) continue;
      if (HasText(path, 3, kParams)) {
        if (entry.value->kind != Value::Kind::kInt) return Refuse(absl::StrCat(NameForMessage(path.ToString()), " is no id of a parameter"));
        groups_[*group].ids[*place] = entry.value->integer;
      } else if (HasText(path, 3, kParamNames) && entry.value->kind == Value::Kind::kString) {
        groups_[*group].names[*place] = entry.value->text;
      }
    }
    absl::flat_hash_set<int64_t> seen;
    for (const auto& [number, group] : groups_) {
      for (const auto& [place, id] : group.ids) {
        if (!seen.insert(id).second) return Refuse(absl::StrCat("parameter ", id, " is in the groups twice"));
        ids_.push_back(id);
      }
    }
    if (ids_.empty()) return Refuse("the checkpoint has no parameter groups");
    return absl::OkStatus();
  }

  bool NamesOfGroups() {
    for (const auto& [number, group] : groups_) {
      if (group.names.size() != group.ids.size()) return false;
      auto id = group.ids.begin();
      for (const auto& [place, name] : group.names) name_of_[(id++)->second] = KeyPath::Of({name});
    }
    return true;
  }

  absl::Status NamesOfModel() {
    if (!order_.unknown.empty()) return Refuse(order_.unknown);
    const size_t filled = static_cast<size_t>(
        std::count_if(groups_.begin(), groups_.end(), [](const auto& group) { return !group.second.ids.empty(); }));
    if (filled > 1) return Refuse(absl::StrCat("parameters are in ", filled, " groups without names, so that their order need not be the model's"));
    ReadModel();
    std::vector<KeyPath> candidates, parameters;
    for (const KeyPath& name : order_.names) {
      const auto tensor = tensor_of_.find(name);
      if (tensor == tensor_of_.end()) continue;
      candidates.push_back(name);
      if (!IsBuffer(*tensor->second, name.ToString())) parameters.push_back(name);
    }
    if (candidates.size() != ids_.size()) candidates = std::move(parameters);
    if (candidates.size() != ids_.size()) {
      return Refuse(absl::StrCat("the optimizer has ", ids_.size(), " parameters, and the model ", candidates.size(),
                                 " tensors that could be one"));
    }
    for (size_t i = 0; i < ids_.size(); ++i) name_of_[ids_[i]] = candidates[i];
    return absl::OkStatus();
  }

  void ReadModel() {
    for (const Entry& entry : index_->entries) {
      if (entry.kind != EntryKind::kTensor || !HasText(entry.path, 0, kColossalAiModel)) continue;
      tensor_of_[KeyPath({entry.path.segments().begin() + 1, entry.path.segments().end()})] = &entry;
    }
  }

  // Moments have the shape of their parameter; steps are scalars, and factored moments have fewer dimensions.
  absl::Status CheckShapes() {
    if (tensor_of_.empty()) ReadModel();
    absl::flat_hash_map<int64_t, std::pair<const Entry*, bool>> seen;  // A state of its rank; is one of its shape?
    for (const Entry& entry : index_->entries) {
      if (!IsState(entry.path) || entry.path.segments().size() < 3) continue;
      const int64_t* const id = PositionAt(entry.path, 2);
      const auto name = id == nullptr ? name_of_.end() : name_of_.find(*id);
      if (name == name_of_.end()) return Refuse(absl::StrCat(NameForMessage(entry.path.ToString()), " is of a parameter that no group has"));
      const auto tensor = tensor_of_.find(name->second);
      if (tensor == tensor_of_.end() || entry.kind != EntryKind::kTensor || entry.shape.empty() ||
          entry.shape.size() != tensor->second->shape.size()) {
        continue;
      }
      auto& [example, fits] = seen.try_emplace(*id, &entry, false).first->second;
      fits |= entry.shape == tensor->second->shape;
    }
    for (const int64_t id : ids_) {
      const auto state = seen.find(id);
      if (state == seen.end() || state->second.second) continue;
      const Entry& tensor = *tensor_of_.at(name_of_.at(id));
      return Refuse(absl::StrCat(NameForMessage(state->second.first->path.ToString()), " has shape ", ShapeToString(state->second.first->shape),
                                 ", and ", NameForMessage(tensor.path.ToString()), ", which stands at its place in the model, has ",
                                 ShapeToString(tensor.shape)));
    }
    return absl::OkStatus();
  }

  KeyPath Renamed(const KeyPath& path) const {
    const int64_t* const id = IsState(path) ? PositionAt(path, 2) : nullptr;
    if (id == nullptr || !name_of_.contains(*id)) return path;
    std::vector<KeyPath::Segment> segments = path.segments();
    segments[2] = NameOf(*id);
    return KeyPath(std::move(segments));
  }
  std::string NameOf(int64_t id) const { return name_of_.at(id).Joined("."); }

  absl::Status Rename() {
    absl::flat_hash_set<std::string> names;
    for (const int64_t id : ids_) {
      if (!names.insert(NameOf(id)).second) return Refuse(absl::StrCat("two parameters are named ", NameForMessage(NameOf(id))));
    }
    for (Entry& entry : index_->entries) {
      if (entry.kind == EntryKind::kValue && entry.path.segments().size() == 5 &&
          HasText(entry.path, 0, kColossalAiOptimizer) && HasText(entry.path, 1, kColossalAiGroups) &&
          HasText(entry.path, 3, kParams) && entry.value->kind == Value::Kind::kInt && name_of_.contains(entry.value->integer)) {
        entry.value = Value::String(NameOf(entry.value->integer));
      }
      entry.path = Renamed(entry.path);
      if (entry.kind == EntryKind::kAlias) entry.target = Renamed(entry.target);
    }
    for (LeftOut& left_out : index_->left_out) left_out.path = Renamed(left_out.path);
    return absl::OkStatus();
  }

  const ModelOrder& order_;
  const std::string& where_;
  CheckpointIndex* const index_;
  std::map<int64_t, Group> groups_;
  std::vector<int64_t> ids_;  // In the order of the groups.
  absl::flat_hash_map<KeyPath, const Entry*> tensor_of_;  // The model's.
  absl::flat_hash_map<int64_t, KeyPath> name_of_;
};

}  // namespace

absl::Status NameOptimizerStates(const ModelOrder& order, const std::string& where, CheckpointIndex* index) {
  return Naming(order, where, index).Run();
}

}  // namespace cairn
