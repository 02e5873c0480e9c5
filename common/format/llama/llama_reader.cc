#include "common/format/llama/llama_reader.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/annotate.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/format/folder/json_events.h"
#include "common/format/llama/llama_joined.h"
#include "common/format/llama/llama_layout.h"
#include "common/format/llama/llama_names.h"
#include "common/format/llama/llama_params.h"
#include "common/format/torch/torch_reader.h"

namespace cairn {
namespace {

// By which a part may exceed the first one and still be refused by a name that is too much.
constexpr uint64_t kMoreNames = 1000;

std::string Shown(const KeyPath& path) { return NameForMessage(path.ToString()); }

absl::StatusOr<LlamaParams> ParamsOf(const SourceTree& tree) {
  CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> names, tree.List());
  if (std::count(names.begin(), names.end(), kLlamaParamsName) == 0) return LlamaParams();
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> file, tree.Open(kLlamaParamsName));
  if (file->size() > kLlamaMaxParamsBytes) {
    return absl::InvalidArgumentError(absl::StrCat(file->name(), ": has ", file->size(), " bytes, expected at most ", kLlamaMaxParamsBytes));
  }
  std::string text(file->size(), '\0');
  CAIRN_RETURN_IF_ERROR(file->ReadAt(0, absl::MakeSpan(text)));
  return ReadLlamaParams(text, file->name());
}

// Whether so many parts are all of them, where that shows: the heads of queries give the model's dim, or what params.json
// says instead.
absl::Status CheckComplete(const CheckpointReader& part, uint64_t parts, const LlamaParams& params, const std::string& name) {
  std::optional<uint64_t> expected = params.dim;
  absl::string_view says = kLlamaParamsName;
  if (params.heads.has_value()) {
    expected = params.head_dim();
    if (expected.has_value()) *expected *= *params.heads;
  } else if (!expected.has_value()) {
    for (const Entry& entry : part.index().entries) {
      if (entry.kind != EntryKind::kTensor || entry.shape.size() != 1 || entry.path != KeyPath::Of({"norm.weight"})) continue;
      expected = static_cast<uint64_t>(entry.shape[0]);
      says = "the size of norm.weight";
    }
  }
  if (!expected.has_value()) return absl::OkStatus();
  for (const Entry& entry : part.index().entries) {
    if (entry.kind != EntryKind::kTensor || LlamaRoleOf(entry.path) != LlamaRole::kQueryRows || entry.shape.size() != 2) continue;
    const std::optional<uint64_t> rows = CheckedMul(static_cast<uint64_t>(entry.shape[0]), parts);
    if (!rows.has_value() || *rows == 0 || *rows >= *expected || *expected % *rows != 0) continue;
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", Shown(entry.path), ": shape ", ShapeToString(entry.shape), ", expected ", *expected / parts,
                                                   " rows by ", says, ": ", parts == 1 ? "this is one of " : absl::StrCat("these are ", parts, " of "),
                                                   *expected / *rows * parts, " parts, and the others are missing; read them one by one with torch::"));
  }
  return absl::OkStatus();
}

// Several parts as one checkpoint.
class LlamaReader final : public CheckpointReader {
 public:
  LlamaReader(std::string name, std::vector<std::unique_ptr<CheckpointReader>> parts) : name_(std::move(name)), parts_(std::move(parts)) {}

