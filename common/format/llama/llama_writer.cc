#include "common/format/llama/llama_writer.h"

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
#include "common/format/folder/json_events.h"
#include "common/format/llama/llama_joined.h"
#include "common/format/llama/llama_layout.h"
#include "common/format/llama/llama_names.h"
#include "common/format/llama/llama_params.h"
#include "common/format/llama/llama_reader.h"
#include "common/format/torch/torch_file_writer.h"
#include "common/format/torch/torch_names.h"
#include "common/format/torch/torch_pickle.h"
#include "common/format/torch/torch_types.h"
#include "common/format/torch/torch_writer.h"

namespace cairn {
namespace {

constexpr size_t kMaxShownProblems = 5;
constexpr absl::string_view kConfigName = "config.json";

std::string Shown(const KeyPath& path) { return NameForMessage(path.ToString()); }

// Several parts at once. How tensors are cut may depend on params.json, which comes by as an asset: the parts are planned
// when it has.
class LlamaPartsWriter final : public CheckpointWriter {
 public:
  LlamaPartsWriter(std::shared_ptr<SinkTree> tree, const WriteOptions& options) : tree_(std::move(tree)), options_(options) {}

  absl::StatusOr<std::vector<size_t>> Begin(const CheckpointIndex& index) override {
    if (index_ != nullptr) return absl::FailedPreconditionError("Begin() was called before");
    index_ = &index;
    CAIRN_RETURN_IF_ERROR(TakeEntries());
    // The parts have the whole's names, so their storages come in the whole's order.
    absl::StatusOr<TorchObject> object = MakeTorchObject(index, entries_, nullptr);
    if (!object.ok()) return Annotate(object.status(), tree_->name());
    order_ = assets_;
    order_.insert(order_.end(), object->storages.begin(), object->storages.end());
    if (!facts_asset_.has_value()) CAIRN_RETURN_IF_ERROR(PlanParts());
    return order_;
  }

  absl::StatusOr<uint64_t> StartEntry(size_t number) override {
    if (in_entry_ || next_ == order_.size() || order_[next_] != number) {
      return absl::FailedPreconditionError(absl::StrCat(tree_->name(), ": entry ", number, " out of order"));
    }
    if (next_ < assets_.size()) {
      // What tells of heads is kept until it is whole: a tree that has the file already would not ask for its bytes.
      if (number != facts_asset_) CAIRN_RETURN_IF_ERROR(CreateAsset());
    } else {
      CAIRN_RETURN_IF_ERROR(StartParts());
      for (Part& part : parts_) CAIRN_RETURN_IF_ERROR(part.writer->StartStorage(PiecesOf(number).rows * PiecesOf(number).piece_bytes));
    }
    in_entry_ = true;
    done_ = 0;
    return 0;
  }

  absl::Status Append(absl::string_view bytes) override {
    if (!in_entry_) return absl::FailedPreconditionError("Append() outside of an entry");
    if (bytes.size() > Current().byte_size - done_) {
      return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", Shown(Current().path), ": ", bytes.size() - (Current().byte_size - done_),
                                                     " bytes more than its ", Current().byte_size));
    }
    if (next_ < assets_.size()) {
      done_ += bytes.size();
      if (order_[next_] != facts_asset_) return asset_->Append(bytes);
      facts_text_.append(bytes.data(), bytes.size());
      return absl::OkStatus();
    }
    const LlamaPieces& pieces = PiecesOf(order_[next_]);
    while (!bytes.empty()) {
      const uint64_t in_row = done_ % pieces.row_bytes();
      const uint64_t slice = in_row / pieces.piece_bytes;
      const absl::string_view piece = bytes.substr(0, pieces.piece_bytes - in_row % pieces.piece_bytes);
      for (uint64_t part = slice * pieces.copies; part < (slice + 1) * pieces.copies; ++part) {
        CAIRN_RETURN_IF_ERROR(parts_[part].writer->Append(piece));
      }
      done_ += piece.size();
      bytes.remove_prefix(piece.size());
    }
    return absl::OkStatus();
  }

