#include "common/pickle/pickle_tree.h"

#include "absl/strings/str_cat.h"

namespace cairn {

uint32_t PickleTree::FixedChildren(const Node& node) {
  switch (node.kind) {
    case PickleKind::kReduce:
    case PickleKind::kInstance:
      return 2;
    case PickleKind::kNewObj:
      return (node.flags & kKwargs) != 0 ? 3 : 2;
    case PickleKind::kPersistentId:
      return 1;
    default:
      return 0;
  }
}

absl::Span<const PickleNodeId> PickleTree::items(PickleNodeId id) const {
  const Node& node = at(id);
  if (!HasBlock(node.kind) || FixedChildren(node) != 0) return {};
  return absl::MakeConstSpan(node.block.data, node.block.size);
}

absl::Span<const PickleNodeId> PickleTree::effects(PickleNodeId id) const {
  const Node& node = at(id);
  const uint32_t fixed = FixedChildren(node);
  if (fixed == 0) return {};
  return absl::MakeConstSpan(node.block.data + fixed, node.block.size - fixed);
}

absl::string_view PickleTree::module(PickleNodeId id) const {
  const GlobalName& global = at(id).global;
  return {global.data, global.module_size};
}

absl::string_view PickleTree::name(PickleNodeId id) const {
  const GlobalName& global = at(id).global;
  return {global.data + global.module_size, global.name_size};
}

bool PickleTree::IsGlobal(PickleNodeId id, absl::string_view module_name, absl::string_view global_name) const {
  return IsGlobal(id) && module(id) == module_name && name(id) == global_name;
}

bool PickleTree::IsStr(PickleNodeId id, absl::string_view expected) const { return IsStr(id) && text(id) == expected; }

bool PickleTree::IsObject(PickleNodeId id) const {
  const PickleKind k = kind(id);
  return k == PickleKind::kReduce || k == PickleKind::kNewObj || k == PickleKind::kInstance;
}

bool PickleTree::IsCallOf(PickleNodeId id, absl::string_view module_name, absl::string_view global_name) const {
  return kind(id) == PickleKind::kReduce && IsGlobal(callable(id), module_name, global_name);
}

std::string PickleNodeName(const PickleTree& tree, PickleNodeId id) {
  switch (tree.kind(id)) {
    case PickleKind::kNone:
      return "None";
    case PickleKind::kBool:
      return "bool";
    case PickleKind::kInt:
    case PickleKind::kBigInt:
      return "int";
    case PickleKind::kFloat:
      return "float";
    case PickleKind::kStr:
      return "str";
    case PickleKind::kBytes:
      return "bytes";
    case PickleKind::kByteArray:
      return "bytearray";
    case PickleKind::kList:
      return "list";
    case PickleKind::kTuple:
      return "tuple";
    case PickleKind::kDict:
      return "dict";
    case PickleKind::kSet:
      return "set";
    case PickleKind::kFrozenSet:
      return "frozenset";
    case PickleKind::kGlobal:
      return absl::StrCat(tree.module(id), ".", tree.name(id));
    case PickleKind::kReduce:
    case PickleKind::kNewObj:
    case PickleKind::kInstance: {
      const PickleNodeId callable = tree.callable(id);
      return tree.IsGlobal(callable) ? absl::StrCat("object of ", PickleNodeName(tree, callable)) : "object";
    }
    case PickleKind::kPersistentId:
      return "persistent id";
    case PickleKind::kAppendItems:
    case PickleKind::kSetItems:
    case PickleKind::kAddItems:
    case PickleKind::kBuild:
      return "effect";
  }
  return "node";
}

// Breadth first from the persistent ids, against the direction of the references.
PicklePersistentIds::PicklePersistentIds(const PickleTree& tree) : reached_(tree.size(), false) {
  const auto size = static_cast<PickleNodeId>(tree.size());
  std::vector<PickleNodeId> open;
  for (PickleNodeId id = 0; id < size; ++id) {
    if (tree.kind(id) != PickleKind::kPersistentId) continue;
    reached_[id] = true;
    open.push_back(id);
  }
  if (open.empty()) return;
  // parents[first[id]] to parents[first[id + 1]] are those of `id`.
  std::vector<size_t> first(size + size_t{1}, 0);
  for (PickleNodeId id = 0; id < size; ++id)
    tree.ForEachChild(id, [&](PickleNodeId child) { ++first[child + size_t{1}]; });
  for (size_t i = 1; i < first.size(); ++i) first[i] += first[i - 1];
  std::vector<PickleNodeId> parents(first.back());
  std::vector<size_t> next(first.begin(), first.end() - 1);
  for (PickleNodeId id = 0; id < size; ++id)
    tree.ForEachChild(id, [&](PickleNodeId child) { parents[next[child]++] = id; });
  while (!open.empty()) {
    const PickleNodeId id = open.back();
    open.pop_back();
    for (size_t i = first[id]; i < first[id + size_t{1}]; ++i) {
      if (reached_[parents[i]]) continue;
      reached_[parents[i]] = true;
      open.push_back(parents[i]);
    }
  }
}

}  // namespace cairn
