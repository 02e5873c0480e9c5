#include "common/format/torch/torch_writer.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/format/folder/json_events.h"
#include "common/format/folder/weight_index.h"
#include "common/format/torch/torch_file_writer.h"
#include "common/format/torch/torch_names.h"
#include "common/format/torch/torch_pickle.h"
#include "common/format/torch/torch_types.h"

namespace cairn {
namespace {

constexpr size_t kMaxShownProblems = 5;

std::string Shown(const KeyPath& path) { return NameForMessage(path.ToString()); }

// A list or tuple, or what marks the place of one.
bool IsSequence(const Entry& entry) {
  return entry.kind == EntryKind::kValue && (entry.value->kind == Value::Kind::kList || entry.value->kind == Value::Kind::kTuple);
}

// One file of torch.save to be.
struct PlannedFile {
  std::string name;  // "" for a lone file.
  std::vector<size_t> entries;
  TorchObject object;
};

class TorchWriter final : public CheckpointWriter {
 public:
  // `lone_name`: of the one file that is written, "" for a tree that is one. Without it, Hugging Face's names.
  TorchWriter(std::shared_ptr<SinkTree> tree, const WriteOptions& options, std::optional<std::string> lone_name)
      : tree_(std::move(tree)), options_(options), lone_name_(std::move(lone_name)) {}

  absl::StatusOr<std::vector<size_t>> Begin(const CheckpointIndex& index) override {
    if (index_ != nullptr) return absl::FailedPreconditionError("Begin() was called before");
    index_ = &index;
    CAIRN_RETURN_IF_ERROR(TakeEntries());
    CutIntoShards();
    if (files_.size() > 1) CAIRN_RETURN_IF_ERROR(MakeFlatNames());
    for (PlannedFile& file : files_) {
      absl::StatusOr<TorchObject> object = MakeTorchObject(index, file.entries, files_.size() > 1 ? &names_ : nullptr);
      if (!object.ok()) return Annotate(object.status(), tree_->name());
      file.object = *std::move(object);
    }
    order_ = assets_;
    for (const PlannedFile& file : files_) order_.insert(order_.end(), file.object.storages.begin(), file.object.storages.end());
    return order_;
  }

  absl::StatusOr<uint64_t> StartEntry(size_t number) override {
    if (in_entry_ || next_ == order_.size() || order_[next_] != number) {
      return absl::FailedPreconditionError(absl::StrCat(tree_->name(), ": entry ", number, " out of order"));
    }
    if (next_ < assets_.size()) {
      CAIRN_ASSIGN_OR_RETURN(sink_, tree_->Create(index_->entries[number].path.Joined("/")));
    } else {
      if (writer_ == nullptr) CAIRN_RETURN_IF_ERROR(SkipEmptyFiles());
      if (writer_ == nullptr) CAIRN_RETURN_IF_ERROR(StartFile());
      CAIRN_RETURN_IF_ERROR(writer_->StartStorage(index_->entries[number].byte_size));
    }
    in_entry_ = true;
    missing_ = index_->entries[number].byte_size;
    return 0;
  }

  absl::Status Append(absl::string_view bytes) override {
    if (!in_entry_) return absl::FailedPreconditionError("Append() outside of an entry");
    if (bytes.size() > missing_) {
      return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", Shown(Current().path), ": ", bytes.size() - missing_,
                                                     " bytes more than its ", Current().byte_size));
    }
    missing_ -= bytes.size();
    return writer_ != nullptr ? writer_->Append(bytes) : sink_->Append(bytes);
  }

