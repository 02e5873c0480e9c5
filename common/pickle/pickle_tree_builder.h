#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/pickle/pickle_tree.h"

namespace cairn {

// Makes a PickleTree for the reader, within a budget of memory. Once that is spent, exhausted() stays true and what
// the calls return means nothing.
class PickleTreeBuilder {
 public:
  enum TextFlags : uint8_t {
    kDecimal = PickleTree::kDecimal,
    kSurrogates = PickleTree::kSurrogates,
    kPython2Str = PickleTree::kPython2Str,
  };

  PickleTreeBuilder(std::string source_name, uint64_t begin, uint64_t max_memory_bytes);

  bool exhausted() const { return exhausted_; }
  // Takes from the budget what others allocate. False once it is spent.
  bool Charge(uint64_t bytes);
  // Of the nodes to come, from the pickle's begin.
  void set_offset(uint32_t offset) { offset_ = offset; }

  static constexpr PickleNodeId kNone = 0, kTrue = 1, kFalse = 2, kEmptyTuple = 3;

  PickleNodeId AddInt(int64_t value);
  PickleNodeId AddFloat(double value);
  // Memory for a text, to be filled and handed to AddText. Null if there is no more.
  char* AllocateText(size_t size) { return Allocate(size, 1); }
  PickleNodeId AddText(PickleKind kind, const char* data, size_t size, uint8_t flags = 0);
  PickleNodeId AddGlobal(absl::string_view module, absl::string_view name);
  // kList and all kinds after it.
  PickleNodeId Add(PickleKind kind, absl::Span<const PickleNodeId> children);
  PickleNodeId AddNewObjEx(PickleNodeId cls, PickleNodeId args, PickleNodeId kwargs);

  void Extend(PickleNodeId id, absl::Span<const PickleNodeId> children);
  // Adds to the last effect if that is of the same kind, except for kBuild.
  void AddEffect(PickleNodeId id, PickleKind effect, absl::Span<const PickleNodeId> items);

  // Only for reading.
  const PickleTree& tree() const { return tree_; }
  PickleTree Finish(PickleNodeId root, uint64_t end);

 private:
  PickleTree::Node& at(PickleNodeId id);
  PickleTree::Node* AddNode(PickleKind kind, PickleNodeId* id);
  char* Allocate(size_t size, size_t alignment);

  PickleTree tree_;
  uint64_t budget_;
  uint32_t offset_ = 0;
  bool exhausted_ = false;
  uint32_t capacity_ = 0;  // Nodes that the chunks have room for.
  char* free_ = nullptr;   // Within the last chunk of the arena.
  size_t free_size_ = 0;
  size_t next_chunk_ = 1024;
};

}  // namespace cairn
