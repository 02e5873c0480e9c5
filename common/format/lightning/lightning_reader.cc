#include "common/format/lightning/lightning_reader.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/dcp/dcp_names.h"
#include "common/format/dcp/dcp_reader.h"
#include "common/format/folder/json_events.h"
#include "common/format/lightning/lightning_names.h"
#include "common/format/torch/torch_reader.h"

namespace cairn {
namespace {

constexpr uint64_t kSniffBytes = 4096;
// What the Trainer says besides of weights, where only these are meant to keep the limits.
constexpr uint64_t kTrainerEntries = 1000;
constexpr uint32_t kTrainerNameBytes = 256;
constexpr char kShardedModel[] = "model";

std::string Shown(const KeyPath& path) { return NameForMessage(path.ToString()); }

// Entries of other readers, under paths that may be others.
class ComposedReader final : public CheckpointReader {
 public:
  struct Origin {
    size_t reader = 0;
    size_t entry = 0;
  };

  ComposedReader(std::vector<std::unique_ptr<CheckpointReader>> readers, CheckpointIndex index, std::vector<Origin> origins)
      : readers_(std::move(readers)), index_(std::move(index)), origins_(std::move(origins)) {}

  const CheckpointIndex& index() const override { return index_; }

  absl::Status ReadAt(size_t number, uint64_t offset, absl::Span<char> dst) override {
    if (number >= origins_.size()) return absl::OutOfRangeError(absl::StrCat("entry ", number, " of ", origins_.size()));
    return readers_[origins_[number].reader]->ReadAt(origins_[number].entry, offset, dst);
  }

 private:
  const std::vector<std::unique_ptr<CheckpointReader>> readers_;
  const CheckpointIndex index_;
  const std::vector<Origin> origins_;
};

bool IsBelow(const KeyPath& path, const std::string& root) {
  const auto* first = path.empty() ? nullptr : std::get_if<std::string>(&path.segments().front());
  return first != nullptr && *first == root;
}

bool HasRoot(const CheckpointIndex& index, const std::string& root) {
  return std::any_of(index.entries.begin(), index.entries.end(),
                     [&](const Entry& entry) { return entry.kind != EntryKind::kAsset && IsBelow(entry.path, root); });
}

KeyPath WithoutRoot(const KeyPath& path) {
  return KeyPath(std::vector<KeyPath::Segment>(path.segments().begin() + 1, path.segments().end()));
}

absl::Status TooManyEntries(const std::string& where, const ReadLimits& limits) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": more entries than the limit of ", limits.max_entries));
}

// What stands at a path, for a message.
std::string Found(const Entry& entry) {
  if (entry.kind == EntryKind::kAlias) return "a tensor";
  if (entry.kind == EntryKind::kTensor) return absl::StrCat("a tensor of ", DtypeName(entry.dtype), " ", ShapeToString(entry.shape));
  if (entry.value->length > 0) return absl::StrCat(entry.value->kind == Value::Kind::kTuple ? "a tuple of " : "a list of ", entry.value->length);
  return absl::StrCat("the value ", NameForMessage(ValueToString(entry.value)));
}

// One of two that are read as one: everything of both. A key at the root is in one of them only.
absl::StatusOr<std::unique_ptr<CheckpointReader>> Together(std::unique_ptr<CheckpointReader> shards, std::unique_ptr<CheckpointReader> meta,
                                                           const std::string& where, const ReadLimits& limits) {
  const auto both = [&](const KeyPath::Segment& root) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": ", kLightningMetaName, " and the shards both hold ", Shown(KeyPath({root})), ", expected each key in one of them"));
  };
  CheckpointIndex index = shards->index();
  std::vector<ComposedReader::Origin> origins;
  absl::flat_hash_set<KeyPath::Segment> roots;
  for (size_t i = 0; i < index.entries.size(); ++i) {
    origins.push_back({0, i});
    if (index.entries[i].kind != EntryKind::kAsset && !index.entries[i].path.empty()) roots.insert(index.entries[i].path.segments().front());
  }
  for (size_t i = 0; i < meta->index().entries.size(); ++i) {
    const Entry& entry = meta->index().entries[i];
    if (!entry.path.empty() && roots.contains(entry.path.segments().front())) return both(entry.path.segments().front());
    // Each of them keeps the limit alone.
    if (index.entries.size() >= limits.max_entries) return TooManyEntries(where, limits);
    index.entries.push_back(entry);
    origins.push_back({1, i});
  }
  const std::vector<LeftOut>& left_out = meta->index().left_out;
  for (const LeftOut& object : left_out) {
    if (!object.path.empty() && roots.contains(object.path.segments().front())) return both(object.path.segments().front());
  }
  index.left_out.insert(index.left_out.end(), left_out.begin(), left_out.end());
  index.metadata.insert(meta->index().metadata.begin(), meta->index().metadata.end());
  std::vector<std::unique_ptr<CheckpointReader>> readers;
  readers.push_back(std::move(shards));
  readers.push_back(std::move(meta));
  return std::make_unique<ComposedReader>(std::move(readers), std::move(index), std::move(origins));
}