  absl::Status FinishEntry() override {
    if (!in_entry_) return absl::FailedPreconditionError("FinishEntry() outside of an entry");
    if (missing_ != 0) {
      return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", Shown(Current().path), ": ", missing_, " of ",
                                                     Current().byte_size, " bytes are missing"));
    }
    in_entry_ = false;
    ++next_;
    if (writer_ == nullptr) return CloseSink();
    CAIRN_RETURN_IF_ERROR(writer_->FinishStorage());
    if (++storages_done_ < files_[file_].object.storages.size()) return absl::OkStatus();
    return FinishFile();
  }

  absl::Status Finish() override {
    if (index_ == nullptr || in_entry_ || next_ != order_.size()) {
      return absl::FailedPreconditionError(absl::StrCat(tree_->name(), ": finished before all entries were written"));
    }
    CAIRN_RETURN_IF_ERROR(SkipEmptyFiles());
    if (NeedsIndex()) CAIRN_RETURN_IF_ERROR(WriteIndex());
    return tree_->Commit();
  }

 private:
  const Entry& Current() const { return index_->entries[order_[next_]]; }

  // Sorts the entries into those of the pickles and assets.
  absl::Status TakeEntries() {
    const bool has_assets = std::any_of(index_->entries.begin(), index_->entries.end(),
                                        [](const Entry& entry) { return entry.kind == EntryKind::kAsset; });
    // A path that is named like one file is meant as one.
    folder_ = tree_->is_directory() || options_.max_shard_bytes != 0 || (has_assets && !IsTorchName(tree_->name()));
    if (lone_name_.has_value()) folder_ = !lone_name_->empty();
    std::vector<std::string> problems;
    size_t problem_count = 0;
    const auto complain = [&](const Entry& entry, absl::string_view why) {
      if (++problem_count <= kMaxShownProblems) problems.push_back(absl::StrCat(Shown(entry.path), " ", why));
    };
    for (size_t i = 0; i < index_->entries.size(); ++i) {
      const Entry& entry = index_->entries[i];
      if (entry.kind == EntryKind::kAsset) {
        if (folder_) {
          assets_.push_back(i);
        } else {
          complain(entry, "is a file beside the weights, which needs a folder: let the path end in '/'");
        }
      } else if (entry.path.empty() && !IsSequence(entry)) {
        complain(entry, "is the root of the tree: expected a name");
      } else if (entry.kind == EntryKind::kTensor && !TorchTypeNameOf(entry.dtype).has_value()) {
        complain(entry, absl::StrCat("has dtype ", DtypeName(entry.dtype), ", which torch lacks: ",
                                     IsFloat(entry.dtype) ? "cast it, for example to float32" : "write another format"));
      } else {
        entries_.push_back(i);
      }
    }
    if (problem_count != 0 && !options_.drop_unsupported) {
      return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", problem_count, problem_count == 1 ? " entry does" : " entries do",
                                                     " not fit into a file of torch: ", absl::StrJoin(problems, "; "),
                                                     problem_count > problems.size() ? "; ..." : "",
                                                     ". To leave them out, ask to drop what is unsupported"));
    }
    for (const size_t number : assets_) {
      const std::string name = index_->entries[number].path.Joined("/");
      if (IsTorchName(name) || IsWeightIndexName(name, kTorchShardSuffix)) {
        return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": asset ", NameForMessage(name), " has the name of a file of weights"));
      }
    }
    return absl::OkStatus();
  }

  // Greedy, in the order of the index: a tensor above the limit has a shard of its own, an alias goes with its tensor.
  void CutIntoShards() {
    files_.emplace_back();
    uint64_t shard_bytes = 0;
    absl::flat_hash_map<KeyPath, size_t> shard_of;
    std::vector<size_t> aliases;
    for (const size_t number : entries_) {
      const Entry& entry = index_->entries[number];
      if (entry.kind == EntryKind::kAlias && options_.max_shard_bytes != 0) {
        aliases.push_back(number);
        continue;
      }
      const uint64_t bytes = entry.byte_size;
      total_bytes_ += bytes;
      const bool full = options_.max_shard_bytes != 0 && bytes > options_.max_shard_bytes - std::min(options_.max_shard_bytes, shard_bytes);
      if (full && shard_bytes > 0) {
        files_.emplace_back();
        shard_bytes = 0;
      }
      shard_bytes += bytes;
      files_.back().entries.push_back(number);
      if (options_.max_shard_bytes != 0) shard_of[entry.path] = files_.size() - 1;
    }
    for (const size_t number : aliases) {
      const auto target = shard_of.find(index_->entries[number].target);
      files_[target == shard_of.end() ? 0 : target->second].entries.push_back(number);
    }
    if (files_.size() > 1) {
      for (size_t i = 0; i < files_.size(); ++i) files_[i].name = ShardName(kTorchShardStem, i, files_.size(), kTorchShardSuffix);
    } else if (folder_) {
      files_.front().name = lone_name_.value_or(kTorchLoneName);
    }
  }

  // Shards are one dict each, of tensors by their names.
  absl::Status MakeFlatNames() {
    names_.resize(index_->entries.size());
    absl::flat_hash_map<absl::string_view, size_t> taken;
    for (const size_t number : entries_) {
      const Entry& entry = index_->entries[number];
      const auto refuse = [&](absl::string_view why) {
        return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", Shown(entry.path), " ", why));
      };
      if (entry.kind == EntryKind::kValue) {
        return refuse("is no tensor: shards hold nothing else; select the tensors, or write one file without a limit of its size");
      }
      names_[number] = entry.path.Joined(options_.separator);
      if (!IsUtf8(names_[number])) return refuse("has a name that is not UTF-8");
      const auto [other, is_new] = taken.emplace(names_[number], number);
      if (!is_new) {
        return refuse(absl::StrCat("and ", Shown(index_->entries[other->second].path), " are both named ", NameForMessage(names_[number]),
                                   " when joined with \"", options_.separator, "\"; choose another separator"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status StartFile() {
    PlannedFile& file = files_[file_];
    CAIRN_ASSIGN_OR_RETURN(sink_, tree_->Create(file.name));
    writer_ = std::make_unique<TorchFileWriter>(sink_.get());
    CAIRN_RETURN_IF_ERROR(writer_->Start(std::exchange(file.object.pickle, {})));
    storages_done_ = 0;
    return absl::OkStatus();
  }

  absl::Status FinishFile() {
    CAIRN_RETURN_IF_ERROR(writer_->Finish());
    writer_.reset();
    ++file_;
    return CloseSink();
  }

  // Files whose objects have no storages: nobody asks for their bytes.
  absl::Status SkipEmptyFiles() {
    while (file_ < files_.size() && files_[file_].object.storages.empty()) {
      CAIRN_RETURN_IF_ERROR(StartFile());
      CAIRN_RETURN_IF_ERROR(FinishFile());
    }
    return absl::OkStatus();
  }

  absl::Status CloseSink() {
    CAIRN_RETURN_IF_ERROR(sink_->Close());
    sink_.reset();
    return absl::OkStatus();
  }

  // One file alone needs none, unless the folder holds others that a reader could take for this checkpoint.
  bool NeedsIndex() const {
    if (files_.size() > 1) return true;
    if (!folder_ || lone_name_.has_value()) return false;
    const std::vector<std::string> existing = tree_->ExistingFiles();
    return std::any_of(existing.begin(), existing.end(), [](const std::string& name) { return IsWeightIndexName(name, kTorchShardSuffix); });
  }

  absl::Status WriteIndex() {
    if (files_.size() == 1) CAIRN_RETURN_IF_ERROR(MakeFlatNames());
    WeightIndex index;
    for (const PlannedFile& file : files_) {
      for (const size_t number : file.entries) index.weights.emplace(names_[number], index.files.size());
      index.files.push_back(file.name);
    }
    CAIRN_ASSIGN_OR_RETURN(sink_, tree_->Create(kTorchIndexName));
    CAIRN_RETURN_IF_ERROR(sink_->Append(SerializeWeightIndex(index, total_bytes_)));
    return CloseSink();
  }

  const std::shared_ptr<SinkTree> tree_;
  const WriteOptions options_;
  const std::optional<std::string> lone_name_;

  // The plan, made by Begin().
  const CheckpointIndex* index_ = nullptr;
  bool folder_ = false;
  std::vector<std::string> names_;  // By entry, with several files.
  std::vector<size_t> entries_;
  std::vector<size_t> assets_;
  std::vector<PlannedFile> files_;
  std::vector<size_t> order_;
  uint64_t total_bytes_ = 0;

  // Where we are.
  size_t next_ = 0;           // In order_.
  size_t file_ = 0;           // In files_.
  size_t storages_done_ = 0;  // Of that file.
  bool in_entry_ = false;
  uint64_t missing_ = 0;  // Bytes of the entry that have not come.
  std::unique_ptr<ByteSink> sink_;
  std::unique_ptr<TorchFileWriter> writer_;
};

}  // namespace

std::unique_ptr<CheckpointWriter> CreateTorchWriter(std::shared_ptr<SinkTree> sink, const WriteOptions& options) {
  return std::make_unique<TorchWriter>(std::move(sink), options, std::nullopt);
}

std::unique_ptr<CheckpointWriter> CreateTorchFileWriter(std::shared_ptr<SinkTree> sink, WriteOptions options, std::string name) {
  options.max_shard_bytes = 0;
  return std::make_unique<TorchWriter>(std::move(sink), options, std::move(name));
}

}  // namespace cairn
