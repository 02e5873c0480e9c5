#include "common/format/torch/torch_reader.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/folder/json_events.h"
#include "common/format/folder/weight_index.h"
#include "common/format/torch/torch_bytes.h"
#include "common/format/torch/torch_contents.h"
#include "common/format/torch/torch_file.h"
#include "common/format/torch/torch_names.h"

namespace cairn {
namespace {

// An asset is a configuration or a tokenizer. What is larger beside the weights is something else.
constexpr uint64_t kMaxAssetBytes = 64u << 20;

class TorchReader final : public CheckpointReader {
 public:
  TorchReader(std::shared_ptr<const SourceTree> tree, const ReadLimits& limits) : tree_(std::move(tree)), limits_(limits) {}

  // `index` says which tensors belong in which file, where there is one; `number` is the file's place in it.
  absl::Status AddWeights(const std::string& name, const WeightIndex* index, size_t number, const TorchExpectations& expectations = {}) {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> source, tree_->Open(name));
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<TorchFile> file, TorchFile::Open(std::move(source), limits_));
    CAIRN_RETURN_IF_ERROR(CheckTorchRoot(file->tree(), file->tree().root(), expectations, file->name()));
    CAIRN_ASSIGN_OR_RETURN(TorchContents contents, ReadTorchContents(file->tree(), file->tree().root(), file->name(), limits_, &budget_));
    file->DropTree();
    const size_t at = files_.size();
    if (index == nullptr && index_.entries.empty()) {
      // All of it, and without a second copy while it is taken over. The limit is kept by who read it.
      index_.entries = std::move(contents.entries);
      locations_.reserve(contents.tensors.size());
      for (TorchTensor& tensor : contents.tensors) locations_.push_back({at, std::move(tensor)});
      contents.entries.clear();
    }
    for (size_t i = 0; i < contents.entries.size(); ++i) {
      Entry& entry = contents.entries[i];
      if (index != nullptr) {
        CAIRN_ASSIGN_OR_RETURN(const bool meant, IsMeantHere(entry, *file, *index, number));
        if (!meant) continue;
      }
      CAIRN_RETURN_IF_ERROR(Add(std::move(entry), {at, std::move(contents.tensors[i])}));
    }
    std::move(contents.left_out.begin(), contents.left_out.end(), std::back_inserter(index_.left_out));
    files_.push_back(std::move(file));
    return absl::OkStatus();
  }

  // After the last file: every name of the index was found where it says.
  absl::Status CheckComplete(const WeightIndex& index) const {
    for (const auto& [name, file] : index.weights) {
      if (!listed_.contains(name)) {
        return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": the index places ", NameForMessage(name), " in ",
                                                       NameForMessage(index.files[file]), ", which does not hold it"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status AddAsset(const std::string& name) {
    CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const ByteSource> source, tree_->Open(name));
    if (source->size() > kMaxAssetBytes) return absl::OkStatus();
    CAIRN_RETURN_IF_ERROR(Add(Entry::Asset(KeyPath::Of({name}), source->size()), {}));
    return absl::OkStatus();
  }

  absl::Status Check() const { return Annotate(index_.Check(), tree_->name()); }

  const CheckpointIndex& index() const override { return index_; }

  absl::Status ReadAt(size_t number, uint64_t offset, absl::Span<char> dst) override {
    if (number >= index_.entries.size()) return absl::OutOfRangeError(absl::StrCat("entry ", number, " of ", index_.entries.size()));
    const Entry& entry = index_.entries[number];
    if (offset > entry.byte_size || dst.size() > entry.byte_size - offset) {
      return absl::OutOfRangeError(absl::StrCat(NameForMessage(entry.path.ToString()), ": bytes [", offset, ", ", offset, "+", dst.size(),
                                                ") leave the entry of ", entry.byte_size));
    }
    if (dst.empty()) return absl::OkStatus();
    if (open_ != number) {
      if (absl::Status opened = OpenEntry(number); !opened.ok()) return Annotate(opened, NameForMessage(entry.path.ToString()));
    }
    const absl::Status read = tensor_ != nullptr ? tensor_->ReadAt(offset, dst) : asset_->ReadAt(offset, dst);
    return read.ok() ? read : Annotate(read, NameForMessage(entry.path.ToString()));
  }

 private:
  struct Location {
    size_t file = 0;
    TorchTensor tensor;
  };

  absl::Status Add(Entry entry, Location location) {
    if (index_.entries.size() >= limits_.max_entries) {
      return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": more entries than the limit of ", limits_.max_entries));
    }
    index_.entries.push_back(std::move(entry));
    locations_.push_back(std::move(location));
    return absl::OkStatus();
  }

