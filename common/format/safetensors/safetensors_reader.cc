#include "common/format/safetensors/safetensors_reader.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/folder/file_set.h"
#include "common/format/folder/json_events.h"
#include "common/format/folder/weight_index.h"
#include "common/format/safetensors/safetensors_header.h"
#include "common/format/safetensors/safetensors_index.h"

namespace cairn {
namespace {

// An asset is a configuration or a tokenizer. What is larger beside the weights is something else.
constexpr uint64_t kMaxAssetBytes = 64u << 20;

class SafetensorsReader final : public CheckpointReader {
 public:
  struct Location {
    size_t file = 0;
    uint64_t offset = 0;
  };

  SafetensorsReader(CheckpointIndex index, std::vector<Location> locations, FileSet files)
      : index_(std::move(index)), locations_(std::move(locations)), files_(std::move(files)) {}

  const CheckpointIndex& index() const override { return index_; }

  absl::Status ReadAt(size_t number, uint64_t offset, absl::Span<char> dst) override {
    if (number >= index_.entries.size()) {
      return absl::OutOfRangeError(absl::StrCat("entry ", number, " of ", index_.entries.size()));
    }
    const Entry& entry = index_.entries[number];
    if (offset > entry.byte_size || dst.size() > entry.byte_size - offset) {
      return absl::OutOfRangeError(absl::StrCat(NameForMessage(entry.path.ToString()), ": bytes [", offset,
                                                ", ", offset, "+", dst.size(), ") leave the entry of ",
                                                entry.byte_size));
    }
    if (dst.empty()) return absl::OkStatus();
    const Location& location = locations_[number];
    CAIRN_ASSIGN_OR_RETURN(const ByteSource* const source, files_.Get(location.file));
    const absl::Status status = source->ReadAt(location.offset + offset, dst);
    return status.ok() ? status : Annotate(status, entry.path.ToString());
  }

 private:
  const CheckpointIndex index_;
  const std::vector<Location> locations_;
  FileSet files_;
};

// Gathers the index of a checkpoint, file by file.
class Assembler {
 public:
  Assembler(std::shared_ptr<const SourceTree> tree, const ReadLimits& limits)
      : tree_name_(tree->name()), tree_(tree), limits_(limits), files_(std::move(tree)) {}

  // `index` says which tensors belong in which file, where there is one; `number` is the file's place in it.
  absl::Status AddWeights(const std::string& name, const WeightIndex* index, size_t number) {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> source, tree_->Open(name));
    CAIRN_ASSIGN_OR_RETURN(SafetensorsHeader header, ReadSafetensorsHeader(*source, limits_));
    const std::string file_name = source->name();
    const size_t file = files_.Add(name, std::move(source));
    AddMetadata(name, std::move(header.metadata));
    for (SafetensorsTensor& tensor : header.tensors) {
      if (index != nullptr) {
        const auto expected = index->weights.find(tensor.name);
        // A tensor that the index places elsewhere is a copy that it does not mean. One that it does not know
        // at all is kept, as the libraries that load such folders do.
        if (expected != index->weights.end() && expected->second != number) continue;
        if (expected == index->weights.end() && !unlisted_.insert({tensor.name, number}).second) {
          return absl::InvalidArgumentError(absl::StrCat(file_name, ": tensor ", NameForMessage(tensor.name),
                                                         " is also in ", index->files[unlisted_[tensor.name]],
                                                         ", and the index names neither"));
        }
        if (expected != index->weights.end()) ++listed_found_;
      }
      if (index_.entries.size() >= limits_.max_entries) return TooManyEntries();
      locations_.push_back({.file = file, .offset = header.data_offset + tensor.begin});
      index_.entries.push_back(Entry::Tensor(KeyPath::Of({std::move(tensor.name)}), tensor.dtype,
                                             std::move(tensor.shape), tensor.end - tensor.begin));
    }
    return absl::OkStatus();
  }