  absl::Status Join(LlamaFacts facts) {
    CAIRN_RETURN_IF_ERROR(MatchNames());
    CAIRN_RETURN_IF_ERROR(Learn(facts));
    // With a number of heads each tensor is checked against it.
    if (!facts.params.heads.has_value()) CAIRN_RETURN_IF_ERROR(CheckComplete(*parts_.front(), parts_.size(), facts.params, name_));
    const CheckpointIndex& first = parts_.front()->index();
    for (size_t i = 0; i < first.entries.size(); ++i) {
      Entry entry = first.entries[i];
      Location location;
      if (entry.kind != EntryKind::kAsset) CAIRN_RETURN_IF_ERROR(CheckAlike(i));
      if (entry.kind == EntryKind::kAlias) CAIRN_RETURN_IF_ERROR(CheckAlias(facts, entry));
      if (entry.kind == EntryKind::kTensor) {
        if (absl::Status joined = JoinTensor(facts, entry, location); !joined.ok()) {
          return Annotate(joined, absl::StrCat(name_, ": ", Shown(entry.path)));
        }
      }
      index_.entries.push_back(std::move(entry));
      locations_.push_back(location);
    }
    for (const auto& part : parts_) {
      index_.left_out.insert(index_.left_out.end(), part->index().left_out.begin(), part->index().left_out.end());
    }
    return absl::OkStatus();
  }

  const CheckpointIndex& index() const override { return index_; }

  absl::Status ReadAt(size_t number, uint64_t offset, absl::Span<char> dst) override {
    if (number >= index_.entries.size()) return absl::OutOfRangeError(absl::StrCat("entry ", number, " of ", index_.entries.size()));
    const Entry& entry = index_.entries[number];
    if (entry.kind != EntryKind::kTensor) return parts_.front()->ReadAt(number, offset, dst);
    if (offset > entry.byte_size || dst.size() > entry.byte_size - offset) {
      return absl::OutOfRangeError(absl::StrCat(Shown(entry.path), ": bytes [", offset, ", ", offset, "+", dst.size(), ") leave the entry of ",
                                                entry.byte_size));
    }
    if (dst.empty()) return absl::OkStatus();
    if (open_ != number) {
      open_.reset();
      joined_ = std::make_unique<LlamaJoined>(locations_[number], [this, number](size_t part, uint64_t from, absl::Span<char> to) {
        return parts_[part]->ReadAt(EntryOf(part, number), from, to);
      });
      open_ = number;
    }
    const absl::Status read = joined_->ReadAt(offset, dst);
    return read.ok() ? read : Annotate(read, absl::StrCat(name_, ": ", Shown(entry.path)));
  }

 private:
  using Location = LlamaPieces;

  size_t EntryOf(size_t part, size_t number) const { return part == 0 ? number : numbers_[part - 1][number]; }

  // Where each entry of the first part lies in the others: all have the same names.
  absl::Status MatchNames() {
    const std::vector<Entry>& first = parts_.front()->index().entries;
    const size_t assets = static_cast<size_t>(std::count_if(first.begin(), first.end(), [](const Entry& e) { return e.kind == EntryKind::kAsset; }));
    for (size_t part = 1; part < parts_.size(); ++part) {
      const std::vector<Entry>& entries = parts_[part]->index().entries;
      absl::flat_hash_map<KeyPath, size_t> places;
      for (size_t i = 0; i < entries.size(); ++i) places.emplace(entries[i].path, i);
      std::vector<size_t>& numbers = numbers_.emplace_back(first.size(), 0);
      for (size_t i = 0; i < first.size(); ++i) {
        if (first[i].kind == EntryKind::kAsset) continue;
        const auto place = places.find(first[i].path);
        if (place == places.end()) return Lacks(first[i].path, 0, part);
        numbers[i] = place->second;
        places.erase(place);
      }
      if (entries.size() != first.size() - assets) return Lacks(places.begin()->first, part, 0);
    }
    return absl::OkStatus();
  }

