#include "common/format/dcp/dcp_metadata.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/annotate.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/format/folder/json_events.h"
#include "common/format/torch/torch_types.h"
#include "common/pickle/pickle_reader.h"
#include "common/pickle/pickle_values.h"

namespace cairn {
namespace {

constexpr char kMetadataClass[] = "Metadata";
constexpr uint32_t kMaxTransforms = 4;
constexpr size_t kMaxFileName = 255;
constexpr size_t kMaxLeftOut = 1000;

using Offsets = absl::InlinedVector<int64_t, 4>;

// What storage_data is looked up by.
struct StorageKey {
  absl::string_view name;
  bool has_offsets = false;  // A value has none; a scalar has empty ones.
  Offsets offsets = {};

  bool operator==(const StorageKey&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const StorageKey& key) {
    return H::combine(std::move(h), key.name, key.has_offsets, key.offsets);
  }
};

class MetadataParser {
 public:
  MetadataParser(const PickleTree& tree, bool of_rank, const ReadLimits& limits, DcpLayout* layout)
      : tree_(tree), of_rank_(of_rank), limits_(limits), layout_(layout) {}

  absl::Status Parse() {
    if (!IsInstance(tree_.root(), kMetadataClass)) return Bad(tree_.root(), "an object of class Metadata");
    CAIRN_ASSIGN_OR_RETURN(const PickleNodeId state, StateOf(tree_.root()));
    const std::optional<PickleNodeId> items = Field(state, "state_dict_metadata");
    if (!items.has_value()) return Bad(state, "a field state_dict_metadata");
    CAIRN_RETURN_IF_ERROR(ReadStorageData(Field(state, "storage_data")));
    CAIRN_RETURN_IF_ERROR(ReadPaths(Field(state, "planner_data")));
    const std::optional<PickleMapping> mapping = AsMapping(tree_, *items);
    if (!mapping.has_value()) return Bad(*items, "a dict");
    for (const auto& [key, value] : mapping->pairs) {
      CAIRN_ASSIGN_OR_RETURN(const absl::string_view name, Name(key));
      if (absl::Status read = ReadItem(name, value); !read.ok()) return Annotate(read, NameForMessage(name));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Bad(PickleNodeId node, absl::string_view expected) const {
    return absl::InvalidArgumentError(absl::StrCat("at offset ", tree_.offset(node), ": expected ", expected,
                                                   ", found ", PickleNodeName(tree_, node)));
  }

  // Of a class of that name, in whatever module.
  bool IsInstance(PickleNodeId node, absl::string_view name) const {
    if (!tree_.IsObject(node) || !tree_.IsGlobal(tree_.callable(node))) return false;
    return tree_.name(tree_.callable(node)) == name;
  }

  absl::StatusOr<PickleNodeId> StateOf(PickleNodeId object) const {
    std::optional<PickleNodeId> state;
    for (const PickleNodeId effect : tree_.effects(object)) {
      if (tree_.kind(effect) == PickleKind::kBuild) state = tree_.items(effect)[0];
    }
    if (!state.has_value()) return Bad(object, "an object with fields");
    return *state;
  }

  // Nothing if it is missing or None.
  std::optional<PickleNodeId> Field(PickleNodeId state, absl::string_view name) const {
    std::optional<PickleNodeId> value;
    if (tree_.kind(state) != PickleKind::kDict) return value;
    const absl::Span<const PickleNodeId> items = tree_.items(state);
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      if (tree_.IsStr(items[i], name)) value = items[i + 1];
    }
    if (value.has_value() && tree_.kind(*value) == PickleKind::kNone) value.reset();
    return value;
  }

  absl::StatusOr<PickleNodeId> NeededField(PickleNodeId state, absl::string_view name) const {
    const std::optional<PickleNodeId> value = Field(state, name);
    if (!value.has_value()) return Bad(state, absl::StrCat("a field ", name));
    return *value;
  }

  absl::StatusOr<absl::string_view> Text(PickleNodeId node, size_t max_bytes) const {
    if (!tree_.IsStr(node) || tree_.has_surrogates(node)) return Bad(node, "a name");
    if (tree_.text(node).size() > max_bytes) {
      return absl::InvalidArgumentError(absl::StrCat("at offset ", tree_.offset(node), ": a name of ",
                                                     tree_.text(node).size(), " bytes, over the limit of ", max_bytes));
    }
    return tree_.text(node);
  }
  absl::StatusOr<absl::string_view> Name(PickleNodeId node) const { return Text(node, limits_.max_name_bytes); }

  absl::StatusOr<uint64_t> Count(PickleNodeId node, absl::string_view what) const {
    if (tree_.kind(node) != PickleKind::kInt) return Bad(node, absl::StrCat("a number of bytes as ", what));
    if (tree_.integer(node) < 0) {
      return absl::InvalidArgumentError(absl::StrCat("at offset ", tree_.offset(node), ": expected a number of bytes as ", what, ", found ", tree_.integer(node)));
    }
    return static_cast<uint64_t>(tree_.integer(node));
  }

  absl::StatusOr<Offsets> Ints(PickleNodeId node) const {
    const std::optional<PickleSequence> sequence = AsSequence(tree_, node);
    if (!sequence.has_value() || sequence->items.size() > kMaxRank)
      return Bad(node, absl::StrCat("a torch.Size of at most ", kMaxRank, " numbers"));
    Offsets values;
    for (const PickleNodeId item : sequence->items) {
      if (tree_.kind(item) != PickleKind::kInt || tree_.integer(item) < 0) return Bad(item, "a number of 0 or more");
      values.push_back(tree_.integer(item));
    }
    return values;
  }

  absl::Status ReadStorageData(std::optional<PickleNodeId> node) {
    if (!node.has_value()) return absl::OkStatus();
    const std::optional<PickleMapping> mapping = AsMapping(tree_, *node);
    if (!mapping.has_value()) return Bad(*node, "a dict as storage_data");
    for (const auto& [index, info] : mapping->pairs) {
      if (!IsInstance(index, "MetadataIndex")) return Bad(index, "an object of class MetadataIndex");
      CAIRN_ASSIGN_OR_RETURN(const PickleNodeId state, StateOf(index));
      StorageKey key;
      CAIRN_ASSIGN_OR_RETURN(const PickleNodeId name, NeededField(state, "fqn"));
      CAIRN_ASSIGN_OR_RETURN(key.name, Name(name));
      if (const std::optional<PickleNodeId> offset = Field(state, "offset"); offset.has_value()) {
        CAIRN_ASSIGN_OR_RETURN(key.offsets, Ints(*offset));
        key.has_offsets = true;
      }
      absl::StatusOr<DcpSlice> slice = ReadStorageInfo(info);
      if (!slice.ok()) return Annotate(slice.status(), NameForMessage(key.name));
      storage_[std::move(key)] = layout_->SliceNumber(*slice);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<DcpSlice> ReadStorageInfo(PickleNodeId info) {
    if (!tree_.IsObject(info)) return Bad(info, "an object of class _StorageInfo");
    CAIRN_ASSIGN_OR_RETURN(const PickleNodeId state, StateOf(info));
    DcpSlice slice;
    CAIRN_ASSIGN_OR_RETURN(const PickleNodeId path, NeededField(state, "relative_path"));
    CAIRN_ASSIGN_OR_RETURN(const absl::string_view file, Text(path, kMaxFileName));
    if (file.empty() || file == "." || file == ".." || absl::StrContains(file, '/') || absl::StrContains(file, '\\') ||
        absl::StrContains(file, '\0')) {
      return absl::InvalidArgumentError(
          absl::StrCat("lies in ", NameForMessage(file), "; expected the bare name of a file of this folder"));
    }
    slice.file = layout_->FileNumber(file);
    if (layout_->files.size() > limits_.max_files) {
      return absl::InvalidArgumentError(absl::StrCat("more files than the limit of ", limits_.max_files));
    }
    CAIRN_ASSIGN_OR_RETURN(const PickleNodeId offset, NeededField(state, "offset"));
    CAIRN_ASSIGN_OR_RETURN(slice.offset, Count(offset, "offset"));
    CAIRN_ASSIGN_OR_RETURN(const PickleNodeId length, NeededField(state, "length"));
    CAIRN_ASSIGN_OR_RETURN(slice.length, Count(length, "length"));
    if (const std::optional<PickleNodeId> transforms = Field(state, "transform_descriptors"); transforms.has_value()) {
      const std::optional<PickleSequence> sequence = AsSequence(tree_, *transforms);
      if (!sequence.has_value() || sequence->items.size() > kMaxTransforms) {
        return Bad(*transforms, absl::StrCat("a list of at most ", kMaxTransforms, " transforms"));
      }
      for (const PickleNodeId transform : sequence->items) {
        CAIRN_ASSIGN_OR_RETURN(const absl::string_view name, Text(transform, kMaxFileName));
        const bool zstd = name == "stream.zstd/1" || absl::StartsWith(name, "stream.zstd/1.");
        if (!zstd) {
          return absl::UnimplementedError(
              absl::StrCat("was written through the transform ", NameForMessage(name),
                           "; known is stream.zstd/1: load it in torch and save it without"));
        }
        ++slice.compressed;
      }
    }
    return slice;
  }

  // A planner of somebody else's may keep anything here.
  absl::Status ReadPaths(std::optional<PickleNodeId> node) {
    if (!node.has_value()) return absl::OkStatus();
    const std::optional<PickleMapping> mapping = AsMapping(tree_, *node);
    if (!mapping.has_value()) return absl::OkStatus();
    for (const auto& [key, value] : mapping->pairs) {
      if (tree_.IsStr(key)) paths_[tree_.text(key)] = value;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<KeyPath> PathOf(absl::string_view name) const {
    const auto found = paths_.find(name);
    if (found == paths_.end()) return KeyPath::Of({std::string(name)});
    const std::optional<PickleSequence> sequence = AsSequence(tree_, found->second);
    if (!sequence.has_value() || sequence->items.empty())
      return Bad(found->second, "a path, a tuple of str and int, in planner_data");
    if (sequence->items.size() > limits_.max_depth) {
      return absl::InvalidArgumentError(
          absl::StrCat("a path of ", sequence->items.size(), " parts, over the limit of ", limits_.max_depth));
    }
    KeyPath path;
    for (const PickleNodeId part : sequence->items) {
      if (tree_.kind(part) == PickleKind::kInt) {
        path.Append(tree_.integer(part));
      } else if (tree_.IsStr(part)) {
        CAIRN_ASSIGN_OR_RETURN(const absl::string_view text, Name(part));
        path.Append(std::string(text));
      } else {
        return Bad(part, "a str or an int in a path of planner_data");
      }
    }
    return path;
  }

  absl::Status ReadItem(absl::string_view name, PickleNodeId node) {
    CAIRN_ASSIGN_OR_RETURN(KeyPath path, PathOf(name));
    if (IsInstance(node, "BytesStorageMetadata")) {
      const auto slice = storage_.find(StorageKey{name});
      if (slice == storage_.end())
        return absl::InvalidArgumentError("a value of which storage_data does not say where it lies");
      const auto [item, is_new] = layout_->FindOrAdd(name);
      if (!is_new) return absl::OkStatus();
      item->path = std::move(path);
      item->slices.push_back(slice->second);
      return CheckCount();
    }
    if (!IsInstance(node, "TensorStorageMetadata")) return LeaveOut(std::move(path), PickleNodeName(tree_, node));
    CAIRN_ASSIGN_OR_RETURN(const PickleNodeId state, StateOf(node));
    CAIRN_ASSIGN_OR_RETURN(const PickleNodeId properties, NeededField(state, "properties"));
    CAIRN_ASSIGN_OR_RETURN(const std::string dtype_name, DtypeNameOf(properties));
    const std::optional<Dtype> dtype = TorchDtypeOf(dtype_name);
    if (!dtype.has_value())
      return LeaveOut(std::move(path), absl::StrCat("a tensor of torch.", dtype_name, ", which no other format knows"));
    CAIRN_ASSIGN_OR_RETURN(const PickleNodeId size, NeededField(state, "size"));
    CAIRN_ASSIGN_OR_RETURN(const Offsets shape, Ints(size));
    const auto [item, is_new] = layout_->FindOrAdd(name);
    if (is_new) {
      item->path = std::move(path);
      item->is_tensor = true;
      item->dtype = *dtype;
      item->stored_shape.assign(shape.begin(), shape.end());
      item->element_size = *dtype == Dtype::kF4Packed ? 1 : static_cast<uint32_t>(BitWidth(*dtype) / 8);
      item->shape = item->stored_shape;
      if (*dtype == Dtype::kF4Packed) CAIRN_RETURN_IF_ERROR(DoubleLast(item->shape));
      CAIRN_RETURN_IF_ERROR(CheckCount());
    } else if (!item->is_tensor || item->dtype != *dtype ||
               !std::equal(shape.begin(), shape.end(), item->stored_shape.begin(), item->stored_shape.end())) {
      return absl::InvalidArgumentError("another rank says that it has another dtype or shape");
    }
    return ReadChunks(name, state, item);
  }

  static absl::Status DoubleLast(Shape& shape) {
    if (shape.empty()) return absl::InvalidArgumentError("a scalar of packed elements");
    const std::optional<uint64_t> last = CheckedMul(static_cast<uint64_t>(shape.back()), uint64_t{2});
    if (!last.has_value() || *last > static_cast<uint64_t>(INT64_MAX))
      return absl::InvalidArgumentError(absl::StrCat("shape ", ShapeToString(shape)));
    shape.back() = static_cast<int64_t>(*last);
    return absl::OkStatus();
  }

  // A tuple whose first part is the dtype, or a dict.
  absl::StatusOr<std::string> DtypeNameOf(PickleNodeId properties) const {
    CAIRN_ASSIGN_OR_RETURN(const PickleNodeId state, StateOf(properties));
    std::optional<PickleNodeId> dtype = Field(state, "dtype");
    if (const std::optional<PickleSequence> tuple = AsSequence(tree_, state);
        tuple.has_value() && !tuple->items.empty()) {
      dtype = tuple->items[0];
    }
    if (!dtype.has_value() || !tree_.IsGlobal(*dtype) || tree_.module(*dtype) != "torch")
      return Bad(state, "the dtype of a tensor");
    return std::string(tree_.name(*dtype));
  }

  absl::Status ReadChunks(absl::string_view name, PickleNodeId state, DcpItem* item) {
    CAIRN_ASSIGN_OR_RETURN(const PickleNodeId chunks_node, NeededField(state, "chunks"));
    const std::optional<PickleSequence> chunks = AsSequence(tree_, chunks_node);
    if (!chunks.has_value()) return Bad(chunks_node, "a list of chunks");
    for (const PickleNodeId chunk : chunks->items) {
      if (!IsInstance(chunk, "ChunkStorageMetadata")) return Bad(chunk, "an object of class ChunkStorageMetadata");
      CAIRN_ASSIGN_OR_RETURN(const PickleNodeId chunk_state, StateOf(chunk));
      CAIRN_ASSIGN_OR_RETURN(const PickleNodeId offsets_node, NeededField(chunk_state, "offsets"));
      CAIRN_ASSIGN_OR_RETURN(const PickleNodeId sizes_node, NeededField(chunk_state, "sizes"));
      CAIRN_ASSIGN_OR_RETURN(Offsets offsets, Ints(offsets_node));
      CAIRN_ASSIGN_OR_RETURN(const Offsets sizes, Ints(sizes_node));
      if (offsets.size() != item->stored_shape.size() || sizes.size() != item->stored_shape.size()) {
        return Bad(chunk, absl::StrCat("a chunk of ", item->stored_shape.size(), " dimensions"));
      }
      // Uneven sharding leaves ranks with nothing, at any offset.
      if (std::find(sizes.begin(), sizes.end(), 0) != sizes.end()) continue;
      Box box{{offsets.begin(), offsets.end()}, {sizes.begin(), sizes.end()}};
      // Without a rank to speak for all, each writes what all have.
      if (of_rank_ && !layout_->IsNewChunk(*item, box)) continue;
      auto slice = storage_.find(StorageKey{name, true, std::move(offsets)});
      if (slice == storage_.end() && chunks->items.size() == 1) slice = storage_.find(StorageKey{name});
      if (slice == storage_.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat("storage_data does not say where chunk ", box.ToString(), " lies"));
      }
      item->chunks.push_back(std::move(box));
      item->slices.push_back(slice->second);
    }
    return absl::OkStatus();
  }

  absl::Status CheckCount() const {
    if (layout_->items.size() <= limits_.max_entries) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("more entries than the limit of ", limits_.max_entries));
  }

  absl::Status LeaveOut(KeyPath path, std::string what) {
    if (layout_->left_out.size() < kMaxLeftOut) layout_->left_out.push_back({std::move(path), std::move(what)});
    return absl::OkStatus();
  }

  const PickleTree& tree_;
  const bool of_rank_;
  const ReadLimits& limits_;
  DcpLayout* const layout_;
  absl::flat_hash_map<StorageKey, uint32_t> storage_;  // Slices.
  absl::flat_hash_map<absl::string_view, PickleNodeId> paths_;
};

// SHORT_BINUNICODE, perhaps with MEMOIZE behind it.
std::optional<absl::string_view> ConsumeShortText(absl::string_view* bytes) {
  if (bytes->size() < 2 || (*bytes)[0] != '\x8c') return std::nullopt;
  const size_t size = static_cast<unsigned char>((*bytes)[1]);
  if (bytes->size() < 2 + size) return std::nullopt;
  const absl::string_view text = bytes->substr(2, size);
  bytes->remove_prefix(2 + size);
  absl::ConsumePrefix(bytes, "\x94");
  return text;
}

std::optional<absl::string_view> ConsumeLine(absl::string_view* bytes) {
  const size_t end = bytes->find('\n');
  if (end == absl::string_view::npos) return std::nullopt;
  const absl::string_view line = bytes->substr(0, end);
  bytes->remove_prefix(end + 1);
  return line;
}

}  // namespace

bool LooksLikeDcpMetadata(const ByteSource& source) {
  std::string head(std::min<uint64_t>(source.size(), 512), '\0');
  if (!source.ReadAt(0, absl::MakeSpan(head)).ok()) return false;
  absl::string_view rest = head;
  if (rest.size() < 12 || rest[0] != '\x80') return false;
  rest.remove_prefix(2);
  if (rest[0] == '\x95') rest.remove_prefix(9);  // FRAME
  std::optional<absl::string_view> module, name;
  if (absl::ConsumePrefix(&rest, "c")) {
    module = ConsumeLine(&rest);
    if (module.has_value()) name = ConsumeLine(&rest);
  } else {
    module = ConsumeShortText(&rest);
    if (module.has_value()) name = ConsumeShortText(&rest);
  }
  return name.has_value() && *name == kMetadataClass && absl::StrContains(*module, "checkpoint");
}

absl::Status ReadDcpMetadata(const ByteSource& source, bool of_rank, const ReadLimits& limits, DcpLayout* layout) {
  if (source.size() > limits.max_header_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(source.name(), ": metadata of ", source.size(),
                                                   " bytes, over the limit of ", limits.max_header_bytes));
  }
  absl::StatusOr<PickleTree> tree = ReadPickle(source, 0, {.max_memory_bytes = limits.max_tree_bytes});
  if (!tree.ok()) return Annotate(tree.status(), source.name());
  return Annotate(MetadataParser(*tree, of_rank, limits, layout).Parse(), source.name());
}

}  // namespace cairn