  // To be called after the last file: every tensor of the index was found where it says.
  absl::Status CheckComplete(const WeightIndex& index) const {
    if (listed_found_ == index.weights.size()) return absl::OkStatus();
    absl::flat_hash_set<absl::string_view> found;
    for (const Entry& entry : index_.entries) found.insert(std::get<std::string>(entry.path.segments()[0]));
    for (const auto& [tensor, file] : index.weights) {
      if (!found.contains(tensor)) {
        return absl::InvalidArgumentError(
            absl::StrCat(tree_name_, ": the index places tensor ", NameForMessage(tensor), " in ",
                         NameForMessage(index.files[file]), ", which does not hold it"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status AddAsset(const std::string& name) {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> source, tree_->Open(name));
    if (source->size() > kMaxAssetBytes) return absl::OkStatus();
    if (index_.entries.size() >= limits_.max_entries) return TooManyEntries();
    index_.entries.push_back(Entry::Asset(KeyPath::Of({name}), source->size()));
    locations_.push_back({.file = files_.Add(name, std::move(source)), .offset = 0});
    return absl::OkStatus();
  }

  std::unique_ptr<CheckpointReader> Finish() && {
    return std::make_unique<SafetensorsReader>(std::move(index_), std::move(locations_), std::move(files_));
  }

 private:
  // Shards repeat their metadata. Where they differ from the first, the file's name tells them apart.
  void AddMetadata(const std::string& file, std::map<std::string, std::string> metadata) {
    for (auto& [key, value] : metadata) {
      const auto [it, is_new] = index_.metadata.try_emplace(key, value);
      if (!is_new && it->second != value) index_.metadata[absl::StrCat(key, "@", file)] = std::move(value);
    }
  }

  absl::Status TooManyEntries() const {
    return absl::InvalidArgumentError(
        absl::StrCat(tree_name_, ": more entries than the limit of ", limits_.max_entries));
  }

  const std::string tree_name_;
  const std::shared_ptr<const SourceTree> tree_;
  const ReadLimits limits_;
  FileSet files_;
  CheckpointIndex index_;
  std::vector<SafetensorsReader::Location> locations_;
  absl::flat_hash_map<std::string, size_t> unlisted_;  // Tensor that the index lacks -> file.
  size_t listed_found_ = 0;
};

// The files of a folder, sorted by what they are.
struct FolderContents {
  std::vector<std::string> indexes;
  std::vector<std::string> weights;
  std::vector<std::string> assets;
};

absl::StatusOr<FolderContents> LookInto(const SourceTree& tree) {
  CAIRN_ASSIGN_OR_RETURN(std::vector<std::string> names, tree.List());
  FolderContents contents;
  for (std::string& name : names) {
    if (IsSafetensorsIndexName(name)) {
      contents.indexes.push_back(std::move(name));
    } else if (IsSafetensorsName(name)) {
      contents.weights.push_back(std::move(name));
    } else if (IsAssetName(name)) {
      contents.assets.push_back(std::move(name));
    }
  }
  return contents;
}

// The index that the folder is read by: the only one, or the one of the plain name. "" if there is none.
absl::StatusOr<std::string> ChooseIndex(const SourceTree& tree, const std::vector<std::string>& indexes) {
  if (indexes.empty()) return std::string();
  if (indexes.size() == 1) return indexes.front();
  if (std::count(indexes.begin(), indexes.end(), kSafetensorsIndexName) != 0)
    return std::string(kSafetensorsIndexName);
  return absl::InvalidArgumentError(absl::StrCat(tree.name(), ": holds several safetensors indexes (",
                                                 absl::StrJoin(indexes, ", "),
                                                 "); give the path of one of them"));
}

absl::Status AddIndexed(const ByteSource& index_file, const ReadLimits& limits, Assembler* assembler) {
  CAIRN_ASSIGN_OR_RETURN(const WeightIndex index, ReadWeightIndex(index_file, limits));
  for (size_t i = 0; i < index.files.size(); ++i) {
    const absl::Status status = assembler->AddWeights(index.files[i], &index, i);
    if (!status.ok()) return Annotate(status, index_file.name());
  }
  return assembler->CheckComplete(index);
}

absl::Status RefuseFolder(const SourceTree& tree, absl::Span<const std::string> weights) {
  if (weights.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(tree.name(), ": holds no .safetensors file and no ", kSafetensorsIndexName));
  }
  const bool cut = weights.size() > 5;
  return absl::InvalidArgumentError(absl::StrCat(
      tree.name(), ": holds ", weights.size(), " .safetensors files (",
      absl::StrJoin(weights.subspan(0, 5), ", "), cut ? ", ..." : "", ") and no ", kSafetensorsIndexName,
      " that says what they are to each other; give the path of the one that is meant"));
}

// `index_file` is the index that the caller was given, or null.
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenFolder(std::shared_ptr<const SourceTree> tree,
                                                             std::unique_ptr<ByteSource> index_file,
                                                             const ReadLimits& limits) {
  CAIRN_ASSIGN_OR_RETURN(const FolderContents contents, LookInto(*tree));
  if (index_file == nullptr) {
    CAIRN_ASSIGN_OR_RETURN(const std::string index_name, ChooseIndex(*tree, contents.indexes));
    if (!index_name.empty()) {
      CAIRN_ASSIGN_OR_RETURN(index_file, tree->Open(index_name));
    }
  }
  Assembler assembler(tree, limits);
  if (index_file != nullptr) {
    CAIRN_RETURN_IF_ERROR(AddIndexed(*index_file, limits, &assembler));
  } else if (contents.weights.size() == 1) {
    CAIRN_RETURN_IF_ERROR(assembler.AddWeights(contents.weights.front(), nullptr, 0));
  } else {
    return RefuseFolder(*tree, contents.weights);
  }
  for (const std::string& asset : contents.assets) CAIRN_RETURN_IF_ERROR(assembler.AddAsset(asset));
  return std::move(assembler).Finish();
}

}  // namespace

bool DetectSafetensors(const SourceTree& source) {
  if (!source.is_directory()) {
    const absl::StatusOr<std::unique_ptr<ByteSource>> file = source.Open("");
    return file.ok() && (LooksLikeSafetensors(**file) || LooksLikeSafetensorsIndex(**file));
  }
  const absl::StatusOr<std::vector<std::string>> names = source.List();
  if (!names.ok()) return false;
  // Without an index, shards of DCP are parts of tensors that somebody has to put together.
  const bool has_index = std::any_of(names->begin(), names->end(), IsSafetensorsIndexName);
  return std::any_of(names->begin(), names->end(), [&](const std::string& name) {
    if (!IsSafetensorsName(name) && !IsSafetensorsIndexName(name)) return false;
    const absl::StatusOr<std::unique_ptr<ByteSource>> file = source.Open(name);
    if (!file.ok()) return false;
    return LooksLikeSafetensors(**file) ? has_index || !LooksLikeDcpSafetensors(**file) : LooksLikeSafetensorsIndex(**file);
  });
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenSafetensors(std::shared_ptr<const SourceTree> source,
                                                                  const ReadLimits& limits) {
  if (source->is_directory()) return OpenFolder(std::move(source), nullptr, limits);
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, source->Open(""));
  if (LooksLikeSafetensorsIndex(*file)) {
    CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const SourceTree> folder, source->OpenParent());
    return OpenFolder(std::move(folder), std::move(file), limits);
  }
  Assembler assembler(source, limits);
  CAIRN_RETURN_IF_ERROR(assembler.AddWeights("", nullptr, 0));
  return std::move(assembler).Finish();
}

}  // namespace cairn
