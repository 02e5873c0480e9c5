#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/tensor/checkpoint_index.h"

namespace cairn {

// The tree in which entries lie, for a file that is nested maps: which headers and keys stand before each leaf.
class FlaxLayout {
 public:
  struct Leaf {
    size_t entry = 0;
    bool in_list = false;  // Flax cuts no array below a list.
  };

  // The tree of these entries (tensors and values). A list whose items are entries becomes an array, a tuple a map
  // "0", "1", ... INVALID_ARGUMENT, naming the entry, for what cannot be such a tree.
  static absl::StatusOr<FlaxLayout> Of(const CheckpointIndex& index, absl::Span<const size_t> entries);

  // In the order of the file: that of the index, but for parts of one dict that do not lie side by side there.
  const std::vector<Leaf>& leaves() const { return leaves_; }
  // INVALID_ARGUMENT if names joined by '/' do not tell the leaves: Hugging Face's index of shards has such names.
  absl::Status CheckJoinedNames() const;
  std::string JoinedName(size_t leaf) const;

  // A file is a run of leaves, begun by StartFile. Prefix() is to be called for each of them in turn: the bytes
  // that come before it. For a file without leaves they are EmptyTree().
  void StartFile(size_t first_leaf, size_t end_leaf);
  std::string Prefix(size_t leaf);
  static std::string EmptyTree();

 private:
  enum class Kind : uint8_t { kMap, kList, kTuple };
  struct Node {
    KeyPath::Segment key;
    size_t parent = 0;
    Kind kind = Kind::kMap;
    uint64_t marked_length = 0;  // Of kList and kTuple.
    std::vector<size_t> children;
    uint64_t children_in_file = 0;
    const Entry* mark = nullptr;
  };

  size_t Child(size_t parent, const KeyPath::Segment& key);
  absl::Status CheckMarks();
  void NumberLeaves();
  // The nodes from the root to the leaf, both included.
  std::vector<size_t> PathTo(size_t leaf) const;
  // The key as the file has it, an integer or a str.
  KeyPath::Segment WrittenKey(size_t node) const;

  const CheckpointIndex* index_ = nullptr;
  std::vector<Node> nodes_;  // The root is the first.
  absl::flat_hash_map<std::pair<size_t, KeyPath::Segment>, size_t> by_key_;
  absl::flat_hash_map<size_t, size_t> entry_of_;  // Node of a leaf -> entry.
  std::vector<Leaf> leaves_;
  std::vector<size_t> leaf_nodes_;
  std::vector<size_t> open_;  // The path of the leaf before, in this file.
};

}  // namespace cairn