// What is below `root`, as a tree of its own, and the assets.
absl::StatusOr<std::unique_ptr<CheckpointReader>> Subtree(std::unique_ptr<CheckpointReader> whole, const std::string& root, const std::string& where,
                                                          const ReadLimits& limits) {
  const CheckpointIndex& from = whole->index();
  CheckpointIndex index;
  index.metadata = from.metadata;
  std::vector<ComposedReader::Origin> origins;
  absl::flat_hash_map<KeyPath, size_t> tensors;
  for (size_t i = 0; i < from.entries.size(); ++i) {
    if (from.entries[i].kind == EntryKind::kTensor) tensors.emplace(from.entries[i].path, i);
  }
  absl::flat_hash_map<KeyPath, KeyPath> brought;  // Tensors that stand elsewhere -> their first name here.
  for (size_t i = 0; i < from.entries.size(); ++i) {
    Entry entry = from.entries[i];
    size_t origin = i;
    if (entry.kind != EntryKind::kAsset) {
      if (!IsBelow(entry.path, root)) continue;
      entry.path = WithoutRoot(entry.path);
      if (entry.path.empty()) {
        const bool empty = entry.kind == EntryKind::kValue && entry.value->kind == Value::Kind::kDict && entry.value->pairs.empty();
        if (empty) continue;
        return absl::InvalidArgumentError(absl::StrCat(where, ": ", NameForMessage(root), ": expected a dict of tensors, found ", Found(entry)));
      }
    }
    if (entry.kind == EntryKind::kAlias) {
      if (IsBelow(entry.target, root)) {
        entry.target = WithoutRoot(entry.target);
      } else if (const auto [first, is_new] = brought.try_emplace(entry.target, entry.path); !is_new) {
        entry.target = first->second;
      } else {
        origin = tensors.at(entry.target);
        KeyPath path = std::move(entry.path);
        entry = from.entries[origin];
        entry.path = std::move(path);
      }
    }
    if (index.entries.size() >= limits.max_entries) {
      return TooManyEntries(where, limits);
    }
    if (entry.path.ToString().size() > limits.max_name_bytes) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": ", Shown(entry.path), ": a name over the limit of ", limits.max_name_bytes, " bytes"));
    }
    index.entries.push_back(std::move(entry));
    origins.push_back({0, origin});
  }
  for (const LeftOut& left_out : from.left_out) {
    if (IsBelow(left_out.path, root)) index.left_out.push_back({WithoutRoot(left_out.path), left_out.what});
  }
  std::vector<std::unique_ptr<CheckpointReader>> readers;
  readers.push_back(std::move(whole));
  return std::make_unique<ComposedReader>(std::move(readers), std::move(index), std::move(origins));
}

bool HasMeta(const SourceTree& source) {
  const absl::StatusOr<std::vector<std::string>> names = source.List();
  return names.ok() && std::count(names->begin(), names->end(), kLightningMetaName) != 0;
}

}  // namespace

bool DetectLightning(const SourceTree& source) {
  if (source.is_directory()) return HasMeta(source) && IsTorchFileAt(source, kLightningMetaName) && HasDcpFiles(source);
  if (!IsTorchFileAt(source, "")) return false;
  const absl::StatusOr<std::unique_ptr<ByteSource>> file = source.Open("");
  if (!file.ok()) return false;
  // The pickle comes first, and in it the Trainer's own keys.
  std::string begin(std::min((*file)->size(), kSniffBytes), '\0');
  return (*file)->ReadAt(0, absl::MakeSpan(begin)).ok() && absl::StrContains(begin, kLightningVersion);
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenLightning(std::shared_ptr<const SourceTree> source, const ReadOptions& options) {
  const std::string where = source->name();
  const bool sharded = source->is_directory();
  ReadLimits limits = options.limits;
  if (!options.variant.empty()) {
    limits.max_entries += kTrainerEntries;
    limits.max_name_bytes += kTrainerNameBytes;
  }
  const TorchExpectations expectations = {.named = true, .dicts = {kLightningStateDict}, .texts = {kLightningVersion}};
  std::unique_ptr<CheckpointReader> reader;
  if (sharded) {
    if (!HasMeta(*source)) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": holds no ", kLightningMetaName, ", expected a sharded checkpoint of Lightning; a folder of DCP alone is read with dcp::"));
    }
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<CheckpointReader> shards,
                           OpenDcpDirectory(source, {.limits = limits, .other_files = {kLightningMetaName}}));
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<CheckpointReader> meta, OpenTorchFile(source, kLightningMetaName, TorchAssets::kNone, limits, expectations));
    CAIRN_ASSIGN_OR_RETURN(reader, Together(std::move(shards), std::move(meta), where, limits));
  } else {
    CAIRN_ASSIGN_OR_RETURN(reader, OpenTorchFile(source, "", TorchAssets::kNone, limits, expectations));
    if (!HasRoot(reader->index(), kLightningStateDict)) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": has no \"", kLightningStateDict, "\", expected a checkpoint of Lightning's Trainer; any other file of torch.save is read with torch::"));
    }
  }
  if (options.variant.empty()) return reader;
  // Sharded by FSDP, the model is called otherwise.
  const std::string root = !HasRoot(reader->index(), kLightningStateDict) ? kShardedModel : kLightningStateDict;
  const std::vector<LeftOut>& left_out = reader->index().left_out;
  if (const auto object = std::find_if(left_out.begin(), left_out.end(), [&](const LeftOut& other) { return other.path == KeyPath::Of({root}); });
      object != left_out.end()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": ", NameForMessage(root), ": expected a dict of tensors, found what cannot be carried: ", object->what));
  }
  if (!HasRoot(reader->index(), root)) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": has neither \"", kLightningStateDict, "\" nor \"", kShardedModel, "\", expected the weights of a model"));
  }
  return Subtree(std::move(reader), root, where, options.limits);
}

}  // namespace cairn
