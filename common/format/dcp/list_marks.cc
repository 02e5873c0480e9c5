#include "common/format/dcp/list_marks.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/folder/json_events.h"

namespace cairn {
namespace {

struct Node {
  bool has_names = false;
  bool marked = false;
  std::vector<int64_t> positions;
};

class Marker {
 public:
  explicit Marker(uint64_t max_entries) : max_entries_(max_entries) { nodes_.emplace_back(); }

  void Add(const KeyPath& path) {
    size_t node = 0;
    for (const KeyPath::Segment& segment : path.segments()) {
      const auto [child, is_new] = children_.try_emplace(std::make_pair(node, segment), nodes_.size());
      if (is_new) {
        nodes_.emplace_back();
        if (const auto* position = std::get_if<int64_t>(&segment)) {
          nodes_[node].positions.push_back(*position);
        } else {
          nodes_[node].has_names = true;
        }
      }
      node = child->second;
    }
  }

  // The root has no entry of its own.
  absl::StatusOr<std::vector<Entry>> Marks(const KeyPath& path) {
    std::vector<Entry> marks;
    KeyPath prefix;
    size_t number = 0;
    for (const KeyPath::Segment& segment : path.segments()) {
      Node& node = nodes_[number];
      if (number != 0 && !node.marked && !node.has_names && !node.positions.empty())
        CAIRN_RETURN_IF_ERROR(Mark(prefix, node, &marks));
      number = children_.at(std::make_pair(number, segment));
      prefix.Append(segment);
    }
    return marks;
  }

 private:
  absl::Status Mark(const KeyPath& path, Node& node, std::vector<Entry>* marks) {
    node.marked = true;
    std::sort(node.positions.begin(), node.positions.end());
    if (node.positions.front() < 0) return absl::OkStatus();  // A dict, then.
    const uint64_t length = static_cast<uint64_t>(node.positions.back()) + 1;
    missing_ += length - node.positions.size();
    if (missing_ > max_entries_) {
      return absl::InvalidArgumentError(absl::StrCat("the list ", NameForMessage(path.ToString()), " has item ",
                                                     length - 1, " and ", node.positions.size() - 1,
                                                     " others, which is over the limit of ", max_entries_, " entries"));
    }
    Value mark;
    mark.kind = Value::Kind::kList;
    mark.length = length;
    marks->push_back(Entry::OfValue(path, std::move(mark)));
    size_t next = 0;
    for (uint64_t i = 0; i < length; ++i) {
      if (static_cast<uint64_t>(node.positions[next]) == i) {
        ++next;
        continue;
      }
      KeyPath hole = path;
      hole.Append(static_cast<int64_t>(i));
      marks->push_back(Entry::OfValue(std::move(hole), Value::None()));
    }
    return absl::OkStatus();
  }

  const uint64_t max_entries_;
  std::vector<Node> nodes_;
  absl::flat_hash_map<std::pair<size_t, KeyPath::Segment>, size_t> children_;
  uint64_t missing_ = 0;
};

bool HasPosition(const KeyPath& path) {
  return std::any_of(path.segments().begin(), path.segments().end(),
                     [](const KeyPath::Segment& segment) { return std::holds_alternative<int64_t>(segment); });
}

}  // namespace

absl::StatusOr<std::vector<std::vector<Entry>>> MarkLists(absl::Span<const KeyPath* const> paths,
                                                          uint64_t max_entries) {
  std::vector<std::vector<Entry>> marks(paths.size());
  if (std::none_of(paths.begin(), paths.end(), [](const KeyPath* path) { return HasPosition(*path); })) return marks;
  Marker marker(max_entries);
  for (const KeyPath* path : paths) marker.Add(*path);
  for (size_t i = 0; i < paths.size(); ++i) {
    if (!HasPosition(*paths[i])) continue;
    CAIRN_ASSIGN_OR_RETURN(marks[i], marker.Marks(*paths[i]));
  }
  return marks;
}

}  // namespace cairn
