#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace cairn {

// A node of a PickleTree: an index below tree.size().
using PickleNodeId = uint32_t;

enum class PickleKind : uint8_t {
  kNone,
  kBool,
  kInt,     // Fits int64.
  kBigInt,  // Any other: see PickleTree::big_int_is_decimal().
  kFloat,
  kStr,    // UTF-8, in which lone surrogates may be encoded too: see has_surrogates().
  kBytes,  // Also a Python-2 str that is no UTF-8: see is_python2_str().
  kByteArray,
  kList,
  kTuple,
  kDict,
  kSet,
  kFrozenSet,
  kGlobal,        // module.name, by its name in Python 3.
  kReduce,        // callable(*args), and then its effects.
  kNewObj,        // class.__new__(class, *args, **kwargs), and then its effects.
  kInstance,      // Opcodes INST and OBJ: class(*args), or without args an instance that no __init__ has seen.
  kPersistentId,  // What lies outside of the pickle under that payload, such as a tensor's storage.

  // Effects: only in PickleTree::effects(), never anywhere else.
  kAppendItems,  // items(): what was appended.
  kSetItems,     // items(): key, value, key, value ...
  kAddItems,     // items(): what was added to a set-like.
  kBuild,        // items(): the one state.
};

// What a pickle says, without any of it being done: nodes that refer to each other by number. Nothing here imports,
// calls or creates anything. Comes from ReadPickle (pickle_reader.h) alone.
//
// Nodes may be shared (the same object in several places) and cyclic (a list that holds itself), so whoever follows
// them bounds depth and work: a shared node expanded at each of its places can take exponential time. Every cycle leads
// through the items of a list, dict or set or through an effect. Immutable once read; thread-safe.
class PickleTree {
 public:
  PickleTree() = default;
  PickleTree(PickleTree&&) = default;
  PickleTree& operator=(PickleTree&&) = default;

  PickleNodeId root() const { return root_; }
  size_t size() const { return size_; }
  // Of the source that it was read from: its name, where the pickle begins, and the byte after its STOP.
  const std::string& source_name() const { return source_name_; }
  uint64_t begin_offset() const { return begin_; }
  uint64_t end_offset() const { return end_; }

  PickleKind kind(PickleNodeId id) const { return at(id).kind; }
  // Where in the source the node's opcode lies. None, True, False and () are one node each, whose offset is the
  // pickle's.
  uint64_t offset(PickleNodeId id) const { return begin_ + at(id).offset; }

  bool boolean(PickleNodeId id) const { return at(id).integer != 0; }  // kBool.
  int64_t integer(PickleNodeId id) const { return at(id).integer; }    // kInt.
  double number(PickleNodeId id) const { return at(id).number; }       // kFloat.

  // kStr, kBytes, kByteArray; kBigInt: decimal text (`-` and digits) or two's complement, little-endian.
  absl::string_view text(PickleNodeId id) const { return {at(id).text.data, at(id).text.size}; }
  bool big_int_is_decimal(PickleNodeId id) const { return (at(id).flags & kDecimal) != 0; }
  // Not UTF-8 in the strict sense, for it holds code points D800 to DFFF.
  bool has_surrogates(PickleNodeId id) const { return (at(id).flags & kSurrogates) != 0; }
  // A str of Python 2, bytes or text as you like: kStr if it is UTF-8, otherwise kBytes.
  bool is_python2_str(PickleNodeId id) const { return (at(id).flags & kPython2Str) != 0; }

  // kList, kTuple, kSet, kFrozenSet; kDict and kSetItems: key, value, key, value ..., in order and with repeated keys
  // if the pickle repeats them (the last one counts); the other effects. Empty for all other kinds.
  absl::Span<const PickleNodeId> items(PickleNodeId id) const;

  absl::string_view module(PickleNodeId id) const;  // kGlobal.
  absl::string_view name(PickleNodeId id) const;    // kGlobal. May have dots (a class within a class).
  bool IsGlobal(PickleNodeId id) const { return kind(id) == PickleKind::kGlobal; }
  bool IsGlobal(PickleNodeId id, absl::string_view module, absl::string_view name) const;