  absl::Status Lacks(const KeyPath& path, size_t with, size_t without) const {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": ", LlamaPartName(with), " has ", Shown(path), ", and ", LlamaPartName(without),
                                                   " has not: expected the same names in all parts of a model"));
  }

  // The same in all parts, but for the bytes.
  absl::Status CheckAlike(size_t number) const {
    const Entry& first = parts_.front()->index().entries[number];
    for (size_t part = 1; part < parts_.size(); ++part) {
      const Entry& other = parts_[part]->index().entries[EntryOf(part, number)];
      if (first.kind == other.kind && first.dtype == other.dtype && first.shape == other.shape && first.value == other.value && first.target == other.target) continue;
      return absl::InvalidArgumentError(absl::StrCat(name_, ": ", Shown(first.path), ": is ", Describe(first), " in ", LlamaPartName(0), " and ",
                                                     Describe(other), " in ", LlamaPartName(part), ", expected the same in all parts"));
    }
    return absl::OkStatus();
  }

  // Both names of a tensor want its parts joined alike.
  absl::Status CheckAlias(const LlamaFacts& facts, const Entry& alias) const {
    const std::optional<LlamaRole> role = LlamaRoleOf(alias.path), other = LlamaRoleOf(alias.target);
    if (!role.has_value() || !other.has_value() || role == other) return absl::OkStatus();
    const std::vector<Entry>& entries = parts_.front()->index().entries;
    const auto target = std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) {
      return entry.kind == EntryKind::kTensor && entry.path == alias.target;
    });
    if (target == entries.end()) return absl::OkStatus();
    const absl::StatusOr<LlamaCut> own = JoinOfLlamaTensor(*role, target->shape, parts_.size(), facts);
    const absl::StatusOr<LlamaCut> joined = JoinOfLlamaTensor(*other, target->shape, parts_.size(), facts);
    if (!joined.ok() || (own.ok() && *own == *joined)) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(name_, ": ", Shown(alias.path), " is another name of ", Shown(alias.target),
                                                   " in each part, and the parts of the one are not joined as those of the other"));
  }

  static std::string Describe(const Entry& entry) {
    if (entry.kind == EntryKind::kTensor) return absl::StrCat("a tensor of ", DtypeName(entry.dtype), " ", ShapeToString(entry.shape));
    if (entry.kind == EntryKind::kAlias) return absl::StrCat("another name of ", Shown(entry.target));
    return absl::StrCat("the value ", NameForMessage(ValueToString(entry.value)));
  }

  // What params.json does not say, the tensors may.
  absl::Status Learn(LlamaFacts& facts) const {
    facts.dim = facts.params.dim;
    for (const Entry& entry : parts_.front()->index().entries) {
      if (entry.kind != EntryKind::kTensor) continue;
      const std::optional<LlamaRole> role = LlamaRoleOf(entry.path);
      if (role == LlamaRole::kQueryRows && !entry.shape.empty() && !facts.query_rows.has_value()) facts.query_rows = entry.shape[0];
      if (role != LlamaRole::kCopied || entry.shape.size() != 1 || entry.path != KeyPath::Of({"norm.weight"})) continue;
      const auto dim = static_cast<uint64_t>(entry.shape[0]);
      if (facts.dim.value_or(dim) != dim) {
        return absl::InvalidArgumentError(absl::StrCat(name_, ": ", Shown(entry.path), ": shape ", ShapeToString(entry.shape), ", expected [", *facts.dim,
                                                       "] by params.json"));
      }
      facts.dim = dim;
    }
    return absl::OkStatus();
  }

  // Makes the entry of one part that of the whole.
  absl::Status JoinTensor(const LlamaFacts& facts, Entry& entry, Location& location) const {
    const uint64_t parts = parts_.size();
    const std::optional<LlamaRole> role = LlamaRoleOf(entry.path);
    if (!role.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("is none of the tensors of Llama 1 to 3, so how its ", parts, " parts are joined is not known; read the parts one by one with torch::"));
    }
    CAIRN_ASSIGN_OR_RETURN(const LlamaCut cut, JoinOfLlamaTensor(*role, entry.shape, parts, facts));
    location.slices = parts / cut.copies;
    location.copies = cut.copies;
    for (size_t i = 0; i < cut.axis; ++i) location.rows *= static_cast<uint64_t>(entry.shape[i]);
    location.piece_bytes = location.rows == 0 ? 0 : entry.byte_size / location.rows;
    if (location.slices == 1) return absl::OkStatus();
    const std::optional<uint64_t> extent = CheckedMul(static_cast<uint64_t>(entry.shape[cut.axis]), location.slices);
    if (!extent.has_value() || *extent > static_cast<uint64_t>(INT64_MAX)) {
      return absl::InvalidArgumentError(absl::StrCat(location.slices, " parts of shape ", ShapeToString(entry.shape), " are more than a tensor can have"));
    }
    entry.shape[cut.axis] = static_cast<int64_t>(*extent);
    CAIRN_ASSIGN_OR_RETURN(entry.byte_size, ByteSize(entry.dtype, entry.shape));
    return absl::OkStatus();
  }

  const std::string name_;
  const std::vector<std::unique_ptr<CheckpointReader>> parts_;
  std::vector<std::vector<size_t>> numbers_;  // By part but the first, by entry.
  CheckpointIndex index_;                     // Entries as in the first part, which has the assets as well.
  std::vector<Location> locations_;           // By entry.

  std::optional<size_t> open_;  // The tensor that was read last.
  std::unique_ptr<LlamaJoined> joined_;
};