  // The files of an index are flat: what it places in another file is a copy that it does not mean, what it does not
  // know is kept, as the libraries do that load such folders.
  absl::StatusOr<bool> IsMeantHere(const Entry& entry, const TorchFile& file, const WeightIndex& index, size_t number) {
    if (entry.path.segments().size() != 1 || !std::holds_alternative<std::string>(entry.path.segments()[0])) {
      return absl::InvalidArgumentError(absl::StrCat(file.name(), ": ", NameForMessage(entry.path.ToString()),
                                                     ": a shard of an index holds tensors by name; expected no containers"));
    }
    const std::string& name = std::get<std::string>(entry.path.segments()[0]);
    const auto expected = index.weights.find(name);
    if (expected == index.weights.end()) {
      if (unlisted_.insert(name).second) return true;
      return absl::InvalidArgumentError(
          absl::StrCat(file.name(), ": ", NameForMessage(name), " is in another shard as well, and the index names neither"));
    }
    if (expected->second != number) return false;
    listed_.insert(name);
    return true;
  }

  absl::Status OpenEntry(size_t number) {
    open_.reset();
    tensor_.reset();
    asset_.reset();
    const Entry& entry = index_.entries[number];
    if (entry.kind == EntryKind::kAsset) {
      CAIRN_ASSIGN_OR_RETURN(asset_, tree_->Open(std::get<std::string>(entry.path.segments()[0])));
    } else {
      const Location& location = locations_[number];
      const TorchFile& file = *files_[location.file];
      CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const ByteSource> storage,
                             file.OpenStorage(location.tensor.storage_key, location.tensor.storage_bytes));
      CAIRN_ASSIGN_OR_RETURN(tensor_, TorchBytes::Create(location.tensor, std::move(storage), file.big_endian()));
    }
    open_ = number;
    return absl::OkStatus();
  }

  const std::shared_ptr<const SourceTree> tree_;
  const ReadLimits limits_;
  TorchBudget budget_;
  CheckpointIndex index_;
  std::vector<Location> locations_;  // By entry.
  std::vector<std::unique_ptr<TorchFile>> files_;
  absl::flat_hash_set<std::string> listed_, unlisted_;  // By the index.

  std::optional<size_t> open_;  // The entry that was read last.
  std::unique_ptr<TorchBytes> tensor_;
  std::unique_ptr<ByteSource> asset_;
};

struct FolderContents {
  std::vector<std::string> indexes;
  std::vector<std::string> weights;
  std::vector<std::string> assets;
};

absl::StatusOr<FolderContents> LookInto(const SourceTree& tree) {
  CAIRN_ASSIGN_OR_RETURN(std::vector<std::string> names, tree.List());
  FolderContents contents;
  for (std::string& name : names) {
    if (IsWeightIndexName(name, kTorchShardSuffix)) {
      contents.indexes.push_back(std::move(name));
    } else if (IsTorchName(name)) {
      // training_args.bin and the like are pickles too, and no weights.
      if (IsTorchFileAt(tree, name)) contents.weights.push_back(std::move(name));
    } else if (IsAssetName(name)) {
      contents.assets.push_back(std::move(name));
    }
  }
  return contents;
}

