#include "common/format/dcp/dcp_plan.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/format/dcp/dcp_names.h"
#include "common/format/folder/json_events.h"
#include "common/format/torch/torch_pickle.h"
#include "common/format/torch/torch_types.h"

namespace cairn {
namespace {

constexpr size_t kMaxShownProblems = 5;

std::string Shown(const KeyPath& path) { return NameForMessage(path.ToString()); }

bool IsMark(const Entry& entry) {
  return entry.kind == EntryKind::kValue && entry.value->length > 0 &&
         (entry.value->kind == Value::Kind::kList || entry.value->kind == Value::Kind::kTuple);
}

// The containers of the checkpoint, made from the paths of its leaves.
struct Node {
  std::optional<size_t> entry;  // A leaf.
  Value::Kind kind = Value::Kind::kDict;
  uint64_t length = 0;  // Of a list or tuple, as its mark says.
  std::vector<std::pair<KeyPath::Segment, size_t>> children;
};

class Planner {
 public:
  Planner(const CheckpointIndex& index, uint64_t max_chunk_bytes) : index_(index), max_chunk_bytes_(max_chunk_bytes) {}

  absl::Status Run() {
    MakeTree();
    for (const auto& [segment, child] : nodes_[0].children)
      CAIRN_RETURN_IF_ERROR(Flatten(child, KeyPath({segment}), {Name(segment)}));
    ResolveAliases();
    PutItemsInOrder();
    return absl::OkStatus();
  }

  DcpPlan Take() && { return std::move(plan_); }

 private:
  void Complain(const KeyPath& path, absl::string_view why) {
    if (++plan_.problem_count <= kMaxShownProblems) plan_.problems.push_back(absl::StrCat(Shown(path), " ", why));
  }

  // What has no place at all does not get into the tree.
  bool Fits(const Entry& entry) {
    if (entry.kind == EntryKind::kAsset) {
      if (!IsDcpName(entry.path.Joined("/"))) return true;
      Complain(entry.path, "is a file with a name that torch.distributed.checkpoint gives to its own");
      return false;
    }
    if (entry.path.empty()) {
      Complain(entry.path, "is the root of the tree: expected a name");
      return false;
    }
    for (const KeyPath::Segment& segment : entry.path.segments()) {
      const auto* name = std::get_if<std::string>(&segment);
      if (name == nullptr || IsUtf8(*name)) continue;
      Complain(entry.path, "has a name that is not UTF-8");
      return false;
    }
    if (entry.kind == EntryKind::kTensor && !TorchTypeNameOf(entry.dtype).has_value()) {
      Complain(entry.path,
               absl::StrCat("has dtype ", DtypeName(entry.dtype), ", which torch lacks: ",
                            IsFloat(entry.dtype) ? "cast it, for example to float32" : "write another format"));
      return false;
    }
    return true;
  }

  void MakeTree() {
    nodes_.emplace_back();
    for (size_t number = 0; number < index_.entries.size(); ++number) {
      const Entry& entry = index_.entries[number];
      if (!Fits(entry)) continue;
      if (entry.kind == EntryKind::kAsset) {
        plan_.assets.push_back(number);
        continue;
      }
      size_t node = 0;
      for (const KeyPath::Segment& segment : entry.path.segments()) node = Child(node, segment);
      if (IsMark(entry)) {
        nodes_[node].kind = entry.value->kind;
        nodes_[node].length = entry.value->length;
      } else {
        nodes_[node].entry = number;
      }
    }
    children_.clear();
  }

  size_t Child(size_t parent, const KeyPath::Segment& segment) {
    const auto [found, is_new] = children_.try_emplace(std::make_pair(parent, segment), nodes_.size());
    if (is_new) {
      nodes_.emplace_back();
      nodes_[parent].children.emplace_back(segment, found->second);
    }
    return found->second;
  }

  static std::string Name(const KeyPath::Segment& segment) {
    const auto* position = std::get_if<int64_t>(&segment);
    return position != nullptr ? absl::StrCat(*position) : std::get<std::string>(segment);
  }

