#include "common/format/flax/flax_writer.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/flax/flax_layout.h"
#include "common/format/flax/flax_names.h"
#include "common/format/flax/flax_tree.h"
#include "common/format/folder/weight_index.h"

namespace cairn {
namespace {

constexpr size_t kBufferBytes = 256u << 10;  // Small tensors share one write.
constexpr size_t kNamesInMessage = 5;
constexpr uint64_t kNeverCut = ~uint64_t{0};

std::string Shown(const Entry& entry) { return absl::StrCat("entry \"", entry.path.ToString(), "\""); }

bool IsEmptyTuple(const Value& value) {
  return value.kind == Value::Kind::kTuple && value.items.empty() && value.length == 0;
}

// One file to be.
struct PlannedFile {
  std::string name;  // "" for a lone file.
  size_t end_leaf = 0;
};

class FlaxWriter final : public CheckpointWriter {
 public:
  FlaxWriter(std::shared_ptr<SinkTree> tree, const WriteOptions& options, const FlaxWriterOptions& flax_options)
      : tree_(std::move(tree)), options_(options), flax_options_(flax_options) {}

  absl::StatusOr<std::vector<size_t>> Begin(const CheckpointIndex& index) override;
  absl::StatusOr<uint64_t> StartEntry(size_t entry) override;
  absl::Status Append(absl::string_view bytes) override;
  absl::Status FinishEntry() override;
  absl::Status Finish() override;

 private:
  // Begin(), step by step.
  void ChooseFolder();
  absl::StatusOr<std::vector<size_t>> TakeEntries();
  absl::Status CheckValue(const Entry& entry) const;
  absl::Status CheckTensors() const;
  void CutIntoFiles();

  absl::StatusOr<FlaxArrayLayout> LayOut(const FlaxLayout::Leaf& leaf) const;
  // Writes values up to the next tensor, or to the end, and goes from file to file.
  absl::Status Advance();
  absl::Status StartPart();
  absl::Status Put(absl::string_view bytes);
  absl::Status CloseSink();
  bool NeedsIndex() const;
  absl::Status WriteIndex();
  const Entry& EntryOf(size_t leaf) const { return index_->entries[layout_->leaves()[leaf].entry]; }

  const std::shared_ptr<SinkTree> tree_;
  const WriteOptions options_;
  const FlaxWriterOptions flax_options_;

  // The plan, made by Begin().
  const CheckpointIndex* index_ = nullptr;
  bool folder_ = false;
  std::optional<FlaxLayout> layout_;
  absl::flat_hash_set<std::string> scalars_;  // Shown paths.
  std::vector<size_t> assets_;
  std::vector<PlannedFile> files_;

  // Where we are.
  std::unique_ptr<ByteSink> sink_;
  std::string buffer_;
  size_t next_asset_ = 0;
  size_t leaf_ = 0;  // The next to be written.
  size_t file_ = 0;  // Of that leaf.

  // The entry that is being written.
  const Entry* entry_ = nullptr;
  FlaxArrayLayout parts_;
  size_t next_part_ = 0;
  uint64_t part_left_ = 0;
  uint64_t entry_left_ = 0;
};

// FORMAT.md, "Writing": one file, or a folder.
void FlaxWriter::ChooseFolder() {
  const bool has_assets = std::any_of(index_->entries.begin(), index_->entries.end(),
                                      [](const Entry& entry) { return entry.kind == EntryKind::kAsset; });
  // A path that is named like one file is meant as one.
  folder_ = tree_->is_directory() || options_.max_shard_bytes != 0 || (has_assets && !IsFlaxFileName(tree_->name()));
}

absl::Status FlaxWriter::CheckValue(const Entry& entry) const {
  const Value& value = entry.value;
  if (value.kind == Value::Kind::kString && absl::StartsWith(value.text, kFlaxPlaceholder)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a str that begins with \"", kFlaxPlaceholder, "\", which Flax takes for the place of an array"));
  }
  const bool is_mark = value.length > 0 && value.items.empty();
  if (is_mark || IsEmptyTuple(value)) return absl::OkStatus();
  return EncodeFlaxValue(value).status();
}

