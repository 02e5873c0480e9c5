#include "common/format/torch/torch_contents.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/pickle/pickle_values.h"

namespace cairn {
namespace {

constexpr char kLoneTensor[] = "tensor";
constexpr char kLoneValue[] = "value";
// What a pickle's size allows; TorchBudget has the rest.
constexpr uint64_t kRepeatedEntriesByObject = 4;
constexpr uint64_t kPathBytesByByte = 16;
// A path takes memory by its segments, too. Only hostile files have many that are deeper than this.
constexpr size_t kPlainDepth = 16;
constexpr uint64_t kSegmentBytes = sizeof(KeyPath::Segment);

class Walk {
 public:
  Walk(const PickleTree& tree, absl::string_view where, const ReadLimits& limits, TorchBudget* budget)
      : tree_(tree),
        where_(where),
        limits_(limits),
        budget_(budget),
        values_(tree, ValueOptions(limits)),
        containers_(tree.size(), false),
        repeated_left_(kRepeatedEntriesByObject * tree.size()),
        path_bytes_left_(kPathBytesByByte * (tree.end_offset() - tree.begin_offset())) {}

  absl::Status Run(PickleNodeId root) {
    if (const std::optional<PickleSequence> sequence = AsSequence(tree_, root); sequence.has_value() && !sequence->items.empty()) {
      // Nothing stands at the root itself, so its kind is not kept.
      return Children(KeyPath(), *sequence);
    }
    if (const std::optional<PickleMapping> mapping = AsMapping(tree_, root); mapping.has_value()) {
      if (mapping->pairs.empty()) return absl::OkStatus();
      if (HasPlainKeys(*mapping)) return Children(KeyPath(), *mapping);
    }
    const absl::StatusOr<std::optional<TorchTensor>> lone = AsTorchTensor(tree_, root);
    const bool tensor = lone.ok() ? lone->has_value() : true;
    return Visit(KeyPath::Of({tensor ? kLoneTensor : kLoneValue}), root);
  }

  absl::Status RunAt(const KeyPath& at, PickleNodeId root) { return Visit(at, root); }

  TorchContents Take() && { return std::move(contents_); }

 private:
  static PickleValueOptions ValueOptions(const ReadLimits& limits) {
    PickleValueOptions options;
    options.max_value_bytes = limits.max_value_bytes;
    options.max_total_bytes = std::min(options.max_total_bytes, limits.max_tree_bytes);
    return options;
  }

  absl::Status Visit(const KeyPath& path, PickleNodeId node) {
    if (path.segments().size() > limits_.max_depth) {
      return absl::InvalidArgumentError(absl::StrCat(where_, ": \"", Shown(path), "\": nested deeper than ", limits_.max_depth,
                                                     " levels, or a container that holds itself"));
    }
    absl::StatusOr<std::optional<TorchTensor>> tensor = AsTorchTensor(tree_, node);
    if (absl::IsUnimplemented(tensor.status())) return LeaveOut(path, std::string(tensor.status().message()));
    if (!tensor.ok()) return Annotate(tensor.status(), absl::StrCat(where_, ": tensor \"", Shown(path), "\""));
    if (tensor->has_value()) return AddTensor(path, **std::move(tensor));
    if (const std::optional<PickleMapping> mapping = AsMapping(tree_, node);
        mapping.has_value() && !mapping->pairs.empty() && HasPlainKeys(*mapping)) {
      return Container(node, [&] { return Children(path, *mapping); });
    }
    if (const std::optional<PickleSequence> sequence = AsSequence(tree_, node);
        sequence.has_value() && !sequence->items.empty()) {
      Value mark;
      mark.kind = sequence->is_tuple ? Value::Kind::kTuple : Value::Kind::kList;
      mark.length = sequence->items.size();
      CAIRN_RETURN_IF_ERROR(Add(Entry::OfValue(path, std::move(mark))));
      return Container(node, [&] { return Children(path, *sequence); });
    }
    absl::StatusOr<Value> value = values_.ToValue(node);
    if (absl::IsFailedPrecondition(value.status())) return LeaveOut(path, std::string(value.status().message()));
    if (!value.ok()) return Annotate(value.status(), absl::StrCat(where_, ": \"", Shown(path), "\""));
    return Add(Entry::OfValue(path, *std::move(value)));
  }

