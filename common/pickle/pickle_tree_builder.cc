#include "common/pickle/pickle_tree_builder.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

namespace cairn {
namespace {

constexpr size_t kBiggestChunk = 1u << 20;

}  // namespace

PickleTreeBuilder::PickleTreeBuilder(std::string source_name, uint64_t begin, uint64_t max_memory_bytes)
    : budget_(max_memory_bytes) {
  tree_.source_name_ = std::move(source_name);
  tree_.begin_ = begin;
  PickleNodeId id;
  for (const auto& [kind, number] :
       {std::pair(PickleKind::kNone, 0), std::pair(PickleKind::kBool, 1), std::pair(PickleKind::kBool, 0)}) {
    if (PickleTree::Node* node = AddNode(kind, &id); node != nullptr) node->integer = number;
  }
  Add(PickleKind::kTuple, {});
}

bool PickleTreeBuilder::Charge(uint64_t bytes) {
  if (bytes > budget_) {
    exhausted_ = true;
    return false;
  }
  budget_ -= bytes;
  return true;
}

PickleTree::Node& PickleTreeBuilder::at(PickleNodeId id) {
  const auto [chunk, index] = PickleTree::Locate(id);
  return tree_.chunks_[chunk][index];
}

PickleTree::Node* PickleTreeBuilder::AddNode(PickleKind kind, PickleNodeId* id) {
  *id = kNone;
  if (exhausted_ || !Charge(sizeof(PickleTree::Node))) return nullptr;
  if (tree_.size_ == capacity_) {
    const uint64_t more = uint64_t{PickleTree::kFirstChunk} << tree_.chunks_.size();
    if (capacity_ + more > std::numeric_limits<uint32_t>::max()) {
      exhausted_ = true;
      return nullptr;
    }
    // Not initialised, so that pages which no node reaches stay untouched.
    tree_.chunks_.emplace_back(new PickleTree::Node[more]);
    capacity_ += static_cast<uint32_t>(more);
  }
  *id = tree_.size_++;
  PickleTree::Node& node = at(*id);
  node.kind = kind;
  node.flags = 0;
  node.offset = offset_;
  return &node;
}

char* PickleTreeBuilder::Allocate(size_t size, size_t alignment) {
  static char nothing = 0;
  if (size == 0 && !exhausted_) return &nothing;
  const size_t padding = free_size_ == 0 ? 0 : -reinterpret_cast<uintptr_t>(free_) & (alignment - 1);
  if (exhausted_ || !Charge(size + padding)) return nullptr;
  if (size + padding <= free_size_) {
    char* const data = free_ + padding;
    free_ = data + size;
    free_size_ -= size + padding;
    return data;
  }
  if (size > next_chunk_ / 4) {  // On its own; what is free stays so.
    tree_.arena_.emplace_back(new char[size]);
    return tree_.arena_.back().get();
  }
  tree_.arena_.emplace_back(new char[next_chunk_]);
  char* const data = tree_.arena_.back().get();
  free_ = data + size;
  free_size_ = next_chunk_ - size;
  next_chunk_ = std::min(2 * next_chunk_, kBiggestChunk);
  return data;
}

PickleNodeId PickleTreeBuilder::AddInt(int64_t value) {
  PickleNodeId id;
  if (PickleTree::Node* node = AddNode(PickleKind::kInt, &id); node != nullptr) node->integer = value;
  return id;
}

PickleNodeId PickleTreeBuilder::AddFloat(double value) {
  PickleNodeId id;
  if (PickleTree::Node* node = AddNode(PickleKind::kFloat, &id); node != nullptr) node->number = value;
  return id;
}

PickleNodeId PickleTreeBuilder::AddText(PickleKind kind, const char* data, size_t size, uint8_t flags) {
  PickleNodeId id;
  if (PickleTree::Node* node = AddNode(kind, &id); node != nullptr) {
    node->flags = flags;
    node->text = {data, size};
  }
  return id;
}

PickleNodeId PickleTreeBuilder::AddGlobal(absl::string_view module, absl::string_view name) {
  constexpr size_t kMax = std::numeric_limits<uint32_t>::max();
  if (module.size() > kMax || name.size() > kMax) exhausted_ = true;
  PickleNodeId id;
  PickleTree::Node* const node = AddNode(PickleKind::kGlobal, &id);
  char* const data = node == nullptr ? nullptr : Allocate(module.size() + name.size(), 1);
  if (data == nullptr) return id;
  std::copy(module.begin(), module.end(), data);
  std::copy(name.begin(), name.end(), data + module.size());
  node->global = {data, static_cast<uint32_t>(module.size()), static_cast<uint32_t>(name.size())};
  return id;
}

PickleNodeId PickleTreeBuilder::Add(PickleKind kind, absl::Span<const PickleNodeId> children) {
  PickleNodeId id;
  PickleTree::Node* const node = AddNode(kind, &id);
  if (node == nullptr) return id;
  node->block = {nullptr, 0, 0};
  Extend(id, children);
  return id;
}

PickleNodeId PickleTreeBuilder::AddNewObjEx(PickleNodeId cls, PickleNodeId args, PickleNodeId kwargs) {
  const PickleNodeId id = Add(PickleKind::kNewObj, {cls, args, kwargs});
  if (!exhausted_) at(id).flags |= PickleTree::kKwargs;
  return id;
}

void PickleTreeBuilder::Extend(PickleNodeId id, absl::Span<const PickleNodeId> children) {
  if (exhausted_ || children.empty()) return;
  PickleTree::Block& block = at(id).block;
  const uint64_t size = uint64_t{block.size} + children.size();
  if (size > block.capacity) {
    // The first run gets what it needs, since most containers have one; then by doubling, so that a list that grows
    // one by one is copied as often as a vector.
    const uint64_t capacity = block.capacity == 0 ? size : std::max<uint64_t>(size, 2 * uint64_t{block.capacity});
    if (capacity > std::numeric_limits<uint32_t>::max()) {
      exhausted_ = true;
      return;
    }
    auto* const data =
        reinterpret_cast<PickleNodeId*>(Allocate(capacity * sizeof(PickleNodeId), alignof(PickleNodeId)));
    if (data == nullptr) return;
    std::copy_n(block.data, block.size, data);
    block.data = data;
    block.capacity = static_cast<uint32_t>(capacity);
  }
  std::copy(children.begin(), children.end(), block.data + block.size);
  block.size = static_cast<uint32_t>(size);
}

void PickleTreeBuilder::AddEffect(PickleNodeId id, PickleKind effect, absl::Span<const PickleNodeId> items) {
  const absl::Span<const PickleNodeId> before = tree_.effects(id);
  if (effect != PickleKind::kBuild && !before.empty() && tree_.kind(before.back()) == effect) {
    Extend(before.back(), items);
  } else if (!items.empty()) {
    const PickleNodeId added = Add(effect, items);
    Extend(id, absl::MakeConstSpan(&added, 1));
  }
}

PickleTree PickleTreeBuilder::Finish(PickleNodeId root, uint64_t end) {
  tree_.root_ = root;
  tree_.end_ = end;
  return std::move(tree_);
}

}  // namespace cairn
