#include "common/format/torch/torch_pickle.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/torch/torch_types.h"
#include "common/pickle/pickle_values.h"

namespace cairn {
namespace {

constexpr int kProtocol = 2;

bool IsMark(const Entry& entry) {
  return entry.kind == EntryKind::kValue && entry.value->length > 0 &&
         (entry.value->kind == Value::Kind::kList || entry.value->kind == Value::Kind::kTuple);
}

// The containers of a tree, made from the paths of its leaves.
struct Node {
  std::optional<size_t> entry;  // A leaf.
  Value::Kind kind = Value::Kind::kDict;
  uint64_t length = 0;          // Of a list or tuple, as its mark says.
  std::vector<std::pair<KeyPath::Segment, size_t>> children;
};

class ObjectMaker {
 public:
  ObjectMaker(const CheckpointIndex& index, TorchObject* object) : index_(index), object_(object), writer_(&object->pickle, kProtocol) {}

  absl::Status Make(absl::Span<const size_t> entries, const std::vector<std::string>* flat_names) {
    nodes_.emplace_back();
    has_aliases_ = std::any_of(entries.begin(), entries.end(), [&](size_t number) { return index_.entries[number].kind == EntryKind::kAlias; });
    for (const size_t number : entries) {
      const Entry& entry = index_.entries[number];
      if (has_aliases_ && entry.kind == EntryKind::kTensor) tensor_at_[entry.path] = number;
      if (flat_names != nullptr) {
        Leaf(Child(0, (*flat_names)[number]), number);
        continue;
      }
      size_t node = 0;
      for (const KeyPath::Segment& segment : entry.path.segments()) node = Child(node, segment);
      if (IsMark(entry)) {
        nodes_[node].kind = entry.value->kind;
        nodes_[node].length = entry.value->length;
      } else {
        Leaf(node, number);
      }
    }
    children_ = {};  // Of 200,000 entries some 20 MiB.
    CAIRN_RETURN_IF_ERROR(Write(0, KeyPath()));
    return writer_.Finish();
  }

 private:
  size_t Child(size_t parent, const KeyPath::Segment& segment) {
    const auto [found, is_new] = children_.try_emplace(std::make_pair(parent, segment), nodes_.size());
    if (is_new) {
      nodes_.emplace_back();
      nodes_[parent].children.emplace_back(segment, found->second);
    }
    return found->second;
  }
  void Leaf(size_t node, size_t number) { nodes_[node].entry = number; }

  absl::Status Write(size_t number, const KeyPath& path) {
    Node& node = nodes_[number];
    if (node.entry.has_value()) return WriteLeaf(*node.entry);
    if (node.kind == Value::Kind::kDict) {
      writer_.BeginDict();
    } else {
      CAIRN_RETURN_IF_ERROR(PutInOrder(node, path));
      if (node.kind == Value::Kind::kList) {
        writer_.BeginList();
      } else {
        writer_.BeginTuple(static_cast<int32_t>(node.length));
      }
    }
    for (const auto& [segment, child] : node.children) {
      if (node.kind == Value::Kind::kDict) {
        if (const auto* name = std::get_if<std::string>(&segment)) {
          writer_.Str(*name);
        } else {
          writer_.Int(std::get<int64_t>(segment));
        }
      }
      KeyPath child_path = path;
      child_path.Append(segment);
      CAIRN_RETURN_IF_ERROR(Write(child, child_path));
    }
    writer_.End();
    return writer_.status();
  }

  absl::Status PutInOrder(Node& node, const KeyPath& path) const {
    const auto position = [](const auto& child) {
      const auto* at = std::get_if<int64_t>(&child.first);
      return at == nullptr ? -1 : *at;
    };
    std::sort(node.children.begin(), node.children.end(), [&](const auto& a, const auto& b) { return position(a) < position(b); });
    for (size_t i = 0; i < node.children.size(); ++i) {
      if (position(node.children[i]) == static_cast<int64_t>(i) && node.children.size() == node.length) continue;
      return absl::InvalidArgumentError(absl::StrCat("\"", path.ToString(), "\": a ", node.kind == Value::Kind::kList ? "list" : "tuple", " of ",
                                                     node.length, " items, of which [", i, "] is missing or one too many"));
    }
    return absl::OkStatus();
  }