// The files of Hugging Face's weights beside which others (optimizer.pt, training_args.bin) may lie.
std::vector<std::string> PlainWeights(const std::vector<std::string>& weights) {
  std::vector<std::string> plain;
  std::copy_if(weights.begin(), weights.end(), std::back_inserter(plain), [](const std::string& name) { return name == kTorchLoneName; });
  return plain.empty() ? weights : plain;
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenFolder(std::shared_ptr<const SourceTree> tree,
                                                             std::unique_ptr<ByteSource> index_file, const ReadLimits& limits) {
  CAIRN_ASSIGN_OR_RETURN(FolderContents contents, LookInto(*tree));
  if (index_file == nullptr && !contents.indexes.empty()) {
    if (contents.indexes.size() > 1 && std::count(contents.indexes.begin(), contents.indexes.end(), kTorchIndexName) == 0) {
      return absl::InvalidArgumentError(absl::StrCat(tree->name(), ": holds several indexes of weights (",
                                                     absl::StrJoin(contents.indexes, ", "), "); give the path of one of them"));
    }
    const bool plain = std::count(contents.indexes.begin(), contents.indexes.end(), kTorchIndexName) != 0;
    CAIRN_ASSIGN_OR_RETURN(index_file, tree->Open(plain ? kTorchIndexName : contents.indexes.front()));
  }
  auto reader = std::make_unique<TorchReader>(tree, limits);
  if (index_file != nullptr) {
    CAIRN_ASSIGN_OR_RETURN(const WeightIndex index, ReadWeightIndex(*index_file, limits));
    for (size_t i = 0; i < index.files.size(); ++i) {
      if (absl::Status added = reader->AddWeights(index.files[i], &index, i); !added.ok()) return Annotate(added, index_file->name());
    }
    CAIRN_RETURN_IF_ERROR(reader->CheckComplete(index));
  } else {
    contents.weights = PlainWeights(contents.weights);
    if (contents.weights.size() != 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          tree->name(), ": holds ", contents.weights.size(), " files of torch.save (",
          absl::StrJoin(contents.weights.begin(), contents.weights.begin() + static_cast<ptrdiff_t>(std::min<size_t>(contents.weights.size(), 5)), ", "),
          contents.weights.size() > 5 ? ", ..." : "", ") and no ", kTorchIndexName,
          " that says what they are to each other; give the path of the one that is meant"));
    }
    CAIRN_RETURN_IF_ERROR(reader->AddWeights(contents.weights.front(), nullptr, 0));
  }
  for (const std::string& asset : contents.assets) CAIRN_RETURN_IF_ERROR(reader->AddAsset(asset));
  CAIRN_RETURN_IF_ERROR(reader->Check());
  return reader;
}

}  // namespace

bool IsTorchFileAt(const SourceTree& tree, const std::string& name) {
  const absl::StatusOr<std::unique_ptr<ByteSource>> file = tree.Open(name);
  return file.ok() && LooksLikeTorchFile(**file);
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenTorchFile(std::shared_ptr<const SourceTree> tree, const std::string& name,
                                                                TorchAssets assets, const ReadLimits& limits,
                                                                const TorchExpectations& expectations) {
  auto reader = std::make_unique<TorchReader>(tree, limits);
  CAIRN_RETURN_IF_ERROR(reader->AddWeights(name, nullptr, 0, expectations));
  if (assets == TorchAssets::kBeside) {
    CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> names, tree->List());
    for (const std::string& asset : names) {
      if (asset != name && IsAssetName(asset)) CAIRN_RETURN_IF_ERROR(reader->AddAsset(asset));
    }
  }
  CAIRN_RETURN_IF_ERROR(reader->Check());
  return reader;
}

bool DetectTorch(const SourceTree& source) {
  if (!source.is_directory()) {
    const absl::StatusOr<std::unique_ptr<ByteSource>> file = source.Open("");
    return file.ok() && (LooksLikeTorchFile(**file) || LooksLikeWeightIndex(**file, kTorchShardSuffix));
  }
  const absl::StatusOr<std::vector<std::string>> names = source.List();
  if (!names.ok()) return false;
  // A checkpoint of torch.distributed, beside which files of torch.save say more about it (Lightning, Megatron).
  const bool distributed = std::count(names->begin(), names->end(), ".metadata") != 0;
  return std::any_of(names->begin(), names->end(), [&](const std::string& name) {
    if (distributed && !absl::StartsWith(name, kTorchShardStem)) return false;
    if (IsWeightIndexName(name, kTorchShardSuffix)) {
      const absl::StatusOr<std::unique_ptr<ByteSource>> file = source.Open(name);
      return file.ok() && LooksLikeWeightIndex(**file, kTorchShardSuffix);
    }
    return IsTorchName(name) && IsTorchFileAt(source, name);
  });
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenTorch(std::shared_ptr<const SourceTree> source, const ReadLimits& limits) {
  if (source->is_directory()) return OpenFolder(std::move(source), nullptr, limits);
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, source->Open(""));
  if (LooksLikeWeightIndex(*file, kTorchShardSuffix)) {
    CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const SourceTree> folder, source->OpenParent());
    return OpenFolder(std::move(folder), std::move(file), limits);
  }
  return OpenTorchFile(std::move(source), "", TorchAssets::kNone, limits);
}

}  // namespace cairn
