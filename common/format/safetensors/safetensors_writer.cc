#include "common/format/safetensors/safetensors_writer.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/format/safetensors/safetensors_header.h"
#include "common/format/safetensors/safetensors_index.h"
#include "common/format/folder/json_events.h"

namespace cairn {
namespace {

constexpr size_t kMaxShownProblems = 5;

// One .safetensors file to be, with its tensors in the order of their bytes.
struct PlannedFile {
  std::string name;  // "" for a lone file.
  std::vector<size_t> entries;
  std::string header;
};

std::string Shown(const KeyPath& path) { return NameForMessage(path.ToString()); }

std::string AdviceForDtype(Dtype dtype) {
  return absl::StrCat("has dtype ", DtypeName(dtype), ", which safetensors lacks: ",
                      IsFloat(dtype) ? "cast it, for example to float32" : "write another format");
}

class SafetensorsWriter final : public CheckpointWriter {
 public:
  SafetensorsWriter(std::shared_ptr<SinkTree> tree, const WriteOptions& options)
      : tree_(std::move(tree)), options_(options) {}

  absl::StatusOr<std::vector<size_t>> Begin(const CheckpointIndex& index) override {
    if (index_ != nullptr) return absl::FailedPreconditionError("Begin() was called before");
    index_ = &index;
    names_.resize(index.entries.size());
    ChooseLayout();
    CAIRN_RETURN_IF_ERROR(TakeEntries());
    CAIRN_RETURN_IF_ERROR(CheckMetadata());
    CutIntoShards();
    for (PlannedFile& file : files_) CAIRN_RETURN_IF_ERROR(MakeHeader(&file));
    order_ = assets_;
    for (const PlannedFile& file : files_)
      order_.insert(order_.end(), file.entries.begin(), file.entries.end());
    return order_;
  }

  absl::StatusOr<uint64_t> StartEntry(size_t number) override {
    if (in_entry_ || next_ == order_.size() || order_[next_] != number) {
      return absl::FailedPreconditionError(absl::StrCat(tree_->name(), ": entry ", number, " out of order"));
    }
    if (next_ < assets_.size()) {
      CAIRN_ASSIGN_OR_RETURN(sink_, tree_->Create(names_[number]));
    } else if (sink_ == nullptr) {
      CAIRN_RETURN_IF_ERROR(StartFile());
    }
    in_entry_ = true;
    missing_ = index_->entries[number].byte_size;
    return 0;
  }

  absl::Status Append(absl::string_view bytes) override {
    if (!in_entry_) return absl::FailedPreconditionError("Append() outside of an entry");
    if (bytes.size() > missing_) {
      return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", Shown(Current().path), ": ",
                                                     bytes.size() - missing_, " bytes more than its ",
                                                     Current().byte_size));
    }
    missing_ -= bytes.size();
    return sink_->Append(bytes);
  }