  absl::Status WriteLeaf(size_t number) {
    const Entry& entry = index_.entries[number];
    if (entry.kind == EntryKind::kValue) return Annotate(WriteValue(entry.value, writer_), absl::StrCat("\"", entry.path.ToString(), "\""));
    size_t target = number;
    if (entry.kind == EntryKind::kAlias) {
      const auto found = tensor_at_.find(entry.target);
      if (found == tensor_at_.end()) {
        return absl::InvalidArgumentError(absl::StrCat("alias \"", entry.path.ToString(), "\": its target \"", entry.target.ToString(),
                                                       "\" does not come with it"));
      }
      target = found->second;
    }
    // Whichever of a tensor's names comes first holds it; the others are the same object.
    if (const auto written = written_.find(target); written != written_.end()) {
      writer_.Get(written->second);
      return writer_.status();
    }
    const Entry& tensor = index_.entries[target];
    CAIRN_RETURN_IF_ERROR(Annotate(WriteTorchTensor(absl::StrCat(object_->storages.size()), tensor.dtype, tensor.shape, writer_),
                                   absl::StrCat("\"", tensor.path.ToString(), "\"")));
    const PickleWriter::Memo memo = writer_.Memoize();
    if (has_aliases_) written_[target] = memo;
    object_->storages.push_back(target);
    return writer_.status();
  }

  const CheckpointIndex& index_;
  TorchObject* const object_;
  PickleWriter writer_;
  std::vector<Node> nodes_;
  absl::flat_hash_map<std::pair<size_t, KeyPath::Segment>, size_t> children_;
  bool has_aliases_ = false;  // Without them nobody looks into the next two.
  absl::flat_hash_map<KeyPath, size_t> tensor_at_;
  absl::flat_hash_map<size_t, PickleWriter::Memo> written_;
};

}  // namespace

absl::Status WriteTorchTensor(absl::string_view storage_key, Dtype dtype, absl::Span<const int64_t> shape, PickleWriter& writer) {
  const std::optional<TorchTypeName> type = TorchTypeNameOf(dtype);
  if (!type.has_value()) return absl::InvalidArgumentError(absl::StrCat("dtype ", DtypeName(dtype), " is none of torch's"));
  const bool untyped = type->storage.empty();
  CAIRN_ASSIGN_OR_RETURN(const uint64_t bytes, ByteSize(dtype, shape));
  Shape torch_shape(shape.begin(), shape.end());
  if (dtype == Dtype::kF4Packed) {
    if (torch_shape.empty() || torch_shape.back() % 2 != 0) {
      return absl::InvalidArgumentError(absl::StrCat("packed elements of shape ", ShapeToString(shape), ": the last dimension must be even"));
    }
    torch_shape.back() /= 2;
  }
  const uint64_t item = dtype == Dtype::kF4Packed ? 1 : static_cast<uint64_t>(BitWidth(dtype) / 8);
  const StridedView view = StridedView::RowMajor(torch_shape, static_cast<uint32_t>(item));
  writer.BeginReduce();
  writer.Global("torch._utils", untyped ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2");
  writer.BeginTuple(untyped ? 7 : 6);
  writer.BeginPersistentId();
  writer.BeginTuple(5);
  writer.Str("storage");
  writer.Global(untyped ? "torch.storage" : "torch", untyped ? "UntypedStorage" : type->storage);
  writer.Str(storage_key);
  writer.Str("cpu");
  writer.Int(static_cast<int64_t>(untyped ? bytes : bytes / item));
  writer.End();
  writer.End();
  writer.Int(0);
  writer.IntTuple(torch_shape);
  writer.IntTuple(view.strides);
  writer.Bool(false);
  writer.EmptyOrderedDict();
  if (untyped) writer.Global("torch", type->dtype);
  writer.End();
  writer.End();
  return writer.status();
}

absl::StatusOr<TorchObject> MakeTorchObject(const CheckpointIndex& index, absl::Span<const size_t> entries,
                                            const std::vector<std::string>* flat_names) {
  TorchObject object;
  CAIRN_RETURN_IF_ERROR(ObjectMaker(index, &object).Make(entries, flat_names));
  return object;
}

}  // namespace cairn