// The entries of the tree; assets go to assets_.
absl::StatusOr<std::vector<size_t>> FlaxWriter::TakeEntries() {
  std::vector<size_t> taken;
  std::vector<std::string> unsupported;
  for (size_t i = 0; i < index_->entries.size(); ++i) {
    const Entry& entry = index_->entries[i];
    absl::Status problem;
    switch (entry.kind) {
      case EntryKind::kTensor:
        break;
      case EntryKind::kValue:
        problem = CheckValue(entry);
        break;
      case EntryKind::kAlias:
        problem = absl::InvalidArgumentError("another name of a tensor, which Flax's files cannot hold");
        break;
      case EntryKind::kAsset:
        if (!folder_) {
          problem =
              absl::InvalidArgumentError("a file beside the weights, which needs a folder: let the path end in '/'");
        } else if (const std::string name = entry.path.Joined("/");
                   IsFlaxFileName(name) || IsWeightIndexName(name, kFlaxSuffix)) {
          return absl::InvalidArgumentError(
              absl::StrCat(tree_->name(), ": asset \"", name, "\" has the name of a file of weights"));
        }
        break;
    }
    if (problem.ok()) {
      (entry.kind == EntryKind::kAsset ? assets_ : taken).push_back(i);
    } else if (!options_.drop_unsupported) {
      unsupported.push_back(absl::StrCat(Shown(entry), ": ", problem.message()));
    }
  }
  if (unsupported.empty()) return taken;
  const size_t all = unsupported.size();
  unsupported.resize(std::min(all, kNamesInMessage));
  return absl::InvalidArgumentError(
      absl::StrCat(tree_->name(), ": ", absl::StrJoin(unsupported, "; "),
                   all > unsupported.size() ? absl::StrCat("; and ", all - unsupported.size(), " more") : "",
                   "; select without them, or have unsupported entries dropped"));
}

absl::StatusOr<FlaxArrayLayout> FlaxWriter::LayOut(const FlaxLayout::Leaf& leaf) const {
  const Entry& entry = index_->entries[leaf.entry];
  if (entry.shape.empty() && scalars_.contains(entry.path.ToString())) return LayOutFlaxScalar(entry.dtype);
  return LayOutFlaxArray(entry.dtype, entry.shape, leaf.in_list ? kNeverCut : flax_options_.max_chunk_bytes);
}

absl::Status FlaxWriter::CheckTensors() const {
  for (const FlaxLayout::Leaf& leaf : layout_->leaves()) {
    const Entry& entry = index_->entries[leaf.entry];
    if (entry.kind != EntryKind::kTensor) continue;
    if (leaf.in_list && entry.byte_size >= flax_options_.max_ext_bytes - 4096) {
      return absl::InvalidArgumentError(absl::StrCat(
          tree_->name(), ": ", Shown(entry), ": ", entry.byte_size,
          " bytes inside a list, where Flax does not cut arrays and ", "msgpack holds ", flax_options_.max_ext_bytes,
          " bytes at most; cast it to a smaller dtype or write another format"));
    }
    const absl::StatusOr<FlaxArrayLayout> layout = LayOut(leaf);
    if (!layout.ok()) return Annotate(layout.status(), absl::StrCat(tree_->name(), ": ", Shown(entry)));
  }
  return absl::OkStatus();
}

// Greedy, in the order of the tree: a tensor above the limit has a file of its own.
void FlaxWriter::CutIntoFiles() {
  const size_t leaves = layout_->leaves().size();
  uint64_t file_bytes = 0;
  size_t in_file = 0;
  for (size_t i = 0; i < leaves; ++i) {
    const uint64_t bytes = EntryOf(i).byte_size;
    const bool full = options_.max_shard_bytes != 0 &&
                      (file_bytes >= options_.max_shard_bytes || bytes > options_.max_shard_bytes - file_bytes);
    if (full && bytes > 0 && in_file > 0) {
      files_.push_back({"", i});
      file_bytes = in_file = 0;
    }
    file_bytes += bytes;
    ++in_file;
  }
  files_.push_back({"", leaves});
  if (files_.size() > 1) {
    for (size_t i = 0; i < files_.size(); ++i) files_[i].name = ShardName(kFlaxStem, i, files_.size(), kFlaxSuffix);
  } else if (folder_) {
    files_.front().name = kFlaxLoneName;
  }
}

