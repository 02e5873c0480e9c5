#include "common/format/dcp/dcp_reader.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/dcp/chunk_cache.h"
#include "common/format/dcp/chunk_grid.h"
#include "common/format/dcp/dcp_files.h"
#include "common/format/dcp/dcp_layout.h"
#include "common/format/dcp/dcp_metadata.h"
#include "common/format/dcp/dcp_names.h"
#include "common/format/dcp/dcp_safetensors.h"
#include "common/format/dcp/list_marks.h"
#include "common/format/folder/json_events.h"
#include "common/format/folder/weight_index.h"
#include "common/format/safetensors/safetensors_header.h"
#include "common/format/safetensors/safetensors_index.h"
#include "common/format/torch/torch_contents.h"
#include "common/format/torch/torch_names.h"

namespace cairn {
namespace {

// An asset is a configuration or a tokenizer. What is larger beside the weights is something else.
constexpr uint64_t kMaxAssetBytes = 64u << 20;
// All values are held in memory, and one slice may be named many times, which may be much larger than it is stored.
constexpr uint64_t kMaxValuesOfThatSize = 64;
// Nobody saves so; and a small folder may name one item so often that its entries fill the memory.
constexpr uint64_t kMaxRepeatedEntries = 5000;

class DcpReader final : public CheckpointReader {
 public:
  DcpReader(std::shared_ptr<const SourceTree> tree, const DcpReadOptions& options, std::unique_ptr<DcpFiles> files,
            DcpLayout* layout)
      : tree_(std::move(tree)),
        limits_(options.limits),
        files_(std::move(files)),
        slices_(std::move(layout->slices)),
        cache_(files_.get(), options.limits) {
    index_.left_out = std::move(layout->left_out);
  }

  // Takes the items over.
  absl::Status AddItems(std::vector<DcpItem> items) {
    std::vector<const KeyPath*> paths;
    for (const DcpItem& item : items) paths.push_back(&item.path);
    CAIRN_ASSIGN_OR_RETURN(std::vector<std::vector<Entry>> marks, MarkLists(paths, limits_.max_entries));
    for (size_t i = 0; i < items.size(); ++i) {
      for (Entry& mark : marks[i]) CAIRN_RETURN_IF_ERROR(Add(std::move(mark), {}));
      const std::string name = NameForMessage(items[i].name);
      const absl::Status added = items[i].is_tensor ? AddTensor(std::move(items[i])) : AddValue(items[i]);
      if (!added.ok()) return Annotate(added, name);
    }
    return absl::OkStatus();
  }

  absl::Status AddAsset(const std::string& name) {
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> source, tree_->Open(name));
    if (source->size() > kMaxAssetBytes) return absl::OkStatus();
    return Add(Entry::Asset(KeyPath::Of({name}), source->size()), {.kind = Location::kAsset});
  }

  void AddLeftOut(const std::string& name, std::string what) {
    index_.left_out.push_back({KeyPath::Of({name}), std::move(what)});
  }

  absl::Status Check() const { return index_.Check(); }

  const CheckpointIndex& index() const override { return index_; }

  absl::Status ReadAt(size_t number, uint64_t offset, absl::Span<char> dst) override {
    if (number >= index_.entries.size())
      return absl::OutOfRangeError(absl::StrCat("entry ", number, " of ", index_.entries.size()));
    const Entry& entry = index_.entries[number];
    if (offset > entry.byte_size || dst.size() > entry.byte_size - offset) {
      return absl::OutOfRangeError(absl::StrCat(NameForMessage(entry.path.ToString()), ": bytes [", offset, ", ",
                                                offset, "+", dst.size(), ") leave the entry of ", entry.byte_size));
    }
    if (dst.empty()) return absl::OkStatus();
    const absl::Status read = Read(number, offset, dst);
    return read.ok() ? read : Annotate(read, NameForMessage(entry.path.ToString()));
  }