  bool IsStr(PickleNodeId id) const { return kind(id) == PickleKind::kStr; }
  bool IsStr(PickleNodeId id, absl::string_view text) const;

  // kReduce, kNewObj, kInstance. args() is a kTuple.
  bool IsObject(PickleNodeId id) const;
  PickleNodeId callable(PickleNodeId id) const { return at(id).block.data[0]; }
  PickleNodeId args(PickleNodeId id) const { return at(id).block.data[1]; }
  // Shorthand: a kReduce whose callable is that global.
  bool IsCallOf(PickleNodeId id, absl::string_view module, absl::string_view name) const;
  // kNewObj with keywords (opcode NEWOBJ_EX): a kDict, at kwargs().
  bool has_kwargs(PickleNodeId id) const { return (at(id).flags & kKwargs) != 0; }
  PickleNodeId kwargs(PickleNodeId id) const { return at(id).block.data[2]; }
  // kPersistentId.
  PickleNodeId payload(PickleNodeId id) const { return at(id).block.data[0]; }
  // Objects and kPersistentId: what was done to it after it was made, in order. Runs of items are one effect.
  absl::Span<const PickleNodeId> effects(PickleNodeId id) const;

  // Calls `visit(child)` for every node that `id` refers to, effects included.
  template <typename Visit>
  void ForEachChild(PickleNodeId id, Visit visit) const {
    if (!HasBlock(kind(id))) return;
    const Block& block = at(id).block;
    for (uint32_t i = 0; i < block.size; ++i) visit(block.data[i]);
  }

 private:
  friend class PickleTreeBuilder;

  enum Flags : uint8_t { kDecimal = 1, kSurrogates = 2, kPython2Str = 4, kKwargs = 8 };
  struct Text {
    const char* data;
    size_t size;
  };
  struct GlobalName {
    const char* data;  // The module, then the name.
    uint32_t module_size;
    uint32_t name_size;
  };
  struct Block {
    PickleNodeId* data;
    uint32_t size;
    uint32_t capacity;
  };
  struct Node {
    PickleKind kind;
    uint8_t flags;
    uint32_t offset;  // From the pickle's begin.
    union {
      int64_t integer;
      double number;
      Text text;
      GlobalName global;
      Block block;
    };
  };
  static_assert(sizeof(Node) == 24);

  static bool HasBlock(PickleKind kind) { return kind >= PickleKind::kList && kind != PickleKind::kGlobal; }
  // Nodes before the effects.
  static uint32_t FixedChildren(const Node& node);

  // Chunk k holds 64 << k nodes: nothing moves when the tree grows, and a small tree is small.
  static constexpr uint32_t kFirstChunk = 64;
  static std::pair<uint32_t, uint32_t> Locate(PickleNodeId id) {
    const uint32_t chunk = 31u - static_cast<uint32_t>(__builtin_clz(id / kFirstChunk + 1));
    return {chunk, id - kFirstChunk * ((1u << chunk) - 1)};
  }
  const Node& at(PickleNodeId id) const {
    const auto [chunk, index] = Locate(id);
    return chunks_[chunk][index];
  }

  std::string source_name_;
  uint64_t begin_ = 0;
  uint64_t end_ = 0;
  PickleNodeId root_ = 0;
  uint32_t size_ = 0;
  std::vector<std::unique_ptr<Node[]>> chunks_;
  std::vector<std::unique_ptr<char[]>> arena_;  // Texts and blocks.
};

// "dict", "object of argparse.Namespace", "str": for messages.
std::string PickleNodeName(const PickleTree& tree, PickleNodeId id);

// For each node: does it lead to a persistent id? Made in one pass, linear in the size of the tree.
class PicklePersistentIds {
 public:
  explicit PicklePersistentIds(const PickleTree& tree);
  bool IsReachedFrom(PickleNodeId id) const { return reached_[id]; }

 private:
  std::vector<bool> reached_;
};

}  // namespace cairn