  // Notices containers that were here before.
  absl::Status Container(PickleNodeId node, absl::FunctionRef<absl::Status()> children) {
    const bool again = containers_[node];
    containers_[node] = true;
    repeats_ += again ? 1 : 0;
    const absl::Status status = children();
    repeats_ -= again ? 1 : 0;
    return status;
  }

  // Takes from what the size allows, then from the budget.
  static bool Take(uint64_t amount, uint64_t* left, uint64_t* budget) {
    const uint64_t taken = std::min(amount, *left);
    *left -= taken;
    if (amount - taken > *budget) return false;
    *budget -= amount - taken;
    return true;
  }

  absl::Status Charge(const KeyPath& path, uint64_t path_bytes) {
    const char* what = nullptr;
    const size_t depth = path.segments().size();
    path_bytes += kSegmentBytes * (depth - std::min(depth, kPlainDepth));
    if (repeats_ > 0 && !Take(1, &repeated_left_, &budget_->repeated_entries)) {
      what = "containers that stand in several places make more entries";
    } else if (!Take(path_bytes, &path_bytes_left_, &budget_->path_bytes)) {
      what = "the names of all entries take more memory";
    }
    if (what == nullptr) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(where_, ": \"", Shown(path), "\": ", what, " than a file of this size may need"));
  }

  // Other keys (tuples, parameters, ...) are no segments of a path: such a dict is a value.
  bool HasPlainKeys(const PickleMapping& mapping) const {
    for (const auto& [key, value] : mapping.pairs) {
      if (tree_.kind(key) != PickleKind::kInt && !(tree_.IsStr(key) && !tree_.has_surrogates(key))) return false;
    }
    return true;
  }

  template <class Key>
  static std::pair<size_t, bool> Place(absl::flat_hash_map<Key, size_t>& places, Key key, size_t next) {
    const auto [place, is_new] = places.try_emplace(key, next);
    return {place->second, is_new};
  }

  // Room for that many more entries, where it is most of what there will be: growing step by step takes twice the memory.
  void Expect(size_t more) {
    const size_t there = contents_.entries.size();
    if (more <= there) return;
    contents_.entries.reserve(std::min<uint64_t>(there + more, limits_.max_entries));
    contents_.tensors.reserve(std::min<uint64_t>(there + more, limits_.max_entries));
  }

  absl::Status Children(const KeyPath& path, const PickleMapping& mapping) {
    // A repeated key: the last value counts, in the place of the first.
    std::vector<std::pair<PickleNodeId, PickleNodeId>> children;
    children.reserve(mapping.pairs.size());
    {
      absl::flat_hash_map<absl::string_view, size_t> by_text;
      absl::flat_hash_map<int64_t, size_t> by_number;
      for (const auto& [key, value] : mapping.pairs) {
        const auto [place, is_new] = tree_.IsStr(key) ? Place(by_text, tree_.text(key), children.size())
                                                      : Place(by_number, tree_.integer(key), children.size());
        if (is_new) {
          children.emplace_back(key, value);
        } else {
          children[place].second = value;
        }
      }
    }
    Expect(children.size());
    for (const auto& [key, node] : children) {
      KeyPath::Segment segment = tree_.IsStr(key) ? KeyPath::Segment(std::string(tree_.text(key))) : KeyPath::Segment(tree_.integer(key));
      CAIRN_RETURN_IF_ERROR(Child(path, std::move(segment), node));
    }
    return absl::OkStatus();
  }

  absl::Status Children(const KeyPath& path, const PickleSequence& sequence) {
    for (size_t i = 0; i < sequence.items.size(); ++i) {
      CAIRN_RETURN_IF_ERROR(Child(path, static_cast<int64_t>(i), sequence.items[i]));
    }
    return absl::OkStatus();
  }

  absl::Status Child(const KeyPath& path, KeyPath::Segment segment, PickleNodeId node) {
    KeyPath child = path;
    child.Append(std::move(segment));
    return Visit(child, node);
  }

