#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "common/diff/compare.h"
#include "common/tensor/key_path.h"

namespace cairn {

// Where a parameter stands in a model: "model.layers.7" and "self_attn.q_proj.weight".
struct LayerName {
  std::string layer;  // Empty: the path has no number in it, so it belongs to no layer.
  std::string kind;
};
// The first number in the path is that of the layer: a segment that is a position or all digits, or, in a flat name, such a
// part between dots.
LayerName SplitLayer(const KeyPath& path);

// What has changed in one layer, or in one parameter kind of it.
struct LayerChange {
  uint64_t tensors = 0;
  uint64_t changed_tensors = 0;  // Added, removed, reshaped and recast ones included.
  uint64_t elements = 0;
  uint64_t changed_elements = 0;
  double max_absolute = 0;
  // L2 of the difference over L2 of the base.
  double RelativeNorm() const;

  double squares = 0, base_squares = 0;
  bool compared = false;  // Some tensor was read, or known to be equal.
};

// Changes by layer and parameter kind, for a summary and for a picture.
class LayerTable {
 public:
  void Add(const EntryComparison& entry);

  const std::vector<std::string>& layers() const { return layers_; }  // In the order of their numbers; "" last.
  const std::vector<std::string>& kinds() const { return kinds_; }    // In the order of appearance.
  const LayerChange* Find(const std::string& layer, const std::string& kind) const;
  LayerChange Total(const std::string& layer) const;
  // To be called after the last Add.
  void Sort();

 private:
  std::vector<std::string> layers_, kinds_;
  absl::flat_hash_set<std::string> seen_layers_, seen_kinds_;
  std::map<std::pair<std::string, std::string>, LayerChange> changes_;
};

}  // namespace cairn
