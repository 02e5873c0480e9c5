#include "common/format/flax/flax_layout.h"

#include <algorithm>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/format/flax_msgpack/flax_codes.h"
#include "common/format/flax_msgpack/msgpack_emit.h"

namespace cairn {
namespace {

constexpr size_t kRoot = 0;
constexpr size_t kMaxDepth = 64;  // What ReadLimits lets through.

bool IsMark(const Entry& entry) {
  return entry.kind == EntryKind::kValue && entry.value->length > 0 && entry.value->items.empty() &&
         (entry.value->kind == Value::Kind::kList || entry.value->kind == Value::Kind::kTuple);
}

absl::Status Refuse(const Entry& entry, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("entry \"", entry.path.ToString(), "\": ", why));
}

absl::Status CheckPath(const Entry& entry) {
  if (entry.path.segments().size() > kMaxDepth) {
    return Refuse(entry,
                  absl::StrCat("a path of ", entry.path.segments().size(), " levels, expected at most ", kMaxDepth));
  }
  for (const KeyPath::Segment& segment : entry.path.segments()) {
    const auto* text = std::get_if<std::string>(&segment);
    if (text == nullptr) continue;
    if (!IsUtf8(*text)) return Refuse(entry, "a key that is no UTF-8, which msgpack cannot hold; rename it");
    if (*text == kFlaxChunkedMark) {
      return Refuse(entry, absl::StrCat("the key \"", *text, "\" marks chunked arrays in Flax files; rename it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

size_t FlaxLayout::Child(size_t parent, const KeyPath::Segment& key) {
  const auto [found, is_new] = by_key_.try_emplace({parent, key}, nodes_.size());
  if (is_new) {
    nodes_[parent].children.push_back(nodes_.size());
    nodes_.push_back({.key = key, .parent = parent});
  }
  return found->second;
}

absl::StatusOr<FlaxLayout> FlaxLayout::Of(const CheckpointIndex& index, absl::Span<const size_t> entries) {
  FlaxLayout layout;
  layout.index_ = &index;
  layout.nodes_.emplace_back();
  for (const size_t i : entries) {
    const Entry& entry = index.entries[i];
    CAIRN_RETURN_IF_ERROR(CheckPath(entry));
    size_t node = kRoot;
    for (const KeyPath::Segment& segment : entry.path.segments()) node = layout.Child(node, segment);
    if (IsMark(entry)) {
      // The root of a file is a map, whatever it was.
      const bool is_list = entry.value->kind == Value::Kind::kList && node != kRoot;
      layout.nodes_[node].kind = is_list ? Kind::kList : Kind::kTuple;
      layout.nodes_[node].marked_length = entry.value->length;
      layout.nodes_[node].mark = &entry;
      continue;
    }
    if (node == kRoot) return Refuse(entry, "a leaf without a name, expected a tree; give it a key");
    layout.entry_of_[node] = i;
  }
  CAIRN_RETURN_IF_ERROR(layout.CheckMarks());
  layout.NumberLeaves();
  return layout;
}

// Items are written by position, so all of them must be there, and nothing else.
absl::Status FlaxLayout::CheckMarks() {
  for (Node& node : nodes_) {
    if (node.kind == Kind::kMap) continue;
    std::sort(node.children.begin(), node.children.end(),
              [&](size_t a, size_t b) { return nodes_[a].key < nodes_[b].key; });
    bool whole = node.children.size() == node.marked_length;
    for (size_t i = 0; whole && i < node.children.size(); ++i) {
      const auto* position = std::get_if<int64_t>(&nodes_[node.children[i]].key);
      whole = position != nullptr && *position == static_cast<int64_t>(i);
    }
    if (whole) continue;
    return Refuse(*node.mark,
                  absl::StrCat("a ", node.kind == Kind::kList ? "list" : "tuple", " of ", node.marked_length,
                               " items, but its parts are not the positions from 0 on; select all of them or none"));
  }
  return absl::OkStatus();
}

void FlaxLayout::NumberLeaves() {
  struct Visit {
    size_t node;
    bool in_list;
  };
  std::vector<Visit> to_visit = {{kRoot, false}};
  while (!to_visit.empty()) {
    const Visit visit = to_visit.back();
    to_visit.pop_back();
    const Node& node = nodes_[visit.node];
    if (const auto entry = entry_of_.find(visit.node); entry != entry_of_.end()) {
      leaves_.push_back({entry->second, visit.in_list});
      leaf_nodes_.push_back(visit.node);
    }
    for (auto child = node.children.rbegin(); child != node.children.rend(); ++child) {
      to_visit.push_back({*child, visit.in_list || node.kind == Kind::kList});
    }
  }
}

std::vector<size_t> FlaxLayout::PathTo(size_t leaf) const {
  std::vector<size_t> path;
  for (size_t node = leaf_nodes_[leaf]; node != kRoot; node = nodes_[node].parent) path.push_back(node);
  path.push_back(kRoot);
  std::reverse(path.begin(), path.end());
  return path;
}

KeyPath::Segment FlaxLayout::WrittenKey(size_t node) const {
  const Node& found = nodes_[node];
  if (nodes_[found.parent].kind != Kind::kTuple) return found.key;
  return absl::StrCat(std::get<int64_t>(found.key));
}

std::string FlaxLayout::JoinedName(size_t leaf) const {
  KeyPath path;
  for (const size_t node : PathTo(leaf)) {
    if (node != kRoot) path.Append(WrittenKey(node));
  }
  return path.Joined("/");
}

absl::Status FlaxLayout::CheckJoinedNames() const {
  constexpr absl::string_view kAdvice = "which an index of shards cannot name; write one file";
  for (size_t i = 0; i < leaves_.size(); ++i) {
    const Entry& entry = index_->entries[leaves_[i].entry];
    if (leaves_[i].in_list) return Refuse(entry, absl::StrCat("part of a list, ", kAdvice));
    for (const size_t node : PathTo(i)) {
      if (node == kRoot) continue;
      const KeyPath::Segment key = WrittenKey(node);
      const auto* text = std::get_if<std::string>(&key);
      if (text == nullptr) return Refuse(entry, absl::StrCat("an integer key, ", kAdvice));
      if (absl::StrContains(*text, '/')) return Refuse(entry, absl::StrCat("a key with a '/', ", kAdvice));
    }
  }
  return absl::OkStatus();
}

void FlaxLayout::StartFile(size_t first_leaf, size_t end_leaf) {
  open_.clear();
  for (Node& node : nodes_) node.children_in_file = 0;
  std::vector<size_t> before;
  for (size_t i = first_leaf; i < end_leaf; ++i) {
    std::vector<size_t> path = PathTo(i);
    // Leaves come in the tree's own order, so what they do not share with the one before is new.
    size_t shared = 0;
    while (shared < before.size() && before[shared] == path[shared]) ++shared;
    for (size_t k = std::max<size_t>(shared, 1); k < path.size(); ++k) ++nodes_[path[k - 1]].children_in_file;
    before = std::move(path);
  }
}

std::string FlaxLayout::Prefix(size_t leaf) {
  std::string bytes;
  MsgpackEmitter emit(&bytes);
  std::vector<size_t> path = PathTo(leaf);
  size_t shared = 0;
  while (shared < open_.size() && open_[shared] == path[shared]) ++shared;
  for (size_t k = shared; k < path.size(); ++k) {
    const Node& node = nodes_[path[k]];
    if (path[k] != kRoot && nodes_[node.parent].kind != Kind::kList) {
      const KeyPath::Segment key = WrittenKey(path[k]);
      if (const auto* text = std::get_if<std::string>(&key)) {
        emit.Str(*text);
      } else {
        emit.Int(std::get<int64_t>(key));
      }
    }
    if (k + 1 == path.size()) break;
    if (node.kind == Kind::kList) {
      emit.ArrayHeader(node.children_in_file);
    } else {
      emit.MapHeader(node.children_in_file);
    }
  }
  open_ = std::move(path);
  return bytes;
}

std::string FlaxLayout::EmptyTree() {
  std::string bytes;
  MsgpackEmitter(&bytes).MapHeader(0);
  return bytes;
}

}  // namespace cairn