absl::StatusOr<std::vector<size_t>> FlaxWriter::Begin(const CheckpointIndex& index) {
  if (index_ != nullptr) return absl::FailedPreconditionError("flax: Begin was called before");
  CAIRN_RETURN_IF_ERROR(index.Check());
  index_ = &index;
  ChooseFolder();
  if (const auto scalars = index.metadata.find(kFlaxScalarsMetadata); scalars != index.metadata.end()) {
    for (const absl::string_view path : absl::StrSplit(scalars->second, '\n')) scalars_.insert(std::string(path));
  }
  CAIRN_ASSIGN_OR_RETURN(const std::vector<size_t> entries, TakeEntries());
  absl::StatusOr<FlaxLayout> layout = FlaxLayout::Of(index, entries);
  if (!layout.ok()) return Annotate(layout.status(), tree_->name());
  layout_ = *std::move(layout);
  CAIRN_RETURN_IF_ERROR(CheckTensors());
  CutIntoFiles();
  if (NeedsIndex()) {
    if (const absl::Status names = layout_->CheckJoinedNames(); !names.ok()) return Annotate(names, tree_->name());
  }
  std::vector<size_t> order = assets_;
  for (const FlaxLayout::Leaf& leaf : layout_->leaves()) {
    if (index.entries[leaf.entry].kind == EntryKind::kTensor) order.push_back(leaf.entry);
  }
  return order;
}

absl::Status FlaxWriter::Put(absl::string_view bytes) {
  if (buffer_.size() + bytes.size() > kBufferBytes && !buffer_.empty()) {
    CAIRN_RETURN_IF_ERROR(sink_->Append(buffer_));
    buffer_.clear();
  }
  if (bytes.size() > kBufferBytes) return sink_->Append(bytes);
  buffer_.append(bytes.data(), bytes.size());
  return absl::OkStatus();
}

absl::Status FlaxWriter::CloseSink() {
  if (!buffer_.empty()) CAIRN_RETURN_IF_ERROR(sink_->Append(buffer_));
  buffer_.clear();
  CAIRN_RETURN_IF_ERROR(sink_->Close());
  sink_.reset();
  return absl::OkStatus();
}

absl::Status FlaxWriter::Advance() {
  const size_t leaves = layout_->leaves().size();
  while (file_ < files_.size()) {
    if (sink_ == nullptr) {
      CAIRN_ASSIGN_OR_RETURN(sink_, tree_->Create(files_[file_].name));
      layout_->StartFile(leaf_, files_[file_].end_leaf);
      if (leaves == 0) CAIRN_RETURN_IF_ERROR(Put(FlaxLayout::EmptyTree()));
    }
    for (; leaf_ < files_[file_].end_leaf; ++leaf_) {
      const Entry& entry = EntryOf(leaf_);
      if (entry.kind == EntryKind::kTensor) return absl::OkStatus();
      CAIRN_RETURN_IF_ERROR(Put(layout_->Prefix(leaf_)));
      if (IsEmptyTuple(entry.value)) {
        CAIRN_RETURN_IF_ERROR(Put(FlaxLayout::EmptyTree()));
        continue;
      }
      CAIRN_ASSIGN_OR_RETURN(const std::string encoded, EncodeFlaxValue(entry.value));
      CAIRN_RETURN_IF_ERROR(Put(encoded));
    }
    CAIRN_RETURN_IF_ERROR(CloseSink());
    ++file_;
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> FlaxWriter::StartEntry(size_t entry) {
  if (!layout_.has_value() || entry_ != nullptr) return absl::FailedPreconditionError("flax: StartEntry out of turn");
  const auto out_of_order = [&] {
    return absl::FailedPreconditionError(absl::StrCat("flax: StartEntry(", entry, "), which is not the next one"));
  };
  if (next_asset_ < assets_.size()) {
    if (assets_[next_asset_] != entry) return out_of_order();
    CAIRN_ASSIGN_OR_RETURN(sink_, tree_->Create(index_->entries[entry].path.Joined("/")));
    part_left_ = index_->entries[entry].byte_size;
  } else {
    CAIRN_RETURN_IF_ERROR(Advance());
    if (file_ == files_.size() || layout_->leaves()[leaf_].entry != entry) return out_of_order();
    CAIRN_ASSIGN_OR_RETURN(parts_, LayOut(layout_->leaves()[leaf_]));
    CAIRN_RETURN_IF_ERROR(Put(layout_->Prefix(leaf_)));
    next_part_ = 0;
    CAIRN_RETURN_IF_ERROR(StartPart());
  }
  entry_ = &index_->entries[entry];
  entry_left_ = entry_->byte_size;
  return 0;
}

absl::Status FlaxWriter::StartPart() {
  const FlaxArrayLayout::Part& part = parts_.parts[next_part_++];
  part_left_ = part.payload_bytes;
  return Put(part.header);
}

absl::Status FlaxWriter::Append(absl::string_view bytes) {
  if (entry_ == nullptr) return absl::FailedPreconditionError("flax: Append outside of an entry");
  if (bytes.size() > entry_left_) {
    return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", Shown(*entry_), ": ",
                                                   bytes.size() - entry_left_, " bytes more than its ",
                                                   entry_->byte_size));
  }
  while (!bytes.empty()) {
    if (part_left_ == 0) CAIRN_RETURN_IF_ERROR(StartPart());
    const absl::string_view run = bytes.substr(0, static_cast<size_t>(std::min<uint64_t>(part_left_, bytes.size())));
    CAIRN_RETURN_IF_ERROR(Put(run));
    part_left_ -= run.size();
    entry_left_ -= run.size();
    bytes.remove_prefix(run.size());
  }
  return absl::OkStatus();
}

