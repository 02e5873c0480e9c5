#include "common/format/flax/flax_reader.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/flax/flax_names.h"
#include "common/format/flax/flax_tree.h"
#include "common/format/folder/file_set.h"
#include "common/format/folder/json_events.h"
#include "common/format/folder/weight_index.h"

namespace cairn {
namespace {

// An asset is a configuration or a tokenizer. What is larger beside the weights is something else.
constexpr uint64_t kMaxAssetBytes = 64u << 20;

// An entry's place: a file, and its number in the pieces of that file.
struct Location {
  size_t file = 0;
  size_t number = 0;
};

class FlaxReader final : public CheckpointReader {
 public:
  FlaxReader(CheckpointIndex index, std::vector<Location> locations, std::vector<PieceTable> pieces, FileSet files)
      : index_(std::move(index)),
        locations_(std::move(locations)),
        pieces_(std::move(pieces)),
        files_(std::move(files)) {}

  const CheckpointIndex& index() const override { return index_; }

  absl::Status ReadAt(size_t number, uint64_t offset, absl::Span<char> dst) override {
    if (number >= index_.entries.size()) {
      return absl::OutOfRangeError(absl::StrCat("entry ", number, " of ", index_.entries.size()));
    }
    const Entry& entry = index_.entries[number];
    if (offset > entry.byte_size || dst.size() > entry.byte_size - offset) {
      return absl::OutOfRangeError(absl::StrCat("entry \"", entry.path.ToString(), "\": bytes [", offset, ", ", offset,
                                                "+", dst.size(), ") of ", entry.byte_size));
    }
    if (dst.empty()) return absl::OkStatus();
    const Location& location = locations_[number];
    CAIRN_ASSIGN_OR_RETURN(const ByteSource* const source, files_.Get(location.file));
    return pieces_[location.file].ForEachRun(location.number, offset, dst.size(), [&](uint64_t at, uint64_t length) {
      const absl::Span<char> run = dst.first(static_cast<size_t>(length));
      dst.remove_prefix(static_cast<size_t>(length));
      return source->ReadAt(at, run);
    });
  }

 private:
  const CheckpointIndex index_;
  const std::vector<Location> locations_;
  const std::vector<PieceTable> pieces_;  // Per file.
  FileSet files_;
};

// Marks and empty containers may stand in several shards, and stand in no index.
bool IsContainer(const Entry& entry) {
  if (entry.kind != EntryKind::kValue) return false;
  return entry.value->kind == Value::Kind::kDict || entry.value->kind == Value::Kind::kList;
}

// Gathers the index of a checkpoint, file by file.
class Assembler {
 public:
  Assembler(std::shared_ptr<const SourceTree> tree, const ReadLimits& limits)
      : tree_(tree), limits_(limits), budget_(limits), files_(std::move(tree)) {}

  // `index` says which leaves belong in which file, where there is one; `number` is the file's place in it.
  absl::Status AddTree(const std::string& name, const WeightIndex* index, size_t number) {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> source, tree_->Open(name));
    CAIRN_ASSIGN_OR_RETURN(FlaxTree tree, ScanFlaxTree(*source, limits_, budget_));
    const std::string file_name = source->name();
    const size_t file = files_.Add(name, std::move(source));
    pieces_.push_back(std::move(tree.pieces));
    for (size_t i = 0; i < tree.entries.size(); ++i) {
      Entry& entry = tree.entries[i];
      if (index != nullptr && !IsContainer(entry)) {
        const std::string weight = entry.path.Joined("/");
        const auto expected = index->weights.find(weight);
        // As with shards of other formats: a leaf that the index places elsewhere is a copy that it does not mean; one
        // that it does not know at all is kept.
        if (expected != index->weights.end() && expected->second != number) continue;
        if (expected == index->weights.end() && !unlisted_.insert({weight, number}).second) {
          return absl::InvalidArgumentError(absl::StrCat(file_name, ": entry ", NameForMessage(weight), " is also in ",
                                                         index->files[unlisted_[weight]],
                                                         ", and the index names neither"));
        }
        if (expected != index->weights.end()) listed_.insert(weight);
      } else if (index != nullptr && !containers_.insert(entry.path).second) {
        continue;
      }
      index_.entries.push_back(std::move(entry));
      locations_.push_back({file, i});
    }
    scalars_.insert(scalars_.end(), tree.scalars.begin(), tree.scalars.end());
    return absl::OkStatus();
  }

  // To be called after the last file: every leaf of the index was found where it says.
  absl::Status CheckComplete(const WeightIndex& index) const {
    if (listed_.size() == index.weights.size()) return absl::OkStatus();
    // Lists and empty dicts, which have a name in the index where they are leaves.
    absl::flat_hash_set<std::string> containers;
    for (const KeyPath& path : containers_) containers.insert(path.Joined("/"));
    for (const auto& [weight, file] : index.weights) {
      if (listed_.contains(weight) || containers.contains(weight)) continue;
      return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": the index places ", NameForMessage(weight),
                                                     " in ", NameForMessage(index.files[file]),
                                                     ", which does not hold it"));
    }
    return absl::OkStatus();
  }

  absl::Status AddAsset(const std::string& name) {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> source, tree_->Open(name));
    const uint64_t size = source->size();
    if (size > kMaxAssetBytes) return absl::OkStatus();
    if (index_.entries.size() >= limits_.max_entries) {
      return absl::InvalidArgumentError(
          absl::StrCat(tree_->name(), ": more than ", limits_.max_entries, " entries, the limit"));
    }
    index_.entries.push_back(Entry::Asset(KeyPath::Of({name}), size));
    const FlaxPiece whole{0, size};
    PieceTable& pieces = pieces_.emplace_back();
    pieces.Add(absl::MakeConstSpan(&whole, 1));
    locations_.push_back({files_.Add(name, std::move(source)), 0});
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<CheckpointReader>> Finish() && {
    if (!scalars_.empty()) index_.metadata[kFlaxScalarsMetadata] = absl::StrJoin(scalars_, "\n");
    if (const absl::Status status = index_.Check(); !status.ok()) return Annotate(status, tree_->name());
    return std::make_unique<FlaxReader>(std::move(index_), std::move(locations_), std::move(pieces_),
                                        std::move(files_));
  }

 private:
  const std::shared_ptr<const SourceTree> tree_;
  const ReadLimits limits_;
  FlaxTreeBudget budget_;
  FileSet files_;
  CheckpointIndex index_;
  std::vector<Location> locations_;
  std::vector<PieceTable> pieces_;
  std::vector<std::string> scalars_;
  absl::flat_hash_map<std::string, size_t> unlisted_;  // Leaf that the index lacks -> file.
  absl::flat_hash_set<std::string> listed_;            // Leaves that were found where the index says.
  absl::flat_hash_set<KeyPath> containers_;
};