  absl::Status FinishEntry() override {
    if (!in_entry_) return absl::FailedPreconditionError("FinishEntry() outside of an entry");
    if (missing_ != 0) {
      return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", Shown(Current().path), ": ",
                                                     missing_, " of ", Current().byte_size,
                                                     " bytes are missing"));
    }
    in_entry_ = false;
    ++next_;
    if (next_ <= assets_.size()) return CloseSink();
    if (++entries_done_ < files_[file_].entries.size()) return absl::OkStatus();
    entries_done_ = 0;
    ++file_;
    return CloseSink();
  }

  absl::Status Finish() override {
    if (index_ == nullptr || in_entry_ || next_ != order_.size()) {
      return absl::FailedPreconditionError(
          absl::StrCat(tree_->name(), ": finished before all entries were written"));
    }
    if (file_ < files_.size()) {  // A checkpoint without tensors is one header.
      CAIRN_RETURN_IF_ERROR(StartFile());
      CAIRN_RETURN_IF_ERROR(CloseSink());
    }
    if (NeedsIndex()) CAIRN_RETURN_IF_ERROR(WriteIndex());
    return tree_->Commit();
  }

 private:
  const Entry& Current() const { return index_->entries[order_[next_]]; }

  // FORMAT.md, "Writing": one file, or a folder.
  void ChooseLayout() {
    const bool has_assets = std::any_of(index_->entries.begin(), index_->entries.end(),
                                        [](const Entry& entry) { return entry.kind == EntryKind::kAsset; });
    // A path that is named like one file is meant as one.
    folder_ = tree_->is_directory() || options_.max_shard_bytes != 0 ||
              (has_assets && !IsSafetensorsName(tree_->name()));
  }

  // Sorts the entries into tensors_ and assets_, and names them.
  absl::Status TakeEntries() {
    std::vector<std::string> problems;
    size_t problem_count = 0;
    const auto complain = [&](const Entry& entry, absl::string_view why) {
      if (++problem_count <= kMaxShownProblems) problems.push_back(absl::StrCat(Shown(entry.path), " ", why));
    };
    for (size_t i = 0; i < index_->entries.size(); ++i) {
      const Entry& entry = index_->entries[i];
      switch (entry.kind) {
        case EntryKind::kTensor:
          if (SafetensorsDtypeName(entry.dtype).empty()) {
            complain(entry, AdviceForDtype(entry.dtype));
          } else {
            tensors_.push_back(i);
          }
          break;
        case EntryKind::kValue:
          complain(entry, "is a value, which safetensors does not store");
          break;
        case EntryKind::kAlias:
          complain(entry, absl::StrCat("is an alias of ", Shown(entry.target),
                                       ", which safetensors does not store"));
          break;
        case EntryKind::kAsset:
          if (folder_) {
            assets_.push_back(i);
          } else {
            complain(entry, "is a file beside the weights, which needs a folder: let the path end in '/'");
          }
          break;
      }
    }
    if (problem_count != 0 && !options_.drop_unsupported) {
      return absl::InvalidArgumentError(
          absl::StrCat(tree_->name(), ": ", problem_count, problem_count == 1 ? " entry does" : " entries do",
                       " not fit into safetensors: ", absl::StrJoin(problems, "; "),
                       problem_count > problems.size() ? "; ..." : "",
                       ". To leave them out, ask to drop what is unsupported"));
    }
    CAIRN_RETURN_IF_ERROR(NameTensors());
    return NameAssets();
  }

  absl::Status NameTensors() {
    absl::flat_hash_map<absl::string_view, size_t> taken;
    for (const size_t number : tensors_) {
      const Entry& entry = index_->entries[number];
      const auto refuse = [&](absl::string_view why) {
        return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", Shown(entry.path), " ", why));
      };
      if (entry.path.empty()) return refuse("is the root of the tree: a tensor of safetensors needs a name");
      names_[number] = entry.path.Joined(options_.separator);
      const std::string& name = names_[number];
      if (name == kSafetensorsMetadataName)
        return refuse("has the name that safetensors keeps for its metadata");
      if (!IsUtf8(name)) return refuse("has a name that is not UTF-8");
      const auto [other, is_new] = taken.emplace(name, number);
      if (!is_new) {
        return refuse(absl::StrCat("and ", Shown(index_->entries[other->second].path), " are both named ",
                                   NameForMessage(name), " when joined with \"", options_.separator,
                                   "\"; choose another separator"));
      }
      const absl::StatusOr<uint64_t> size = ByteSize(entry.dtype, entry.shape);
      if (!size.ok()) return Annotate(size.status(), Shown(entry.path));
      if (*size != entry.byte_size) {
        return refuse(absl::StrCat("has ", entry.byte_size, " bytes, expected ", *size, " for ",
                                   DtypeName(entry.dtype), " ", ShapeToString(entry.shape)));
      }
    }
    return absl::OkStatus();
  }

  absl::Status NameAssets() {
    for (const size_t number : assets_) {
      const Entry& entry = index_->entries[number];
      names_[number] = entry.path.Joined("/");
      if (IsSafetensorsName(names_[number]) || IsSafetensorsIndexName(names_[number])) {
        return absl::InvalidArgumentError(
            absl::StrCat(tree_->name(), ": asset ", Shown(entry.path), " has the name of a file of weights"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckMetadata() const {
    for (const auto& [key, value] : index_->metadata) {
      if (!IsUtf8(key) || !IsUtf8(value)) {
        return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": metadata ", NameForMessage(key),
                                                       " is not UTF-8, which safetensors needs"));
      }
    }
    return absl::OkStatus();
  }

  // Greedy, in the order of the index: a tensor above the limit has a shard of its own.
  void CutIntoShards() {
    files_.emplace_back();
    uint64_t shard_bytes = 0;
    for (const size_t number : tensors_) {
      const uint64_t bytes = index_->entries[number].byte_size;
      total_bytes_ += bytes;
      const std::optional<uint64_t> with = CheckedAdd(shard_bytes, bytes);
      const bool full =
          options_.max_shard_bytes != 0 && (!with.has_value() || *with > options_.max_shard_bytes);
      if (full && !files_.back().entries.empty()) {
        files_.emplace_back();
        shard_bytes = 0;
      }
      shard_bytes += bytes;
      files_.back().entries.push_back(number);
    }
    if (files_.size() > 1) {
      for (size_t i = 0; i < files_.size(); ++i) files_[i].name = SafetensorsShardName(i, files_.size());
    } else if (folder_) {
      files_.front().name = kSafetensorsLoneName;
    }
  }

  absl::Status MakeHeader(PlannedFile* file) {
    struct Key {
      int rank;
      absl::string_view name;
      size_t number;
    };
    std::vector<Key> keys;
    keys.reserve(file->entries.size());
    for (const size_t number : file->entries) {
      keys.push_back({-SafetensorsDtypeRank(index_->entries[number].dtype), names_[number], number});
    }
    std::sort(keys.begin(), keys.end(),
              [](const Key& a, const Key& b) { return std::tie(a.rank, a.name) < std::tie(b.rank, b.name); });
    std::transform(keys.begin(), keys.end(), file->entries.begin(), [](const Key& key) { return key.number; });
    std::vector<SafetensorsTensor> tensors;
    tensors.reserve(file->entries.size());
    for (const size_t number : file->entries) {
      const Entry& entry = index_->entries[number];
      tensors.push_back({.name = names_[number], .dtype = entry.dtype, .shape = entry.shape});
    }
    absl::StatusOr<std::string> header = SerializeSafetensorsHeader(index_->metadata, tensors);
    if (!header.ok()) return Annotate(header.status(), tree_->name());
    file->header = *std::move(header);
    return absl::OkStatus();
  }

  absl::Status StartFile() {
    PlannedFile& file = files_[file_];
    CAIRN_ASSIGN_OR_RETURN(sink_, tree_->Create(file.name));
    return sink_->Append(std::exchange(file.header, {}));
  }

  absl::Status CloseSink() {
    CAIRN_RETURN_IF_ERROR(sink_->Close());
    sink_.reset();
    return absl::OkStatus();
  }

  // One file alone needs none, unless the folder holds others that a reader could take for this checkpoint.
  bool NeedsIndex() const {
    if (files_.size() > 1) return true;
    if (!folder_) return false;
    const std::vector<std::string> existing = tree_->ExistingFiles();
    return std::any_of(existing.begin(), existing.end(), [](const std::string& name) {
      return IsSafetensorsIndexName(name) || (IsSafetensorsName(name) && name != kSafetensorsLoneName);
    });
  }

  absl::Status WriteIndex() {
    WeightIndex index;
    for (const PlannedFile& file : files_) {
      for (const size_t number : file.entries) index.weights.emplace(names_[number], index.files.size());
      index.files.push_back(file.name);
    }
    CAIRN_ASSIGN_OR_RETURN(sink_, tree_->Create(kSafetensorsIndexName));
    CAIRN_RETURN_IF_ERROR(sink_->Append(SerializeWeightIndex(index, total_bytes_)));
    return CloseSink();
  }

  const std::shared_ptr<SinkTree> tree_;
  const WriteOptions options_;

  // The plan, made by Begin().
  const CheckpointIndex* index_ = nullptr;
  bool folder_ = false;
  std::vector<std::string> names_;  // By entry; empty for those left out.
  std::vector<size_t> tensors_;
  std::vector<size_t> assets_;
  std::vector<PlannedFile> files_;
  std::vector<size_t> order_;
  uint64_t total_bytes_ = 0;

  // Where we are.
  size_t next_ = 0;          // In order_.
  size_t file_ = 0;          // In files_.
  size_t entries_done_ = 0;  // Of that file.
  bool in_entry_ = false;
  uint64_t missing_ = 0;  // Bytes of the entry that have not come.
  std::unique_ptr<ByteSink> sink_;
};

}  // namespace

std::unique_ptr<CheckpointWriter> CreateSafetensorsWriter(std::shared_ptr<SinkTree> sink,
                                                          const WriteOptions& options) {
  return std::make_unique<SafetensorsWriter>(std::move(sink), options);
}

}  // namespace cairn