  // A list is taken apart if a tensor or a dict is in it, or in a list in it.
  bool IsValue(const Node& node) const {
    if (node.kind == Value::Kind::kTuple) return true;
    if (node.entry.has_value()) {
      const Entry& entry = index_.entries[*node.entry];
      return entry.kind == EntryKind::kValue && entry.value->kind != Value::Kind::kDict;
    }
    if (node.kind == Value::Kind::kDict) return false;
    return std::all_of(node.children.begin(), node.children.end(),
                       [&](const auto& child) { return IsValue(nodes_[child.second]); });
  }

  // `path` is that of the index, `flat` what torch calls it.
  absl::Status Flatten(size_t number, const KeyPath& path, std::vector<KeyPath::Segment> flat) {
    Node& node = nodes_[number];
    if (node.entry.has_value()) {
      const Entry& entry = index_.entries[*node.entry];
      if (entry.kind == EntryKind::kValue && entry.value->kind == Value::Kind::kDict) {
        // As an item of its own it would load, but torch would take the checkpoint for one of torch 2.3, and flatten
        // all of what it loads into by other rules.
        Complain(entry.path, entry.value->pairs.empty()
                                 ? "is an empty dict, which torch leaves out"
                                 : "is a dict with keys that are no names, of which torch makes texts");
        return absl::OkStatus();
      }
      if (entry.kind == EntryKind::kValue) return AddValue(number, path, std::move(flat));
      return AddTensor(*node.entry, std::move(flat));
    }
    if (node.kind != Value::Kind::kDict) CAIRN_RETURN_IF_ERROR(PutInOrder(node, path));
    if (node.kind == Value::Kind::kTuple || (node.kind == Value::Kind::kList && IsValue(node)))
      return AddValue(number, path, std::move(flat));
    for (const auto& [segment, child] : node.children) {
      KeyPath child_path = path;
      child_path.Append(segment);
      std::vector<KeyPath::Segment> child_flat = flat;
      if (node.kind == Value::Kind::kList) {
        child_flat.push_back(segment);
      } else {
        child_flat.emplace_back(Name(segment));
      }
      CAIRN_RETURN_IF_ERROR(Flatten(child, child_path, std::move(child_flat)));
    }
    return absl::OkStatus();
  }

  absl::Status PutInOrder(Node& node, const KeyPath& path) const {
    const auto position = [](const auto& child) {
      const auto* at = std::get_if<int64_t>(&child.first);
      return at == nullptr ? -1 : *at;
    };
    std::sort(node.children.begin(), node.children.end(),
              [&](const auto& a, const auto& b) { return position(a) < position(b); });
    for (size_t i = 0; i < std::max<uint64_t>(1, node.children.size()); ++i) {
      if (node.children.size() == node.length && position(node.children[i]) == static_cast<int64_t>(i)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(Shown(path), ": a ", node.kind == Value::Kind::kList ? "list" : "tuple", " of ", node.length,
                       " items, of which [", i, "] is missing or one too many"));
    }
    return absl::OkStatus();
  }

  // Nothing if another one has that name already.
  std::optional<size_t> AddKey(const KeyPath& path, std::vector<KeyPath::Segment> flat) {
    DcpKey& key = plan_.keys.emplace_back();
    for (size_t i = 0; i < flat.size(); ++i) absl::StrAppend(&key.name, i == 0 ? "" : ".", Name(flat[i]));
    const auto [other, is_new] = names_.insert(plan_.keys.size() - 1);
    if (!is_new) {
      Complain(path, absl::StrCat("and ", Shown(from_[*other]), " are both named ", NameForMessage(key.name),
                                  " when flattened, which torch refuses"));
      plan_.keys.pop_back();
      return std::nullopt;
    }
    key.path = flat == path.segments() ? path : KeyPath(std::move(flat));
    from_.push_back(path);
    return plan_.keys.size() - 1;
  }

