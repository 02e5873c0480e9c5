#include "common/format/torch/torch_tensor.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/format/torch/torch_types.h"
#include "common/pickle/pickle_values.h"

namespace cairn {
namespace {

constexpr absl::string_view kUtils = "torch._utils";

class TensorParser {
 public:
  explicit TensorParser(const PickleTree& tree) : tree_(tree) {}

  absl::StatusOr<std::optional<TorchTensor>> Parse(PickleNodeId node, int depth) {
    if (tree_.kind(node) != PickleKind::kReduce || !tree_.IsGlobal(tree_.callable(node))) return std::optional<TorchTensor>();
    const absl::string_view module = tree_.module(tree_.callable(node));
    const absl::string_view name = tree_.name(tree_.callable(node));
    if (module == "torch._tensor" || module == "torch.tensor") {
      if (name == "_rebuild_from_type_v2" || name == "_rebuild_from_type") return Subclass(node, depth);
      return std::optional<TorchTensor>();
    }
    if (module != kUtils) return std::optional<TorchTensor>();
    if (name == "_rebuild_tensor_v2" || name == "_rebuild_tensor_v3" || name == "_rebuild_tensor") return View(node, name);
    if (name == "_rebuild_parameter" || name == "_rebuild_parameter_with_state") return Inner(node, name, depth);
    if (name == "_rebuild_qtensor") return Unsupported("a quantized tensor");
    if (name == "_rebuild_sparse_tensor" || name == "_rebuild_sparse_csr_tensor") return Unsupported("a sparse tensor");
    if (name == "_rebuild_nested_tensor") return Unsupported("a nested tensor");
    if (name == "_rebuild_meta_tensor_no_storage") return Unsupported("a tensor without data (device meta)");
    if (name == "_rebuild_wrapper_subclass") return Unsupported("a tensor subclass without data of its own");
    if (name == "_rebuild_device_tensor_from_numpy" || name == "_rebuild_device_tensor_from_cpu_tensor") {
      return Unsupported("a tensor of a device that saves through NumPy");
    }
    return std::optional<TorchTensor>();
  }

 private:
  using Result = absl::StatusOr<std::optional<TorchTensor>>;

  static absl::Status Unsupported(absl::string_view what) {
    return absl::UnimplementedError(absl::StrCat(what, ", which is more than a view of bytes"));
  }
  absl::Status Bad(PickleNodeId node, absl::string_view expected) const {
    return absl::InvalidArgumentError(absl::StrCat("at offset ", tree_.offset(node), ": expected ", expected, ", found ",
                                                   PickleNodeName(tree_, node)));
  }

  absl::Span<const PickleNodeId> Args(PickleNodeId call) const { return tree_.items(tree_.args(call)); }

  // Parameters and subclasses wrap a tensor; nobody wraps more than a few times.
  Result Inner(PickleNodeId node, absl::string_view name, int depth) {
    const auto args = Args(node);
    if (args.empty() || depth > 4) return Bad(node, absl::StrCat("a tensor as the first argument of ", name));
    CAIRN_ASSIGN_OR_RETURN(std::optional<TorchTensor> tensor, Parse(args[0], depth + 1));
    if (!tensor.has_value()) return Bad(args[0], absl::StrCat("a tensor as the first argument of ", name));
    return tensor;
  }

  // (function, class, arguments, state): plain where the class is torch's own.
  Result Subclass(PickleNodeId node, int depth) {
    const auto args = Args(node);
    if (args.size() < 3 || depth > 4 || !tree_.IsGlobal(args[0]) || !tree_.IsGlobal(args[1])) {
      return Bad(node, "a function, a class and arguments");
    }
    const bool plain = tree_.IsGlobal(args[1], "torch", "Tensor") || tree_.IsGlobal(args[1], "torch.nn.parameter", "Parameter") ||
                       tree_.IsGlobal(args[1], "torch.nn.parameter", "Buffer");
    if (!plain) {
      return Unsupported(absl::StrCat("a tensor of the subclass ", tree_.module(args[1]), ".", tree_.name(args[1])));
    }
    const absl::string_view function = tree_.name(args[0]);
    if (tree_.module(args[0]) != kUtils || !(function == "_rebuild_tensor_v2" || function == "_rebuild_tensor_v3")) {
      return Unsupported(absl::StrCat("a tensor made by ", tree_.module(args[0]), ".", function));
    }
    if (tree_.kind(args[2]) != PickleKind::kTuple) return Bad(args[2], "a tuple of arguments");
    return ViewOf(node, tree_.items(args[2]), function);
  }

