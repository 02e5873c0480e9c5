#include "common/format/easylm/easylm_writer.h"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/format/flax_msgpack/msgpack_emit.h"

namespace cairn {
namespace {

constexpr size_t kBufferBytes = 256u << 10;  // Small tensors share one write.
constexpr size_t kNamesInMessage = 5;

// Containers are what the keys mean: EasyLM flattens lists and tuples to "0", "1", ..., and empty ones, dicts too,
// to nothing.
bool Vanishes(const Entry& entry) {
  if (entry.kind != EntryKind::kValue) return false;
  switch (entry.value->kind) {
    case Value::Kind::kList:
    case Value::Kind::kTuple:
      return entry.value->items.empty();
    case Value::Kind::kDict:
      return entry.value->pairs.empty();
    default:
      return false;
  }
}

// As flax.serialization.to_state_dict does it: every key becomes a str.
KeyPath StateDictKey(const KeyPath& path) {
  KeyPath key;
  for (const KeyPath::Segment& segment : path.segments()) {
    if (const auto* position = std::get_if<int64_t>(&segment)) {
      key.Append(absl::StrCat(*position));
    } else {
      key.Append(segment);
    }
  }
  return key;
}

// The front of an object: array(2), the key, the header of the bin.
std::string ObjectHeader(const KeyPath& path, uint64_t bin_bytes) {
  std::string header;
  MsgpackEmitter emit(&header);
  const KeyPath key = StateDictKey(path);
  emit.ArrayHeader(2);
  emit.ArrayHeader(key.segments().size());
  for (const KeyPath::Segment& segment : key.segments()) emit.Str(std::get<std::string>(segment));
  emit.BinHeader(bin_bytes);
  return header;
}

std::string Shown(const Entry& entry) { return absl::StrCat("entry \"", entry.path.ToString(), "\""); }

class EasyLmWriter final : public CheckpointWriter {
 public:
  EasyLmWriter(std::shared_ptr<SinkTree> tree, bool drop_unsupported, const EasyLmWriterOptions& options)
      : tree_(std::move(tree)), drop_unsupported_(drop_unsupported), options_(options) {}

  absl::StatusOr<std::vector<size_t>> Begin(const CheckpointIndex& index) override;
  absl::StatusOr<uint64_t> StartEntry(size_t entry) override;
  absl::Status Append(absl::string_view bytes) override;
  absl::Status FinishEntry() override;
  absl::Status Finish() override;

 private:
  absl::Status CheckKey(const KeyPath& path) const;
  absl::Status CheckEntry(const Entry& entry) const;
  absl::Status CheckKeys(const CheckpointIndex& index) const;
  // Writes the values from `next_` up to the next tensor, or to the end.
  absl::Status WriteValues();
  absl::Status StartPart();
  absl::Status Put(absl::string_view bytes);
  absl::Status Flush();

  const std::shared_ptr<SinkTree> tree_;
  const bool drop_unsupported_;
  const EasyLmWriterOptions options_;
  const CheckpointIndex* index_ = nullptr;
  std::unique_ptr<ByteSink> sink_;
  std::string buffer_;
  std::vector<size_t> kept_;  // Entries that are written, in order.
  size_t next_ = 0;           // Within kept_.

