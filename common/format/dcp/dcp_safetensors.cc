#include "common/format/dcp/dcp_safetensors.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/format/folder/json_events.h"
#include "common/format/safetensors/safetensors_header.h"

namespace cairn {
namespace {

constexpr char kShardingKey[] = "DCP_SHARDING_INFO";
constexpr char kOffsetsKey[] = "saved_offsets";

using SavedOffsets = absl::flat_hash_map<std::string, std::vector<int64_t>>;

// {"name": {"saved_offsets": [0, 4]}, ...}
class OffsetsHandler final : public JsonHandler {
 public:
  explicit OffsetsHandler(SavedOffsets* offsets) : offsets_(offsets) {}

  absl::Status OnKey(uint32_t depth, std::string key) override {
    if (depth == 1) current_ = &(*offsets_)[std::move(key)];
    if (depth == 2) in_offsets_ = key == kOffsetsKey;
    return absl::OkStatus();
  }
  absl::Status OnString(uint32_t depth, std::string /*value*/) override { return Other(depth, "a string"); }
  absl::Status OnUnsigned(uint32_t depth, uint64_t value) override {
    if (depth != 3 || !in_offsets_) return Other(depth, "a number");
    if (value > static_cast<uint64_t>(INT64_MAX) || current_->size() >= kMaxRank)
      return absl::InvalidArgumentError("offsets that no tensor has");
    current_->push_back(static_cast<int64_t>(value));
    return absl::OkStatus();
  }
  absl::Status OnOther(uint32_t depth, absl::string_view what) override { return Other(depth, what); }
  absl::Status OnStart(uint32_t depth, bool is_object) override {
    if (depth < 2 && !is_object) return Other(depth, "a list");
    if (depth == 2 && in_offsets_ && is_object) return Other(depth, "an object");
    if (depth == 2 && in_offsets_) current_->clear();
    return absl::OkStatus();
  }
  absl::Status OnEnd(uint32_t /*depth*/) override { return absl::OkStatus(); }

 private:
  absl::Status Other(uint32_t depth, absl::string_view what) const {
    if (depth > 1 && !in_offsets_) return absl::OkStatus();  // A field that is not known.
    return absl::InvalidArgumentError(
        absl::StrCat("expected {name: {\"", kOffsetsKey, "\": [numbers]}}, found ", what));
  }

  SavedOffsets* const offsets_;
  std::vector<int64_t>* current_ = nullptr;
  bool in_offsets_ = false;
};

absl::Status AddTensor(const SafetensorsTensor& tensor, const std::vector<int64_t>& offsets, const DcpSlice& slice,
                       const ReadLimits& limits, DcpLayout* layout) {
  if (offsets.size() != tensor.shape.size()) {
    return absl::InvalidArgumentError(absl::StrCat("has shape ", ShapeToString(tensor.shape), " and begins at ",
                                                   ShapeToString(offsets), ", which are of different ranks"));
  }
  const auto [item, is_new] = layout->FindOrAdd(tensor.name);
  if (is_new) {
    if (layout->items.size() > limits.max_entries)
      return absl::InvalidArgumentError(absl::StrCat("more entries than the limit of ", limits.max_entries));
    item->path = KeyPath::Of({tensor.name});
    item->is_tensor = true;
    item->dtype = tensor.dtype;
    item->shape.assign(tensor.shape.size(), 0);
  } else if (item->dtype != tensor.dtype || item->shape.size() != tensor.shape.size()) {
    return absl::InvalidArgumentError("another shard says that it has another dtype or rank");
  }
  for (size_t d = 0; d < offsets.size(); ++d) {
    const std::optional<uint64_t> end =
        CheckedAdd(static_cast<uint64_t>(offsets[d]), static_cast<uint64_t>(tensor.shape[d]));
    if (!end.has_value() || *end > static_cast<uint64_t>(INT64_MAX))
      return absl::InvalidArgumentError("ends beyond what can be counted");
    item->shape[d] = std::max(item->shape[d], static_cast<int64_t>(*end));
  }
  if (slice.length == 0) return absl::OkStatus();
  item->chunks.push_back(Box{offsets, tensor.shape});
  item->slices.push_back(layout->SliceNumber(slice));
  return absl::OkStatus();
}

// Elements of less than a byte are not cut: nobody says where the cuts lie in their bytes.
absl::Status SetStored(DcpItem* item, const DcpLayout& layout) {
  const int bits = BitWidth(item->dtype);
  if (bits % 8 == 0) {
    item->stored_shape = item->shape;
    item->element_size = static_cast<uint32_t>(bits / 8);
    return absl::OkStatus();
  }
  if (item->chunks.size() > 1 || (item->chunks.size() == 1 && item->chunks[0] != Box::Whole(item->shape))) {
    return absl::UnimplementedError(absl::StrCat("elements of ", bits, " bits in several shards"));
  }
  item->stored_shape = {item->chunks.empty() ? 0 : static_cast<int64_t>(layout.slices[item->slices[0]].length)};
  item->element_size = 1;
  if (!item->chunks.empty()) item->chunks[0] = Box::Whole(item->stored_shape);
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadDcpSafetensors(const SourceTree& tree, const std::vector<std::string>& names, const ReadLimits& limits,
                                DcpLayout* layout) {
  if (names.size() > limits.max_files)
    return absl::InvalidArgumentError(absl::StrCat(tree.name(), ": more files than the limit of ", limits.max_files));
  for (const std::string& name : names) {
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> source, tree.Open(name));
    CAIRN_ASSIGN_OR_RETURN(const SafetensorsHeader header, ReadSafetensorsHeader(*source, limits));
    SavedOffsets offsets;
    const auto info = header.metadata.find(kShardingKey);
    if (info != header.metadata.end()) {
      OffsetsHandler handler(&offsets);
      const absl::Status parsed = ParseJson(info->second, {}, &handler);
      if (!parsed.ok()) return Annotate(parsed, absl::StrCat(source->name(), ": ", kShardingKey));
    }
    for (const SafetensorsTensor& tensor : header.tensors) {
      std::vector<int64_t> begin(tensor.shape.size(), 0);
      if (info != header.metadata.end()) {
        const auto found = offsets.find(tensor.name);
        if (found == offsets.end()) {
          return absl::InvalidArgumentError(absl::StrCat(source->name(), ": ", kShardingKey, " does not say where ",
                                                         NameForMessage(tensor.name), " begins"));
        }
        begin = found->second;
      }
      DcpSlice slice;
      slice.file = layout->FileNumber(name);
      slice.offset = header.data_offset + tensor.begin;
      slice.length = tensor.end - tensor.begin;
      slice.raw = true;
      const absl::Status added = AddTensor(tensor, begin, slice, limits, layout);
      if (!added.ok()) return Annotate(added, absl::StrCat(source->name(), ": ", NameForMessage(tensor.name)));
    }
  }
  for (DcpItem& item : layout->items) {
    if (absl::Status set = SetStored(&item, *layout); !set.ok())
      return Annotate(set, absl::StrCat(tree.name(), ": ", NameForMessage(item.name)));
  }
  return absl::OkStatus();
}

}  // namespace cairn