// The numbers of the parts are 0, 1, ... without a gap.
absl::StatusOr<size_t> CountParts(const SourceTree& tree) {
  CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> names, tree.List());
  size_t parts = 0;
  for (const std::string& name : names) {  // Ascending.
    const std::optional<size_t> number = LlamaPartNumber(name);
    if (!number.has_value()) continue;
    if (*number != parts) {
      return absl::InvalidArgumentError(absl::StrCat(tree.name(), ": holds ", name, ", and no ", LlamaPartName(parts), ": a part of the model is missing"));
    }
    ++parts;
  }
  if (parts == 0) return absl::InvalidArgumentError(absl::StrCat(tree.name(), ": holds no ", LlamaPartName(0)));
  return parts;
}

}  // namespace

bool DetectLlama(const SourceTree& source) {
  if (!source.is_directory()) return false;
  const absl::StatusOr<std::vector<std::string>> names = source.List();
  if (!names.ok()) return false;
  return std::any_of(names->begin(), names->end(), [&](const std::string& name) { return LlamaPartNumber(name).has_value() && IsTorchFileAt(source, name); });
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenLlama(std::shared_ptr<const SourceTree> source, const ReadOptions& options) {
  if (!source->is_directory()) {
    return absl::InvalidArgumentError(absl::StrCat(source->name(), ": is a file, expected the folder with ", LlamaPartName(0),
                                                   "; one part alone is read with torch::"));
  }
  CAIRN_ASSIGN_OR_RETURN(const size_t count, CountParts(*source));
  LlamaFacts facts;
  facts.columns_of_embedding = options.variant == kLlama2Variant;
  CAIRN_ASSIGN_OR_RETURN(facts.params, ParamsOf(*source));
  ReadLimits limits = options.limits;
  std::vector<std::unique_ptr<CheckpointReader>> parts;
  for (size_t i = 0; i < count; ++i) {
    const TorchAssets assets = i == 0 ? TorchAssets::kBeside : TorchAssets::kNone;
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<CheckpointReader> part, OpenTorchFile(source, LlamaPartName(i), assets, limits));
    // The others are to have the same names: none is worth more memory than that.
    if (i == 0) limits.max_entries = std::min<uint64_t>(limits.max_entries, part->index().entries.size() + kMoreNames);
    parts.push_back(std::move(part));
  }
  if (count == 1) {
    CAIRN_RETURN_IF_ERROR(CheckComplete(*parts.front(), 1, facts.params, source->name()));
    return std::move(parts.front());
  }
  auto reader = std::make_unique<LlamaReader>(source->name(), std::move(parts));
  CAIRN_RETURN_IF_ERROR(reader->Join(facts));
  return reader;
}

}  // namespace cairn