  // The tensor that is being written.
  bool in_entry_ = false;
  FlaxArrayLayout layout_;
  size_t next_part_ = 0;
  uint64_t part_left_ = 0;
  uint64_t entry_left_ = 0;
};

absl::Status EasyLmWriter::CheckKey(const KeyPath& path) const {
  if (path.empty()) return absl::InvalidArgumentError("the empty key, which EasyLM's files cannot hold");
  for (const KeyPath::Segment& segment : path.segments()) {
    const auto* text = std::get_if<std::string>(&segment);
    if (text != nullptr && !IsUtf8(*text)) {
      return absl::InvalidArgumentError("a key that is no UTF-8, which msgpack cannot hold; rename it");
    }
  }
  return absl::OkStatus();
}

absl::Status EasyLmWriter::CheckEntry(const Entry& entry) const {
  CAIRN_RETURN_IF_ERROR(CheckKey(entry.path));
  uint64_t bin_bytes = 0;
  if (entry.kind == EntryKind::kValue) {
    CAIRN_ASSIGN_OR_RETURN(const std::string encoded, EncodeFlaxValue(entry.value));
    bin_bytes = encoded.size();
  } else {
    // Before the layout is made, so that it has a handful of parts at most.
    bin_bytes = entry.byte_size;
    if (bin_bytes <= options_.max_bin_bytes) {
      CAIRN_ASSIGN_OR_RETURN(const FlaxArrayLayout layout,
                             LayOutFlaxArray(entry.dtype, entry.shape, options_.max_chunk_bytes));
      bin_bytes = layout.total_bytes;
    }
  }
  if (bin_bytes <= options_.max_bin_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("its value takes ", bin_bytes, " bytes, and one value of an EasyLM file ",
                                                 options_.max_bin_bytes,
                                                 " at most; cast it to a smaller dtype or write another format"));
}

// Keys that differ only as [7] and "7" do are one key in the file, and no list marks the parent of others there. Without
// either, what Begin() has checked already holds for the file too.
absl::Status EasyLmWriter::CheckKeys(const CheckpointIndex& index) const {
  const bool as_in_index = std::none_of(kept_.begin(), kept_.end(), [&](size_t i) {
    const Entry& entry = index.entries[i];
    const auto& segments = entry.path.segments();
    return (entry.kind == EntryKind::kValue &&
            (entry.value->kind == Value::Kind::kList || entry.value->kind == Value::Kind::kTuple)) ||
           std::any_of(segments.begin(), segments.end(), [](const auto& part) { return part.index() != 0; });
  });
  if (as_in_index) return absl::OkStatus();
  CheckpointIndex written;
  written.entries.reserve(kept_.size());
  for (size_t i : kept_) {
    written.entries.push_back(Entry::Tensor(StateDictKey(index.entries[i].path), Dtype::kUint8, {0}, 0));
  }
  absl::Status keys = written.Check();
  if (keys.ok()) return keys;
  return absl::InvalidArgumentError(
      absl::StrCat(keys.message(), " (in EasyLM files a position such as [7] is the str 7, and lists have no mark)"));
}

absl::StatusOr<std::vector<size_t>> EasyLmWriter::Begin(const CheckpointIndex& index) {
  if (index_ != nullptr) return absl::FailedPreconditionError("easylm: Begin was called before");
  CAIRN_RETURN_IF_ERROR(index.Check());
  std::vector<std::string> unsupported;
  std::vector<size_t> order;
  for (size_t i = 0; i < index.entries.size(); ++i) {
    const Entry& entry = index.entries[i];
    if (Vanishes(entry)) continue;
    absl::Status problem;
    if (entry.kind == EntryKind::kAsset) {
      problem = absl::InvalidArgumentError("a file carried along, which EasyLM's files cannot hold");
    } else if (entry.kind == EntryKind::kAlias) {
      problem = absl::InvalidArgumentError("another name of a tensor, which EasyLM's files cannot hold");
    } else {
      problem = CheckEntry(entry);
      // Tensors are never left out, only what is beside them.
      if (!problem.ok() && entry.kind == EntryKind::kTensor) return Annotate(problem, Shown(entry));
    }
    if (!problem.ok()) {
      if (drop_unsupported_) continue;
      unsupported.push_back(absl::StrCat(Shown(entry), ": ", problem.message()));
      continue;
    }
    kept_.push_back(i);
    if (entry.kind == EntryKind::kTensor) order.push_back(i);
  }
  if (!unsupported.empty()) {
    const size_t all = unsupported.size();
    unsupported.resize(std::min(all, kNamesInMessage));
    return absl::InvalidArgumentError(absl::StrCat(
        tree_->name(), ": ", absl::StrJoin(unsupported, "; "),
        all > unsupported.size() ? absl::StrCat("; and ", all - unsupported.size(), " more") : "",
        "; select without them, or have unsupported entries dropped"));
  }
  if (kept_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": no entry to write, and an empty file would look "
                                                                  "like a torn save"));
  }
  CAIRN_RETURN_IF_ERROR(CheckKeys(index));
  CAIRN_ASSIGN_OR_RETURN(sink_, tree_->Create(""));
  index_ = &index;
  return order;
}