 private:
  // Where an entry's bytes are.
  struct Location {
    enum Kind : uint8_t { kNone, kChunks, kInValue, kAsset };
    Kind kind = kNone;
    size_t number = 0;  // Of tensors_ or inner_.
  };
  struct Tensor {
    ChunkGrid grid;
    std::vector<uint32_t> slices;  // Of the chunks.
  };
  // A tensor in a value, such as an item of a tuple.
  struct InnerTensor {
    uint32_t slice = 0;
    TorchTensor tensor;
  };

  absl::Status Add(Entry entry, Location location) {
    if (index_.entries.size() >= limits_.max_entries) {
      return absl::InvalidArgumentError(absl::StrCat("more entries than the limit of ", limits_.max_entries));
    }
    if (entry.path.ToString().size() > limits_.max_name_bytes) {
      return absl::InvalidArgumentError(absl::StrCat("a name over the limit of ", limits_.max_name_bytes, " bytes"));
    }
    index_.entries.push_back(std::move(entry));
    locations_.push_back(location);
    return absl::OkStatus();
  }

  absl::Status AddTensor(DcpItem item) {
    Tensor tensor;
    CAIRN_ASSIGN_OR_RETURN(const uint64_t bytes, ByteSize(item.dtype, item.shape));
    CAIRN_ASSIGN_OR_RETURN(tensor.grid, ChunkGrid::Create(item.stored_shape, item.element_size, item.chunks));
    tensor.slices = std::move(item.slices);
    if (const std::optional<size_t> same = FindSame(tensor, item)) {
      return Add(Entry::Alias(std::move(item.path), index_.entries[*same].path), {});
    }
    if (!tensor.slices.empty()) by_slice_.try_emplace(tensor.slices[0], index_.entries.size());
    tensors_.push_back(std::move(tensor));
    return Add(Entry::Tensor(std::move(item.path), item.dtype, std::move(item.shape), bytes),
               {Location::kChunks, tensors_.size() - 1});
  }

  // The entry that has the very bytes of this one.
  std::optional<size_t> FindSame(const Tensor& tensor, const DcpItem& item) const {
    if (tensor.slices.empty()) return std::nullopt;
    const auto found = by_slice_.find(tensor.slices[0]);
    if (found == by_slice_.end()) return std::nullopt;
    const Entry& entry = index_.entries[found->second];
    const Tensor& other = tensors_[locations_[found->second].number];
    const bool same = entry.dtype == item.dtype && entry.shape == item.shape && other.slices == tensor.slices &&
                      other.grid == tensor.grid;
    return same ? std::optional<size_t>(found->second) : std::nullopt;
  }

  absl::Status AddValue(const DcpItem& item) {
    const DcpSlice& slice = slices_[item.slices[0]];
    const uint64_t most = limits_.max_value_bytes * kMaxValuesOfThatSize;
    if (slice.length > most - value_bytes_)
      return absl::ResourceExhaustedError(absl::StrCat("values of more than ", most, " bytes in all"));
    CAIRN_ASSIGN_OR_RETURN(const DcpFiles::Item opened, files_->OpenItem(slice, most - value_bytes_, limits_));
    value_bytes_ += std::min(opened.work, most - value_bytes_);
    const std::unique_ptr<TorchFile>& file = opened.file;
    CAIRN_ASSIGN_OR_RETURN(TorchContents contents,
                           ReadTorchContentsAt(item.path, file->tree(), file->tree().root(), file->name(), limits_, &budget_));
    if (!value_slices_.insert(item.slices[0]).second) repeated_entries_ += contents.entries.size();
    if (repeated_entries_ > kMaxRepeatedEntries) {
      return absl::InvalidArgumentError(absl::StrCat("values that lie in one item make more than ", kMaxRepeatedEntries, " entries; expected an item for each"));
    }
    for (size_t i = 0; i < contents.entries.size(); ++i) {
      Location location;
      if (contents.entries[i].kind == EntryKind::kTensor) {
        location = {Location::kInValue, inner_.size()};
        inner_.push_back({item.slices[0], std::move(contents.tensors[i])});
      }
      CAIRN_RETURN_IF_ERROR(Add(std::move(contents.entries[i]), location));
    }
    std::move(contents.left_out.begin(), contents.left_out.end(), std::back_inserter(index_.left_out));
    return absl::OkStatus();
  }