absl::Status FlaxWriter::FinishEntry() {
  if (entry_ == nullptr) return absl::FailedPreconditionError("flax: FinishEntry outside of an entry");
  if (entry_left_ != 0) {
    return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", Shown(*entry_), ": expected ",
                                                   entry_->byte_size, " bytes, found ",
                                                   entry_->byte_size - entry_left_));
  }
  const bool is_asset = std::exchange(entry_, nullptr)->kind == EntryKind::kAsset;
  if (is_asset) {
    ++next_asset_;
    return CloseSink();
  }
  ++leaf_;
  return absl::OkStatus();
}

absl::Status FlaxWriter::Finish() {
  if (!layout_.has_value() || entry_ != nullptr || next_asset_ != assets_.size()) {
    return absl::FailedPreconditionError("flax: Finish out of turn");
  }
  CAIRN_RETURN_IF_ERROR(Advance());
  if (file_ != files_.size()) {
    return absl::FailedPreconditionError(absl::StrCat(tree_->name(), ": ", Shown(EntryOf(leaf_)), " was not written"));
  }
  if (NeedsIndex()) CAIRN_RETURN_IF_ERROR(WriteIndex());
  return tree_->Commit();
}

// One file alone needs none, unless the folder holds others that a reader could take for this checkpoint.
bool FlaxWriter::NeedsIndex() const {
  if (files_.size() > 1) return true;
  if (!folder_) return false;
  const std::vector<std::string> existing = tree_->ExistingFiles();
  return std::any_of(existing.begin(), existing.end(), [](const std::string& name) {
    return IsWeightIndexName(name, kFlaxSuffix) || (IsFlaxFileName(name) && name != kFlaxLoneName);
  });
}

absl::Status FlaxWriter::WriteIndex() {
  WeightIndex index;
  uint64_t total_bytes = 0;
  size_t leaf = 0;
  for (const PlannedFile& file : files_) {
    for (; leaf < file.end_leaf; ++leaf) {
      index.weights.emplace(layout_->JoinedName(leaf), index.files.size());
      total_bytes += EntryOf(leaf).byte_size;
    }
    index.files.push_back(file.name);
  }
  CAIRN_ASSIGN_OR_RETURN(sink_, tree_->Create(kFlaxIndexName));
  CAIRN_RETURN_IF_ERROR(Put(SerializeWeightIndex(index, total_bytes)));
  return CloseSink();
}

}  // namespace

std::unique_ptr<CheckpointWriter> CreateFlaxWriter(std::shared_ptr<SinkTree> sink, const WriteOptions& options,
                                                   const FlaxWriterOptions& flax_options) {
  return std::make_unique<FlaxWriter>(std::move(sink), options, flax_options);
}

}  // namespace cairn