  absl::Status AddTensor(size_t number, std::vector<KeyPath::Segment> flat) {
    const Entry& entry = index_.entries[number];
    const std::optional<size_t> added = AddKey(entry.path, std::move(flat));
    if (!added.has_value()) return absl::OkStatus();
    if (entry.kind == EntryKind::kAlias) {
      aliases_.emplace_back(*added, number);
      return absl::OkStatus();
    }
    DcpKey& key = plan_.keys[*added];
    key.tensor = number;
    key.stored_shape = entry.shape;
    if (entry.dtype == Dtype::kF4Packed && !key.stored_shape.empty()) key.stored_shape.back() /= 2;
    const uint32_t element = entry.dtype == Dtype::kF4Packed ? 1 : static_cast<uint32_t>(BitWidth(entry.dtype) / 8);
    key.chunks = max_chunk_bytes_ == 0 ? std::vector<Box>{Box::Whole(key.stored_shape)}
                                       : CutInOrder(key.stored_shape, element, max_chunk_bytes_);
    tensor_key_[entry.path] = *added;
    for (size_t i = 0; i < key.chunks.size(); ++i) plan_.items.push_back({.key = *added, .chunk = i});
    return absl::OkStatus();
  }

  // The whole subtree as one object, tensors included.
  absl::Status AddValue(size_t number, const KeyPath& path, std::vector<KeyPath::Segment> flat) {
    Subtree subtree;
    CAIRN_RETURN_IF_ERROR(Collect(number, path, KeyPath(), &subtree));
    if (subtree.refused) return absl::OkStatus();
    const std::optional<size_t> key = AddKey(path, std::move(flat));
    if (!key.has_value()) return absl::OkStatus();
    std::vector<size_t> all(subtree.index.entries.size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = i;
    absl::StatusOr<TorchObject> object = MakeTorchObject(subtree.index, all, nullptr);
    if (!object.ok()) return Annotate(object.status(), Shown(path));
    DcpPlannedItem item;
    item.key = *key;
    item.pickle = std::move(object->pickle);
    for (const size_t storage : object->storages) item.storages.push_back(subtree.numbers[storage]);
    plan_.items.push_back(std::move(item));
    return absl::OkStatus();
  }

  struct Subtree {
    CheckpointIndex index;        // Paths begin at the subtree's root.
    std::vector<size_t> numbers;  // Of its entries in the whole index; those of marks mean nothing.
    bool refused = false;
  };

  absl::Status Collect(size_t number, const KeyPath& base, const KeyPath& path, Subtree* subtree) {
    const Node& node = nodes_[number];
    if (!node.entry.has_value()) {
      if (node.kind != Value::Kind::kDict) {
        Value mark;
        mark.kind = node.kind;
        mark.length = node.length;
        subtree->index.entries.push_back(Entry::OfValue(path, std::move(mark)));
        subtree->numbers.push_back(0);
      }
      for (const auto& [segment, child] : node.children) {
        KeyPath child_path = path;
        child_path.Append(segment);
        CAIRN_RETURN_IF_ERROR(Collect(child, base, child_path, subtree));
      }
      return absl::OkStatus();
    }
    Entry entry = index_.entries[*node.entry];
    if (entry.kind == EntryKind::kAlias) {
      if (!entry.target.StartsWith(base)) {
        Complain(entry.path, absl::StrCat("is another name of ", Shown(entry.target),
                                          ", and stands in a tuple, which is saved on its own"));
        subtree->refused = true;
        return absl::OkStatus();
      }
      const auto& segments = entry.target.segments();
      entry.target = KeyPath({segments.begin() + static_cast<ptrdiff_t>(base.segments().size()), segments.end()});
    }
    entry.path = path;
    subtree->index.entries.push_back(std::move(entry));
    subtree->numbers.push_back(*node.entry);
    return absl::OkStatus();
  }

  void ResolveAliases() {
    absl::flat_hash_set<size_t> dropped;
    for (const auto& [key, number] : aliases_) {
      const Entry& alias = index_.entries[number];
      const auto target = tensor_key_.find(alias.target);
      if (target != tensor_key_.end()) {
        plan_.keys[key].same_as = target->second;
      } else {
        Complain(alias.path,
                 absl::StrCat("is another name of ", Shown(alias.target), ", which is no item of its own here"));
        dropped.insert(key);
      }
    }
    if (dropped.empty()) return;
    std::vector<size_t> moved(plan_.keys.size());
    std::vector<DcpKey> kept;
    for (size_t i = 0; i < plan_.keys.size(); ++i) {
      moved[i] = kept.size();
      if (!dropped.contains(i)) kept.push_back(std::move(plan_.keys[i]));
    }
    for (DcpKey& key : kept) {
      if (key.same_as.has_value()) key.same_as = moved[*key.same_as];
    }
    for (DcpPlannedItem& item : plan_.items) item.key = moved[item.key];
    plan_.keys = std::move(kept);
  }

  // As torch does it. What needs no bytes can then be written at once.
  void PutItemsInOrder() {
    std::stable_partition(plan_.items.begin(), plan_.items.end(),
                          [](const DcpPlannedItem& item) { return !item.chunk.has_value() && item.storages.empty(); });
  }

  // Of keys, by number.
  struct NameHash {
    const std::vector<DcpKey>* keys;
    size_t operator()(size_t key) const { return absl::HashOf((*keys)[key].name); }
  };
  struct SameName {
    const std::vector<DcpKey>* keys;
    bool operator()(size_t a, size_t b) const { return (*keys)[a].name == (*keys)[b].name; }
  };

  const CheckpointIndex& index_;
  const uint64_t max_chunk_bytes_;
  DcpPlan plan_;
  std::vector<Node> nodes_;
  absl::flat_hash_map<std::pair<size_t, KeyPath::Segment>, size_t> children_;
  absl::flat_hash_set<size_t, NameHash, SameName> names_{0, NameHash{&plan_.keys}, SameName{&plan_.keys}};
  std::vector<KeyPath> from_;  // Of each key, the path in the index.
  absl::flat_hash_map<KeyPath, size_t> tensor_key_;
  std::vector<std::pair<size_t, size_t>> aliases_;  // Key, entry.
};

}  // namespace

std::vector<Box> CutInOrder(const Shape& shape, uint32_t element_size, uint64_t max_bytes) {
  std::vector<Box> boxes;
  // Bytes below each dimension.
  std::vector<uint64_t> inner(shape.size() + 1, element_size);
  for (size_t d = shape.size(); d-- > 0;) inner[d] = inner[d + 1] * static_cast<uint64_t>(shape[d]);
  if (inner[0] <= max_bytes || shape.empty()) return {Box::Whole(shape)};
  // The first dimension of which one index fits is cut, and all before it are taken index by index.
  size_t cut = 0;
  while (cut + 1 < shape.size() && inner[cut + 1] > max_bytes) ++cut;
  const int64_t step = static_cast<int64_t>(std::max<uint64_t>(1, max_bytes / inner[cut + 1]));
  Box box = Box::Whole(shape);
  for (size_t d = 0; d < cut; ++d) box.extent[d] = 1;
  for (;;) {
    for (int64_t begin = 0; begin < shape[cut]; begin += step) {
      box.offset[cut] = begin;
      box.extent[cut] = std::min(step, shape[cut] - begin);
      boxes.push_back(box);
    }
    size_t d = cut;
    while (d > 0 && ++box.offset[d - 1] == shape[d - 1]) box.offset[--d] = 0;
    if (d == 0) return boxes;
  }
}

absl::StatusOr<DcpPlan> PlanDcp(const CheckpointIndex& index, uint64_t max_chunk_bytes) {
  Planner planner(index, max_chunk_bytes);
  CAIRN_RETURN_IF_ERROR(planner.Run());
  return std::move(planner).Take();
}

}  // namespace cairn