  Result View(PickleNodeId node, absl::string_view function) { return ViewOf(node, Args(node), function); }

  Result ViewOf(PickleNodeId node, absl::Span<const PickleNodeId> args, absl::string_view function) {
    const bool v3 = function == "_rebuild_tensor_v3";
    if (args.size() < (v3 ? 7u : 4u)) return Bad(node, absl::StrCat("the arguments of ", function));
    TorchTensor tensor;
    CAIRN_ASSIGN_OR_RETURN(Storage storage, StorageOf(args[0]));
    tensor.storage_key = std::move(storage.key);
    tensor.storage_bytes = storage.bytes;
    tensor.dtype = storage.type.dtype;
    if (v3) {
      CAIRN_ASSIGN_OR_RETURN(tensor.dtype, DtypeOf(args[6]));
    } else if (tensor.dtype == Dtype::kInvalid) {
      return Unsupported("a tensor of untyped bytes, whose dtype is written nowhere");
    }
    CAIRN_RETURN_IF_ERROR(ReadView(args[1], args[2], args[3], storage.view_offset, &tensor));
    const size_t metadata = v3 ? 7 : 6;
    if (args.size() > metadata) CAIRN_RETURN_IF_ERROR(ReadBits(args[metadata], &tensor));
    return std::optional<TorchTensor>(std::move(tensor));
  }

  struct Storage {
    std::string key;
    TorchStorageType type;
    uint64_t bytes = 0;
    uint64_t view_offset = 0;  // Elements: very old files have views of storages.
  };

  // ("storage", class, key, location, elements[, view]).
  absl::StatusOr<Storage> StorageOf(PickleNodeId node) {
    if (tree_.kind(node) != PickleKind::kPersistentId) return Bad(node, "a storage");
    const PickleNodeId payload = tree_.payload(node);
    if (tree_.kind(payload) != PickleKind::kTuple) return Bad(payload, "the tuple that names a storage");
    const auto id = tree_.items(payload);
    if (id.size() < 5 || !tree_.IsStr(id[0], "storage") || !tree_.IsGlobal(id[1]) || tree_.kind(id[4]) != PickleKind::kInt) {
      return Bad(payload, "(\"storage\", class, key, location, elements)");
    }
    Storage storage;
    const absl::string_view module = tree_.module(id[1]), name = tree_.name(id[1]);
    const std::optional<TorchStorageType> type = TorchStorageTypeOf(module, name);
    if (!type.has_value()) {
      return absl::UnimplementedError(absl::StrCat("a tensor of ", module, ".", name, ", which no other format knows"));
    }
    storage.type = *type;
    if (tree_.IsStr(id[2])) {
      storage.key = std::string(tree_.text(id[2]));
    } else if (tree_.kind(id[2]) == PickleKind::kInt) {
      storage.key = absl::StrCat(tree_.integer(id[2]));
    } else {
      return Bad(id[2], "the key of a storage");
    }
    const int64_t elements = tree_.integer(id[4]);
    const std::optional<uint64_t> bytes =
        elements < 0 ? std::nullopt : CheckedMul(static_cast<uint64_t>(elements), uint64_t{type->item_size});
    if (!bytes.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("at offset ", tree_.offset(id[4]), ": expected a number of elements, found ", elements,
                                                     elements < 0 ? "" : ", whose bytes no 64 bits count"));
    }
    storage.bytes = *bytes;
    if (id.size() > 5 && tree_.kind(id[5]) == PickleKind::kTuple) {
      const auto view = tree_.items(id[5]);
      if (view.size() != 3 || tree_.kind(view[1]) != PickleKind::kInt || tree_.integer(view[1]) < 0) {
        return Bad(id[5], "(key, offset, elements) of a view of a storage");
      }
      storage.view_offset = static_cast<uint64_t>(tree_.integer(view[1]));
    }
    return storage;
  }