// The index that the folder is read by: the only one, or the one of the plain name. "" if there is none.
absl::StatusOr<std::string> ChooseIndex(const SourceTree& tree, const std::vector<std::string>& indexes) {
  if (indexes.empty()) return std::string();
  if (indexes.size() == 1) return indexes.front();
  if (std::count(indexes.begin(), indexes.end(), kFlaxIndexName) != 0) return std::string(kFlaxIndexName);
  return absl::InvalidArgumentError(absl::StrCat(tree.name(), ": holds several indexes of Flax weights (",
                                                 absl::StrJoin(indexes, ", "), "); give the path of one of them"));
}

absl::Status AddIndexed(const ByteSource& index_file, const ReadLimits& limits, Assembler* assembler) {
  CAIRN_ASSIGN_OR_RETURN(const WeightIndex index, ReadWeightIndex(index_file, limits));
  // In the order of their names, which is that of the shards: an index is sorted by leaf.
  std::vector<size_t> order(index.files.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return index.files[a] < index.files[b]; });
  for (const size_t i : order) {
    const absl::Status status = assembler->AddTree(index.files[i], &index, i);
    if (!status.ok()) return Annotate(status, index_file.name());
  }
  return assembler->CheckComplete(index);
}

// `index_file` is the index that the caller was given, or null.
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenFolder(std::shared_ptr<const SourceTree> tree,
                                                             std::unique_ptr<ByteSource> index_file,
                                                             const ReadLimits& limits) {
  CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> names, tree->List());
  std::vector<std::string> indexes, weights, assets;
  for (const std::string& name : names) {
    if (IsWeightIndexName(name, kFlaxSuffix)) {
      indexes.push_back(name);
    } else if (IsFlaxFileName(name)) {
      weights.push_back(name);
    } else if (IsAssetName(name)) {
      assets.push_back(name);
    }
  }
  if (index_file == nullptr) {
    CAIRN_ASSIGN_OR_RETURN(const std::string index_name, ChooseIndex(*tree, indexes));
    if (!index_name.empty()) {
      CAIRN_ASSIGN_OR_RETURN(index_file, tree->Open(index_name));
    }
  }
  Assembler assembler(tree, limits);
  if (index_file != nullptr) {
    CAIRN_RETURN_IF_ERROR(AddIndexed(*index_file, limits, &assembler));
  } else if (weights.size() == 1) {
    CAIRN_RETURN_IF_ERROR(assembler.AddTree(weights.front(), nullptr, 0));
  } else {
    const size_t shown = std::min<size_t>(weights.size(), 5);
    return absl::InvalidArgumentError(absl::StrCat(
        tree->name(), ": expected one ", kFlaxSuffix, " file, or ", kFlaxIndexName, "; found ", weights.size(),
        " such files", weights.empty() ? "" : " (",
        absl::StrJoin(weights.begin(), weights.begin() + static_cast<ptrdiff_t>(shown), ", "),
        shown < weights.size() ? ", ...)" : (weights.empty() ? "" : ")"), "; give the path of the file that is meant"));
  }
  for (const std::string& asset : assets) CAIRN_RETURN_IF_ERROR(assembler.AddAsset(asset));
  return std::move(assembler).Finish();
}

}  // namespace

bool DetectFlax(const SourceTree& source) {
  const auto looks = [&](const std::string& name) {
    const absl::StatusOr<std::unique_ptr<ByteSource>> file = source.Open(name);
    return file.ok() && (LooksLikeFlaxTree(**file) || LooksLikeWeightIndex(**file, kFlaxSuffix));
  };
  if (!source.is_directory()) return looks("");
  const absl::StatusOr<std::vector<std::string>> names = source.List();
  return names.ok() && std::any_of(names->begin(), names->end(), [&](const std::string& name) {
           return (IsFlaxFileName(name) || IsWeightIndexName(name, kFlaxSuffix)) && looks(name);
         });
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenFlax(std::shared_ptr<const SourceTree> source,
                                                           const ReadLimits& limits) {
  if (source->is_directory()) return OpenFolder(std::move(source), nullptr, limits);
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, source->Open(""));
  if (LooksLikeWeightIndex(*file, kFlaxSuffix)) {
    CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const SourceTree> folder, source->OpenParent());
    return OpenFolder(std::move(folder), std::move(file), limits);
  }
  Assembler assembler(source, limits);
  CAIRN_RETURN_IF_ERROR(assembler.AddTree("", nullptr, 0));
  return std::move(assembler).Finish();
}

}  // namespace cairn