absl::Status EasyLmWriter::Flush() {
  if (buffer_.empty()) return absl::OkStatus();
  CAIRN_RETURN_IF_ERROR(sink_->Append(buffer_));
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status EasyLmWriter::Put(absl::string_view bytes) {
  if (buffer_.size() + bytes.size() > kBufferBytes) CAIRN_RETURN_IF_ERROR(Flush());
  if (bytes.size() > kBufferBytes) return sink_->Append(bytes);
  buffer_.append(bytes.data(), bytes.size());
  return absl::OkStatus();
}

absl::Status EasyLmWriter::WriteValues() {
  for (; next_ < kept_.size(); ++next_) {
    const Entry& entry = index_->entries[kept_[next_]];
    if (entry.kind == EntryKind::kTensor) return absl::OkStatus();
    CAIRN_ASSIGN_OR_RETURN(const std::string encoded, EncodeFlaxValue(entry.value));
    CAIRN_RETURN_IF_ERROR(Put(ObjectHeader(entry.path, encoded.size())));
    CAIRN_RETURN_IF_ERROR(Put(encoded));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> EasyLmWriter::StartEntry(size_t entry) {
  if (sink_ == nullptr || in_entry_) return absl::FailedPreconditionError("easylm: StartEntry out of turn");
  CAIRN_RETURN_IF_ERROR(WriteValues());
  if (next_ == kept_.size() || kept_[next_] != entry) {
    return absl::FailedPreconditionError(absl::StrCat("easylm: StartEntry(", entry, "), which is not the next one"));
  }
  const Entry& tensor = index_->entries[entry];
  CAIRN_ASSIGN_OR_RETURN(layout_, LayOutFlaxArray(tensor.dtype, tensor.shape, options_.max_chunk_bytes));
  CAIRN_RETURN_IF_ERROR(Put(ObjectHeader(tensor.path, layout_.total_bytes)));
  in_entry_ = true;
  next_part_ = 0;
  entry_left_ = tensor.byte_size;
  CAIRN_RETURN_IF_ERROR(StartPart());
  return 0;
}

absl::Status EasyLmWriter::StartPart() {
  const FlaxArrayLayout::Part& part = layout_.parts[next_part_++];
  part_left_ = part.payload_bytes;
  return Put(part.header);
}

absl::Status EasyLmWriter::Append(absl::string_view bytes) {
  if (!in_entry_) return absl::FailedPreconditionError("easylm: Append outside of an entry");
  if (bytes.size() > entry_left_) {
    const Entry& tensor = index_->entries[kept_[next_]];
    return absl::InvalidArgumentError(absl::StrCat(Shown(tensor), ": ", bytes.size() - entry_left_,
                                                   " bytes more than its ", tensor.byte_size));
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

absl::Status EasyLmWriter::FinishEntry() {
  if (!in_entry_) return absl::FailedPreconditionError("easylm: FinishEntry outside of an entry");
  if (entry_left_ != 0) {
    const Entry& tensor = index_->entries[kept_[next_]];
    return absl::InvalidArgumentError(absl::StrCat(Shown(tensor), ": expected ", tensor.byte_size, " bytes, found ",
                                                   tensor.byte_size - entry_left_));
  }
  in_entry_ = false;
  ++next_;
  return absl::OkStatus();
}

absl::Status EasyLmWriter::Finish() {
  if (sink_ == nullptr || in_entry_) return absl::FailedPreconditionError("easylm: Finish out of turn");
  CAIRN_RETURN_IF_ERROR(WriteValues());
  if (next_ != kept_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(Shown(index_->entries[kept_[next_]]), ": was not written, nor was any after it"));
  }
  CAIRN_RETURN_IF_ERROR(Flush());
  CAIRN_RETURN_IF_ERROR(sink_->Close());
  sink_.reset();
  return tree_->Commit();
}

}  // namespace

absl::StatusOr<std::unique_ptr<CheckpointWriter>> CreateEasyLmWriter(std::shared_ptr<SinkTree> sink,
                                                                     const WriteOptions& options,
                                                                     const EasyLmWriterOptions& easylm_options) {
  if (options.variant == "trainstate_params") {
    return absl::InvalidArgumentError(
        absl::StrCat(sink->name(), ": trainstate_params:: picks parameters out of a file that is read; write params::"));
  }
  return std::make_unique<EasyLmWriter>(std::move(sink), options.drop_unsupported, easylm_options);
}

}  // namespace cairn
