#include "common/format/colossalai/colossalai_lists.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/format/colossalai/colossalai_names.h"
#include "common/format/colossalai/colossalai_plan.h"
#include "common/format/folder/json_events.h"

namespace cairn {
namespace {

// What may be a list: everything, or something in each group.
struct Container {
  size_t first = 0;  // Its first entry.
  bool tensor = false;
  std::optional<size_t> own;  // The entry of the container itself.
  std::set<KeyPath::Segment> keys;
};

KeyPath Front(const KeyPath& path, size_t depth) {
  return KeyPath({path.segments().begin(), path.segments().begin() + static_cast<ptrdiff_t>(depth)});
}

bool IsListName(const KeyPath::Segment& segment) {
  return segment == KeyPath::Segment(std::string("params")) || segment == KeyPath::Segment(std::string("betas"));
}

// The path of every container that may be a list and that this one is, or lies in.
std::vector<size_t> DepthsOfContainers(const KeyPath& path) {
  std::vector<size_t> depths = {0};
  if (path.segments().size() >= 2 && IsListName(path.segments()[1])) depths.push_back(2);
  return depths;
}

bool IsSequence(const Value& value) { return value.kind == Value::Kind::kList || value.kind == Value::Kind::kTuple; }

bool IsEmptyDict(const Value& value) { return value.kind == Value::Kind::kDict && value.pairs.empty(); }

// Keys 0 to n-1, each once.
bool AreNumbers(const std::set<KeyPath::Segment>& keys) {
  std::vector<bool> seen(keys.size());
  for (const KeyPath::Segment& key : keys) {
    const std::optional<int64_t> number = ColossalAiParameterId(key);
    if (!number.has_value() || static_cast<uint64_t>(*number) >= seen.size() || seen[static_cast<size_t>(*number)]) return false;
    // "007" is a name.
    if (const auto* text = std::get_if<std::string>(&key); text != nullptr && *text != absl::StrCat(*number)) return false;
    seen[static_cast<size_t>(*number)] = true;
  }
  return true;
}

// A dict with the keys 0 to n-1 as a list; every other value as it is.
Value AsList(Value value) {
  if (value.kind != Value::Kind::kDict) return value;
  std::set<KeyPath::Segment> keys;
  for (const auto& [key, unused] : value.pairs) {
    if (key.kind == Value::Kind::kString) {
      keys.insert(key.text);
    } else if (key.kind == Value::Kind::kInt) {
      keys.insert(key.integer);
    }
  }
  if (keys.size() != value.pairs.size() || !AreNumbers(keys)) return value;
  Value list;
  list.kind = Value::Kind::kList;
  list.items.resize(value.pairs.size());
  for (auto& [key, item] : value.pairs) {
    const int64_t number = *ColossalAiParameterId(key.kind == Value::Kind::kInt ? KeyPath::Segment(key.integer) : KeyPath::Segment(key.text));
    list.items[static_cast<size_t>(number)] = std::move(item);
  }
  return list;
}

Value GroupWithLists(Value group) {
  for (auto& [key, value] : group.pairs) {
    if (key.kind == Value::Kind::kString && IsListName(key.text)) value = AsList(std::move(value));
  }
  return group;
}

// What stands at that path as one value, whole groups or a list in one.
Value WithLists(const KeyPath& path, Value value) {
  const size_t depth = path.segments().size();
  if (depth == 2 && IsListName(path.segments()[1])) return AsList(std::move(value));
  if (depth == 1) return GroupWithLists(std::move(value));
  if (depth != 0) return value;
  value = AsList(std::move(value));
  for (Value& group : value.items) group = GroupWithLists(std::move(group));
  return value;
}

OptimizerEntry ListMark(KeyPath path, size_t length) {
  Value mark;
  mark.kind = Value::Kind::kList;
  mark.length = length;
  return {.number = ColossalAiFile::kOwnBytes, .path = std::move(path), .value = std::move(mark)};
}

}  // namespace

absl::StatusOr<std::vector<OptimizerEntry>> WithLists(const CheckpointIndex& index, std::vector<OptimizerEntry> groups) {
  for (OptimizerEntry& entry : groups) {
    const Entry& source = index.entries[entry.number];
    if (source.kind != EntryKind::kValue || (source.value->items.empty() && source.value->pairs.empty())) continue;
    Value value = WithLists(entry.path, source.value);
    if (!(value == source.value)) entry.value = std::move(value);
  }
  std::map<KeyPath, Container> containers;
  for (size_t i = 0; i < groups.size(); ++i) {
    for (const size_t depth : DepthsOfContainers(groups[i].path)) {
      Container& container = containers.try_emplace(Front(groups[i].path, depth), Container{.first = i}).first->second;
      if (groups[i].path.segments().size() > depth) {
        container.keys.insert(groups[i].path.segments()[depth]);
      } else if (index.entries[groups[i].number].kind == EntryKind::kValue) {
        container.own = i;
      } else {
        container.tensor = true;
      }
    }
  }
  // An entry's own path says which list it is in: paths change last.
  std::set<KeyPath> made;
  for (const auto& [path, container] : containers) {
    const Value* own = nullptr;
    if (container.own.has_value()) {
      const OptimizerEntry& entry = groups[*container.own];
      own = entry.value.has_value() ? &**entry.value : &*index.entries[entry.number].value;
    }
    const bool list = own != nullptr && IsSequence(*own);
    const bool becomes = !list && !container.tensor && (own == nullptr || IsEmptyDict(*own)) && AreNumbers(container.keys);
    if (becomes) made.insert(path);
    if (!path.empty() || list || becomes) continue;
    std::string keys;
    if (!container.keys.empty()) keys = absl::StrCat(", found ", NameForMessage(KeyPath({*container.keys.rbegin()}).ToString()));
    return absl::InvalidArgumentError(
        absl::StrCat(kColossalAiOptimizer, "/", kColossalAiGroups, ": expected a list of parameter groups, or a dict with the keys 0, 1, ... that was one", keys));
  }
  std::vector<OptimizerEntry> result;
  for (size_t i = 0; i < groups.size(); ++i) {
    OptimizerEntry entry = std::move(groups[i]);
    const KeyPath path = entry.path;
    std::vector<KeyPath::Segment> segments = path.segments();
    for (const size_t depth : DepthsOfContainers(path)) {
      const auto list = made.find(Front(path, depth));
      if (list == made.end()) continue;
      const KeyPath front({segments.begin(), segments.begin() + static_cast<ptrdiff_t>(depth)});
      const Container& container = containers.at(*list);
      if (container.first == i) result.push_back(ListMark(front, container.keys.size()));
      if (segments.size() > depth) segments[depth] = *ColossalAiParameterId(segments[depth]);
    }
    // The empty dict that the mark stands for.
    if (made.contains(path)) continue;
    entry.path = KeyPath(std::move(segments));
    result.push_back(std::move(entry));
  }
  return result;
}

}  // namespace cairn