  absl::Status AddTensor(const KeyPath& path, TorchTensor tensor) {
    const absl::StatusOr<uint64_t> bytes = ByteSize(tensor.dtype, tensor.shape);
    if (!bytes.ok()) return Annotate(bytes.status(), absl::StrCat(where_, ": tensor \"", Shown(path), "\""));
    Entry entry = Entry::Tensor(path, tensor.dtype, std::move(tensor.shape), *bytes);
    tensor.shape = {};
    CAIRN_RETURN_IF_ERROR(Add(std::move(entry), std::move(tensor)));
    const auto [first, is_new] = seen_.insert(contents_.entries.size() - 1);
    if (is_new) return absl::OkStatus();
    contents_.entries.back() = Entry::Alias(path, contents_.entries[*first].path);
    contents_.tensors.back() = {};
    return absl::OkStatus();
  }

  absl::Status Add(Entry entry, TorchTensor tensor = {}) {
    const KeyPath& path = entry.path;
    const size_t shown = path.ToString().size();
    CAIRN_RETURN_IF_ERROR(Charge(path, shown));
    if (contents_.entries.size() >= limits_.max_entries) {
      return absl::InvalidArgumentError(absl::StrCat(where_, ": more entries than the limit of ", limits_.max_entries));
    }
    if (shown > limits_.max_name_bytes) {
      return absl::InvalidArgumentError(absl::StrCat(where_, ": \"", Shown(path), "\": a name over the limit of ", limits_.max_name_bytes, " bytes"));
    }
    contents_.entries.push_back(std::move(entry));
    contents_.tensors.push_back(std::move(tensor));
    return absl::OkStatus();
  }

  absl::Status LeaveOut(const KeyPath& path, std::string what) {
    CAIRN_RETURN_IF_ERROR(Charge(path, 0));
    // A report, not a log: who leaves out more has no use for the rest of the names.
    constexpr size_t kMaxLeftOut = 1000;
    if (contents_.left_out.size() < kMaxLeftOut) contents_.left_out.push_back({path, std::move(what)});
    if (++left_out_ > limits_.max_entries) {
      return absl::InvalidArgumentError(absl::StrCat(where_, ": more objects than the limit of ", limits_.max_entries));
    }
    return absl::OkStatus();
  }

  static std::string Shown(const KeyPath& path) {
    std::string text = path.ToString();
    constexpr size_t kMost = 200;
    if (text.size() > kMost) text = absl::StrCat(text.substr(0, kMost), "...");
    return text;
  }

  // Of entries that are tensors, by number: equal where both are the same view of the same storage.
  struct IdentityHash {
    const std::vector<TorchTensor>* tensors;
    size_t operator()(size_t number) const {
      const TorchTensor& of = (*tensors)[number];
      return absl::HashOf(of.storage_key, of.dtype, of.conjugated, of.negated, of.view.shape, of.view.strides, of.view.offset);
    }
  };
  struct SameIdentity {
    const std::vector<TorchTensor>* tensors;
    bool operator()(size_t a, size_t b) const {
      const TorchTensor &first = (*tensors)[a], &second = (*tensors)[b];
      return first.storage_key == second.storage_key && first.dtype == second.dtype && first.conjugated == second.conjugated &&
             first.negated == second.negated && first.view == second.view;
    }
  };

  const PickleTree& tree_;
  const absl::string_view where_;
  const ReadLimits& limits_;
  TorchBudget* const budget_;
  PickleValues values_;
  TorchContents contents_;
  absl::flat_hash_set<size_t, IdentityHash, SameIdentity> seen_{0, IdentityHash{&contents_.tensors}, SameIdentity{&contents_.tensors}};
  uint64_t left_out_ = 0;
  std::vector<bool> containers_;  // By node: it was walked.
  uint32_t repeats_ = 0;          // Such containers around the node that is walked.
  uint64_t repeated_left_;
  uint64_t path_bytes_left_;
};

}  // namespace

absl::StatusOr<TorchContents> ReadTorchContents(const PickleTree& tree, PickleNodeId root, absl::string_view where,
                                                const ReadLimits& limits, TorchBudget* budget) {
  Walk walk(tree, where, limits, budget);
  CAIRN_RETURN_IF_ERROR(walk.Run(root));
  return std::move(walk).Take();
}

absl::StatusOr<TorchContents> ReadTorchContentsAt(const KeyPath& at, const PickleTree& tree, PickleNodeId root,
                                                  absl::string_view where, const ReadLimits& limits, TorchBudget* budget) {
  Walk walk(tree, where, limits, budget);
  CAIRN_RETURN_IF_ERROR(walk.RunAt(at, root));
  return std::move(walk).Take();
}

}  // namespace cairn