  absl::Status FinishEntry() override {
    if (!in_entry_) return absl::FailedPreconditionError("FinishEntry() outside of an entry");
    if (done_ != Current().byte_size) {
      return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", Shown(Current().path), ": ", Current().byte_size - done_, " of ",
                                                     Current().byte_size, " bytes are missing"));
    }
    in_entry_ = false;
    if (next_ >= assets_.size()) {
      for (Part& part : parts_) CAIRN_RETURN_IF_ERROR(part.writer->FinishStorage());
      ++next_;
      return absl::OkStatus();
    }
    const bool tells = order_[next_] == facts_asset_;
    if (tells) {
      CAIRN_RETURN_IF_ERROR(CreateAsset());
      CAIRN_RETURN_IF_ERROR(asset_->Append(facts_text_));
    }
    CAIRN_RETURN_IF_ERROR(asset_->Close());
    asset_.reset();
    ++next_;
    return tells ? PlanParts() : absl::OkStatus();
  }

  absl::Status Finish() override {
    if (index_ == nullptr || in_entry_ || next_ != order_.size()) {
      return absl::FailedPreconditionError(absl::StrCat(tree_->name(), ": finished before all entries were written"));
    }
    CAIRN_RETURN_IF_ERROR(StartParts());
    for (Part& part : parts_) {
      CAIRN_RETURN_IF_ERROR(part.writer->Finish());
      CAIRN_RETURN_IF_ERROR(part.sink->Close());
    }
    parts_.clear();
    return tree_->Commit();
  }

 private:
  struct Part {
    std::unique_ptr<ByteSink> sink;
    std::unique_ptr<TorchFileWriter> writer;
  };

  const Entry& Current() const { return index_->entries[order_[next_]]; }
  const LlamaPieces& PiecesOf(size_t number) const { return pieces_[number]; }

  absl::Status TakeEntries() {
    std::vector<std::string> problems;
    size_t problem_count = 0;
    const auto complain = [&](const Entry& entry, absl::string_view why) {
      if (++problem_count <= kMaxShownProblems) problems.push_back(absl::StrCat(Shown(entry.path), " ", why));
    };
    for (size_t i = 0; i < index_->entries.size(); ++i) {
      const Entry& entry = index_->entries[i];
      if (entry.kind == EntryKind::kAsset) {
        const std::string name = entry.path.Joined("/");
        if (IsTorchName(name)) {
          return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": asset ", NameForMessage(name), " has the name of a file of weights"));
        }
        TakeAsset(i, name, entry.byte_size);
      } else if (entry.path.empty()) {
        complain(entry, "is the root of the tree: expected a name");
      } else if (entry.kind == EntryKind::kTensor && !LlamaRoleOf(entry.path).has_value()) {
        complain(entry, "is none of the tensors of Llama 1 to 3, so how it is cut is not known: rename it (--map), or write one part");
      } else if (entry.kind == EntryKind::kTensor && !TorchTypeNameOf(entry.dtype).has_value()) {
        complain(entry, absl::StrCat("has dtype ", DtypeName(entry.dtype), ", which torch lacks"));
      } else {
        entries_.push_back(i);
      }
    }
    if (problem_count == 0 || options_.drop_unsupported) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", problem_count, problem_count == 1 ? " entry does" : " entries do", " not fit into ",
                                                   options_.parts, " parts: ", absl::StrJoin(problems, "; "), problem_count > problems.size() ? "; ..." : "",
                                                   ". To leave them out, ask to drop what is unsupported"));
  }

  // What tells of heads comes first: Meta's file, or else that of Hugging Face.
  void TakeAsset(size_t number, absl::string_view name, uint64_t bytes) {
    if ((name != kLlamaParamsName && name != kConfigName) || bytes > kLlamaMaxParamsBytes) {
      assets_.push_back(number);
      return;
    }
    assets_.insert(assets_.begin(), number);
    if (name == kLlamaParamsName || !facts_asset_.has_value()) facts_asset_ = number;
  }

  absl::Status CreateAsset() {
    CAIRN_ASSIGN_OR_RETURN(asset_, tree_->Create(Current().path.Joined("/")));
    return absl::OkStatus();
  }

  absl::StatusOr<LlamaFacts> LearnFacts() const {
    LlamaFacts facts;
    if (facts_asset_.has_value()) {
      CAIRN_ASSIGN_OR_RETURN(facts.params, ReadLlamaParams(facts_text_, index_->entries[*facts_asset_].path.Joined("/")));
    }
    // The rotary table was saved by the first two generations only, which cut embeddings by columns.
    facts.columns_of_embedding = options_.variant == kLlama2Variant;
    for (const size_t number : entries_) {
      const Entry& entry = index_->entries[number];
      if (entry.kind != EntryKind::kTensor) continue;
      if (entry.path == KeyPath::Of({"rope.freqs"})) facts.columns_of_embedding = true;
      if (LlamaRoleOf(entry.path) == LlamaRole::kQueryRows && !entry.shape.empty()) facts.query_rows = entry.shape[0];
    }
    return facts;
  }

  absl::Status PlanParts() {
    absl::StatusOr<LlamaFacts> facts = LearnFacts();
    if (!facts.ok()) return Annotate(facts.status(), tree_->name());
    CheckpointIndex part = *index_;  // All parts have the same shapes.
    pieces_.resize(part.entries.size());
    for (const size_t number : entries_) {
      Entry& entry = part.entries[number];
      if (entry.kind != EntryKind::kTensor) continue;
      if (absl::Status cut = CutTensor(*facts, entry, pieces_[number]); !cut.ok()) {
        return Annotate(cut, absl::StrCat(tree_->name(), ": ", Shown(entry.path)));
      }
    }
    CAIRN_RETURN_IF_ERROR(CheckAliases(*facts));
    absl::StatusOr<TorchObject> object = MakeTorchObject(part, entries_, nullptr);
    if (!object.ok()) return Annotate(object.status(), tree_->name());
    pickle_ = std::move(object->pickle);
    return absl::OkStatus();
  }

  // One tensor under two names is cut once: as both names want it, or not at all.
  absl::Status CheckAliases(const LlamaFacts& facts) const {
    absl::flat_hash_map<KeyPath, size_t> tensors;
    for (const size_t number : entries_) {
      if (index_->entries[number].kind == EntryKind::kTensor) tensors.emplace(index_->entries[number].path, number);
    }
    for (const size_t number : entries_) {
      const Entry& alias = index_->entries[number];
      if (alias.kind != EntryKind::kAlias) continue;
      const auto target = tensors.find(alias.target);
      const std::optional<LlamaRole> role = LlamaRoleOf(alias.path);
      if (target == tensors.end() || !role.has_value()) continue;
      const Entry& tensor = index_->entries[target->second];
      CAIRN_ASSIGN_OR_RETURN(const LlamaCut other, CutOfLlamaTensor(*LlamaRoleOf(tensor.path), tensor.shape, options_.parts, facts));
      const absl::StatusOr<LlamaCut> own = CutOfLlamaTensor(*role, tensor.shape, options_.parts, facts);
      if (own.ok() && *own == other) continue;
      return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", Shown(alias.path), " is another name of ", Shown(alias.target),
                                                     ", and parts have other slices of the one than of the other: write one part"));
    }
    return absl::OkStatus();
  }

  // Makes the entry that of one part.
  absl::Status CutTensor(const LlamaFacts& facts, Entry& entry, LlamaPieces& pieces) const {
    CAIRN_ASSIGN_OR_RETURN(const LlamaCut cut, CutOfLlamaTensor(*LlamaRoleOf(entry.path), entry.shape, options_.parts, facts));
    pieces.copies = cut.copies;
    pieces.slices = options_.parts / cut.copies;
    for (size_t i = 0; i < cut.axis; ++i) pieces.rows *= static_cast<uint64_t>(entry.shape[i]);
    if (pieces.slices > 1) entry.shape[cut.axis] /= static_cast<int64_t>(pieces.slices);
    CAIRN_ASSIGN_OR_RETURN(entry.byte_size, ByteSize(entry.dtype, entry.shape));
    pieces.piece_bytes = pieces.rows == 0 ? 0 : entry.byte_size / pieces.rows;
    return absl::OkStatus();
  }

  // The first part is moved into place last: without it a folder is no model.
  absl::Status StartParts() {
    if (!parts_.empty()) return absl::OkStatus();
    parts_.resize(options_.parts);
    for (size_t i = parts_.size(); i-- > 0;) {
      CAIRN_ASSIGN_OR_RETURN(parts_[i].sink, tree_->Create(LlamaPartName(i)));
      parts_[i].writer = std::make_unique<TorchFileWriter>(parts_[i].sink.get());
      CAIRN_RETURN_IF_ERROR(parts_[i].writer->Start(pickle_));
    }
    return absl::OkStatus();
  }

  const std::shared_ptr<SinkTree> tree_;
  const WriteOptions options_;

  // The plan.
  const CheckpointIndex* index_ = nullptr;
  std::vector<size_t> entries_;
  std::vector<size_t> assets_;
  std::optional<size_t> facts_asset_;  // The asset that tells of heads.
  std::string facts_text_;
  std::vector<size_t> order_;
  std::vector<LlamaPieces> pieces_;  // By entry.
  std::string pickle_;               // Of each part.

  // Where we are.
  size_t next_ = 0;  // In order_.
  bool in_entry_ = false;
  uint64_t done_ = 0;  // Bytes of the entry.
  std::unique_ptr<ByteSink> asset_;
  std::vector<Part> parts_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CheckpointWriter>> CreateLlamaWriter(std::shared_ptr<SinkTree> sink, const WriteOptions& options) {
  const size_t parts = std::max<uint32_t>(options.parts, 1);
  if (parts > kLlamaMaxParts) {
    return absl::InvalidArgumentError(absl::StrCat(sink->name(), ": ", parts, " parts, expected at most ", kLlamaMaxParts));
  }
  for (const std::string& name : sink->ExistingFiles()) {
    if (LlamaPartNumber(name).value_or(0) < parts) continue;
    return absl::FailedPreconditionError(absl::StrCat(sink->name(), ": holds ", name, ", which would stay beside ", parts,
                                                      parts == 1 ? " new part" : " new parts", " as one of them: remove it, or choose another folder"));
  }
  if (parts == 1) return CreateTorchFileWriter(std::move(sink), options, LlamaPartName(0));
  return std::make_unique<LlamaPartsWriter>(std::move(sink), options);
}

}  // namespace cairn