  absl::Status Read(size_t number, uint64_t offset, absl::Span<char> dst) {
    const Location& location = locations_[number];
    if (location.kind == Location::kChunks) {
      const Tensor& tensor = tensors_[location.number];
      const Dtype dtype = index_.entries[number].dtype;
      return tensor.grid.ReadAt(offset, dst, &scratch_, [&](size_t chunk, uint64_t at, absl::Span<char> part) {
        const uint32_t slice = tensor.slices[chunk];
        if (slices_[slice].raw) return files_->ReadAt(slices_[slice].file, slices_[slice].offset + at, part);
        return cache_.ReadAt(slice, slices_[slice], dtype, tensor.grid.chunk_extent(chunk), at, part);
      });
    }
    if (open_ != number) CAIRN_RETURN_IF_ERROR(OpenEntry(number));
    return asset_ != nullptr ? asset_->ReadAt(offset, dst) : inner_bytes_->ReadAt(offset, dst);
  }

  absl::Status OpenEntry(size_t number) {
    open_.reset();
    asset_.reset();
    inner_bytes_.reset();
    if (locations_[number].kind == Location::kAsset) {
      CAIRN_ASSIGN_OR_RETURN(asset_, tree_->Open(std::get<std::string>(index_.entries[number].path.segments()[0])));
    } else {
      const InnerTensor& inner = inner_[locations_[number].number];
      CAIRN_ASSIGN_OR_RETURN(
          const DcpFiles::Item item,
          files_->OpenItem(slices_[inner.slice], limits_.max_value_bytes * kMaxValuesOfThatSize, limits_));
      const std::unique_ptr<TorchFile>& file = item.file;
      CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const ByteSource> storage,
                             file->OpenStorage(inner.tensor.storage_key, inner.tensor.storage_bytes));
      CAIRN_ASSIGN_OR_RETURN(inner_bytes_, TorchBytes::Create(inner.tensor, std::move(storage), file->big_endian()));
    }
    open_ = number;
    return absl::OkStatus();
  }

  const std::shared_ptr<const SourceTree> tree_;
  const ReadLimits limits_;
  const std::unique_ptr<DcpFiles> files_;
  const std::vector<DcpSlice> slices_;
  CheckpointIndex index_;
  std::vector<Location> locations_;  // By entry.
  std::vector<Tensor> tensors_;
  std::vector<InnerTensor> inner_;
  absl::flat_hash_map<uint32_t, size_t> by_slice_;  // First slice of a tensor -> entry.
  uint64_t value_bytes_ = 0;
  absl::flat_hash_set<uint32_t> value_slices_;
  TorchBudget budget_;
  uint64_t repeated_entries_ = 0;  // Of values whose slice is another's too.

  ChunkCache cache_;
  std::vector<char> scratch_;
  std::optional<size_t> open_;  // The asset or inner tensor that was read last.
  std::unique_ptr<ByteSource> asset_;
  std::unique_ptr<TorchBytes> inner_bytes_;
};

