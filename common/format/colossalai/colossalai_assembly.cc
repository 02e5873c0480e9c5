#include "common/format/colossalai/colossalai_assembly.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/folder/file_set.h"
#include "common/format/folder/json_events.h"
#include "common/format/folder/weight_index.h"

namespace cairn {
namespace {

// An asset is a configuration or a tokenizer. What is larger beside the weights is something else.
constexpr uint64_t kMaxAssetBytes = 64u << 20;
constexpr size_t kNoPart = SIZE_MAX;

class JointReader final : public CheckpointReader {
 public:
  JointReader(CheckpointIndex index, std::vector<std::unique_ptr<CheckpointReader>> parts, std::vector<std::pair<size_t, size_t>> places)
      : index_(std::move(index)), parts_(std::move(parts)), places_(std::move(places)) {}

  const CheckpointIndex& index() const override { return index_; }

  absl::Status ReadAt(size_t number, uint64_t offset, absl::Span<char> dst) override {
    if (number >= index_.entries.size()) return absl::OutOfRangeError(absl::StrCat("entry ", number, " of ", index_.entries.size()));
    const Entry& entry = index_.entries[number];
    if (offset > entry.byte_size || dst.size() > entry.byte_size - offset) {
      return absl::OutOfRangeError(absl::StrCat(NameForMessage(entry.path.ToString()), ": bytes [", offset, ", ", offset, "+", dst.size(),
                                                ") leave the entry of ", entry.byte_size));
    }
    if (dst.empty()) return absl::OkStatus();
    const auto [part, place] = places_[number];
    return Annotate(parts_[part]->ReadAt(place, offset, dst), NameForMessage(entry.path.ToString()));
  }

 private:
  const CheckpointIndex index_;
  const std::vector<std::unique_ptr<CheckpointReader>> parts_;
  const std::vector<std::pair<size_t, size_t>> places_;
};

class AssetReader final : public CheckpointReader {
 public:
  AssetReader(std::shared_ptr<const SourceTree> tree) : files_(std::move(tree)) {}

  void Add(const std::string& name, std::unique_ptr<ByteSource> file) {
    index_.entries.push_back(Entry::Asset(KeyPath::Of({name}), file->size()));
    files_.Add(name, std::move(file));
  }
  const CheckpointIndex& index() const override { return index_; }
  absl::Status ReadAt(size_t number, uint64_t offset, absl::Span<char> dst) override {
    CAIRN_ASSIGN_OR_RETURN(const ByteSource* const file, files_.Get(number));
    return file->ReadAt(offset, dst);
  }

 private:
  CheckpointIndex index_;
  FileSet files_;
};

}  // namespace

KeyPath Below(const std::vector<std::string>& segments, const KeyPath& path) {
  KeyPath below = KeyPath::Of(segments);
  for (const KeyPath::Segment& segment : path.segments()) below.Append(segment);
  return below;
}

ColossalAiAssembly::ColossalAiAssembly(std::string name, const ReadLimits& limits) : name_(std::move(name)), limits_(limits) {}
ColossalAiAssembly::~ColossalAiAssembly() = default;

size_t ColossalAiAssembly::AddPart(std::unique_ptr<CheckpointReader> part) {
  parts_.push_back(std::move(part));
  return parts_.size() - 1;
}

absl::Status ColossalAiAssembly::Append(Entry entry, size_t part, size_t number) {
  if (index_.entries.size() >= limits_.max_entries) {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": more entries than the limit of ", limits_.max_entries));
  }
  index_.entries.push_back(std::move(entry));
  places_.emplace_back(part, number);
  return absl::OkStatus();
}

absl::Status ColossalAiAssembly::AddEntry(size_t part, size_t number, KeyPath path) {
  Entry entry = parts_[part]->index().entries[number];
  entry.path = std::move(path);
  return Append(std::move(entry), part, number);
}

absl::Status ColossalAiAssembly::AddValue(KeyPath path, Value value) {
  return Append(Entry::OfValue(std::move(path), std::move(value)), kNoPart, 0);
}

absl::Status ColossalAiAssembly::Add(std::unique_ptr<CheckpointReader> reader, const std::string& folder, Place place) {
  const size_t part = AddPart(std::move(reader));
  const CheckpointIndex& index = parts_[part]->index();
  for (size_t i = 0; i < index.entries.size(); ++i) {
    Entry entry = index.entries[i];
    if (entry.kind == EntryKind::kAsset) {
      if (!folder.empty()) entry.path = Below({folder}, entry.path);
    } else {
      CAIRN_ASSIGN_OR_RETURN(std::optional<KeyPath> path, place(entry.path));
      if (!path.has_value()) continue;
      entry.path = *std::move(path);
      if (entry.kind == EntryKind::kAlias) {
        CAIRN_ASSIGN_OR_RETURN(std::optional<KeyPath> target, place(entry.target));
        if (!target.has_value()) continue;
        entry.target = *std::move(target);
      }
    }
    CAIRN_RETURN_IF_ERROR(Append(std::move(entry), part, i));
  }
  for (const LeftOut& left_out : index.left_out) {
    CAIRN_ASSIGN_OR_RETURN(std::optional<KeyPath> path, place(left_out.path));
    if (path.has_value()) index_.left_out.push_back({*std::move(path), left_out.what});
  }
  for (const auto& [key, value] : index.metadata) {
    index_.metadata.emplace(key, value);
  }
  return absl::OkStatus();
}

absl::Status ColossalAiAssembly::AddAssets(std::shared_ptr<const SourceTree> tree, const std::vector<std::string>& taken,
                                           const std::string& folder) {
  CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> names, tree->List());
  auto assets = std::make_unique<AssetReader>(tree);
  for (const std::string& name : names) {
    if (!IsAssetName(name) || std::count(taken.begin(), taken.end(), name) != 0) continue;
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, tree->Open(name));
    if (file->size() <= kMaxAssetBytes) assets->Add(name, std::move(file));
  }
  return Add(std::move(assets), folder, [](const KeyPath& path) { return std::optional<KeyPath>(path); });
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> ColossalAiAssembly::Finish() && {
  CAIRN_RETURN_IF_ERROR(Annotate(index_.Check(), name_));
  return std::make_unique<JointReader>(std::move(index_), std::move(parts_), std::move(places_));
}

}  // namespace cairn