  absl::StatusOr<Dtype> DtypeOf(PickleNodeId node) {
    if (!tree_.IsGlobal(node) || tree_.module(node) != "torch") return Bad(node, "a dtype");
    const std::optional<Dtype> dtype = TorchDtypeOf(tree_.name(node));
    if (dtype.has_value()) return *dtype;
    return absl::UnimplementedError(absl::StrCat("a tensor of torch.", tree_.name(node), ", which no other format knows"));
  }

  absl::StatusOr<std::vector<int64_t>> Ints(PickleNodeId node) {
    const std::optional<PickleSequence> sequence = AsSequence(tree_, node);
    if (!sequence.has_value() || sequence->items.size() > kMaxRank) return Bad(node, absl::StrCat("a tuple of at most ", kMaxRank, " integers"));
    std::vector<int64_t> values;
    for (const PickleNodeId item : sequence->items) {
      if (tree_.kind(item) != PickleKind::kInt) return Bad(item, "an integer");
      values.push_back(tree_.integer(item));
    }
    return values;
  }

  absl::Status ReadView(PickleNodeId offset, PickleNodeId shape, PickleNodeId strides, uint64_t storage_offset,
                        TorchTensor* tensor) {
    const bool packed = tensor->dtype == Dtype::kF4Packed;
    const uint32_t item = packed ? 1 : static_cast<uint32_t>(BitWidth(tensor->dtype) / 8);
    if (tree_.kind(offset) != PickleKind::kInt || tree_.integer(offset) < 0) return Bad(offset, "an offset of 0 or more");
    const std::optional<uint64_t> begin = CheckedAdd(static_cast<uint64_t>(tree_.integer(offset)), storage_offset);
    if (!begin.has_value() || *begin > static_cast<uint64_t>(INT64_MAX)) return Bad(offset, "an offset inside the storage");
    StridedView& view = tensor->view;
    CAIRN_ASSIGN_OR_RETURN(view.shape, Ints(shape));
    CAIRN_ASSIGN_OR_RETURN(view.strides, Ints(strides));
    view.offset = static_cast<int64_t>(*begin);
    view.element_size = item;
    CAIRN_RETURN_IF_ERROR(CheckView(view, tensor->storage_bytes / item));
    tensor->shape = view.shape;
    if (!packed) return absl::OkStatus();
    if (view.shape.empty()) return Unsupported("a scalar of packed elements");
    const std::optional<uint64_t> last = CheckedMul(static_cast<uint64_t>(view.shape.back()), uint64_t{2});
    if (!last.has_value() || *last > static_cast<uint64_t>(INT64_MAX)) return Bad(shape, "a shape of sane size");
    tensor->shape.back() = static_cast<int64_t>(*last);
    return absl::OkStatus();
  }

  // {"conj": True, "neg": True}: the tensor is that of what is stored.
  absl::Status ReadBits(PickleNodeId node, TorchTensor* tensor) {
    if (tree_.kind(node) == PickleKind::kNone) return absl::OkStatus();
    const std::optional<PickleMapping> bits = AsMapping(tree_, node);
    if (!bits.has_value()) return Bad(node, "a dict of a tensor's metadata");
    for (const auto& [key, value] : bits->pairs) {
      const bool conj = tree_.IsStr(key, "conj"), neg = tree_.IsStr(key, "neg");
      if (!conj && !neg) continue;  // What subclasses of modules hang on their tensors says nothing about the bytes.
      if (tree_.kind(value) != PickleKind::kBool) return Bad(value, "True or False");
      (conj ? tensor->conjugated : tensor->negated) = tree_.boolean(value);
    }
    const bool complex = tensor->dtype == Dtype::kComplex64 || tensor->dtype == Dtype::kComplex128;
    if (tensor->conjugated && !complex) return Bad(node, "no conjugate of numbers that are not complex");
    if (tensor->negated && !complex && tensor->dtype != Dtype::kFloat32 && tensor->dtype != Dtype::kFloat64) {
      return Unsupported(absl::StrCat("a negated view of ", DtypeName(tensor->dtype)));
    }
    return absl::OkStatus();
  }

  const PickleTree& tree_;
};

}  // namespace

absl::StatusOr<std::optional<TorchTensor>> AsTorchTensor(const PickleTree& tree, PickleNodeId node) {
  return TensorParser(tree).Parse(node, 0);
}

}  // namespace cairn