bool Contains(const std::vector<std::string>& names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// What the folder is read by.
struct FolderContents {
  bool global = false;                                    // One `.metadata` for all.
  std::vector<std::pair<uint32_t, std::string>> of_rank;  // One per rank, ascending.
  std::vector<std::string> safetensors;
  bool has_index = false;  // Of safetensors: then the files are whole tensors.
};

FolderContents LookInto(const std::vector<std::string>& names) {
  FolderContents contents;
  for (const std::string& name : names) {
    contents.global |= name == kDcpMetadataName;
    if (const std::optional<uint32_t> rank = DcpRankOfMetadata(name)) contents.of_rank.emplace_back(*rank, name);
    if (IsSafetensorsName(name)) contents.safetensors.push_back(name);
    contents.has_index |= IsSafetensorsIndexName(name);
  }
  std::sort(contents.of_rank.begin(), contents.of_rank.end());
  return contents;
}

template <typename Predicate>
bool FileIs(const SourceTree& tree, const std::string& name, Predicate predicate) {
  const absl::StatusOr<std::unique_ptr<ByteSource>> file = tree.Open(name);
  return file.ok() && predicate(**file);
}

absl::Status ReadMetadata(const SourceTree& tree, const std::string& name, bool of_rank, const ReadLimits& limits,
                          DcpLayout* layout) {
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> source, tree.Open(name));
  return ReadDcpMetadata(*source, of_rank, limits, layout);
}

}  // namespace

bool HasDcpFiles(const SourceTree& source) {
  if (!source.is_directory()) return false;
  const absl::StatusOr<std::vector<std::string>> names = source.List();
  if (!names.ok()) return false;
  const FolderContents contents = LookInto(*names);
  if (contents.global) return FileIs(source, kDcpMetadataName, LooksLikeDcpMetadata);
  if (!contents.of_rank.empty()) return FileIs(source, contents.of_rank.front().second, LooksLikeDcpMetadata);
  return !contents.has_index &&
         std::any_of(contents.safetensors.begin(), contents.safetensors.end(),
                     [&](const std::string& name) { return FileIs(source, name, LooksLikeDcpSafetensors); });
}

bool DetectDcp(const SourceTree& source) {
  if (!HasDcpFiles(source)) return false;
  const absl::StatusOr<std::vector<std::string>> names = source.List();
  return names.ok() && !Contains(*names, kLightningMetaName);
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenDcpDirectory(std::shared_ptr<const SourceTree> source,
                                                                   const DcpReadOptions& options) {
  if (!source->is_directory()) {
    return absl::InvalidArgumentError(
        absl::StrCat(source->name(), ": is one file; expected the folder of a checkpoint of torch.distributed"));
  }
  const std::string where = source->name();
  CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> names, source->List());
  const FolderContents contents = LookInto(names);
  DcpLayout layout;
  if (contents.global) {
    CAIRN_RETURN_IF_ERROR(ReadMetadata(*source, kDcpMetadataName, false, options.limits, &layout));
  } else if (!contents.of_rank.empty()) {
    for (const auto& [rank, name] : contents.of_rank)
      CAIRN_RETURN_IF_ERROR(ReadMetadata(*source, name, true, options.limits, &layout));
  } else if (!contents.safetensors.empty()) {
    CAIRN_RETURN_IF_ERROR(ReadDcpSafetensors(*source, contents.safetensors, options.limits, &layout));
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": holds no ", kDcpMetadataName,
                     ": it is no checkpoint of torch.distributed, or one whose save did not finish"));
  }
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<DcpFiles> files, DcpFiles::Open(source, layout));
  std::vector<DcpItem> items = std::move(layout.items);
  auto reader = std::make_unique<DcpReader>(source, options, std::move(files), &layout);
  if (absl::Status added = reader->AddItems(std::move(items)); !added.ok()) return Annotate(added, where);
  const absl::flat_hash_set<absl::string_view> data_files(layout.files.begin(), layout.files.end());
  for (const std::string& name : names) {
    if (IsDcpName(name) || Contains(options.other_files, name) || data_files.contains(name)) continue;
    if (IsAssetName(name)) {
      CAIRN_RETURN_IF_ERROR(reader->AddAsset(name));
    } else if (IsTorchName(name)) {
      reader->AddLeftOut(name, "a file of torch.save beside the checkpoint, which is one of its own");
    }
  }
  if (absl::Status checked = reader->Check(); !checked.ok()) return Annotate(checked, where);
  return reader;
}

}  // namespace cairn
