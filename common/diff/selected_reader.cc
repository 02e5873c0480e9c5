#include "common/diff/selected_reader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

// Some entries of another reader.
class SelectedReader final : public CheckpointReader {
 public:
  SelectedReader(std::unique_ptr<CheckpointReader> source, const Selection& selection) : source_(std::move(source)) {
    index_.metadata = source_->index().metadata;
    for (size_t i = 0; i < source_->index().entries.size(); ++i) {
      const Entry& entry = source_->index().entries[i];
      if (!selection.Matches(entry.path)) continue;
      chosen_.push_back(i);
      index_.entries.push_back(entry);
    }
  }
  const std::vector<size_t>& chosen() const { return chosen_; }

  const CheckpointIndex& index() const override { return index_; }
  absl::Status ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) override {
    return source_->ReadAt(chosen_[entry], offset, dst);
  }
  absl::Status WillRead(absl::Span<const EntryRange> ranges) override {
    std::vector<EntryRange> of_source(ranges.begin(), ranges.end());
    for (EntryRange& range : of_source) range.entry = chosen_[range.entry];
    return source_->WillRead(of_source);
  }

 private:
  const std::unique_ptr<CheckpointReader> source_;
  CheckpointIndex index_;
  std::vector<size_t> chosen_;
};

absl::Status WrongSelection(absl::string_view what) {
  return WithErrorInfo(absl::InvalidArgumentError(absl::StrCat("select: ", what)), {kSelectReason, {}});
}

}  // namespace

absl::Status SelectInBoth(const std::vector<std::string>& patterns, DiffSide& first, DiffSide& second) {
  if (patterns.empty()) return absl::OkStatus();
  const absl::StatusOr<Selection> selection = Selection::Parse(patterns);
  if (!selection.ok()) return WrongSelection(selection.status().message());
  std::vector<const KeyPath*> paths;
  for (const DiffSide* side : {&first, &second}) {
    for (const Entry& entry : side->reader->index().entries) paths.push_back(&entry.path);
  }
  if (const std::vector<std::string> unmatched = selection->Unmatched(paths); !unmatched.empty()) {
    return WrongSelection(absl::StrCat("matches nothing: ", absl::StrJoin(unmatched, ", ")));
  }
  for (DiffSide* side : {&first, &second}) {
    auto selected = std::make_unique<SelectedReader>(std::move(side->reader), *selection);
    side->source_entries = selected->chosen();
    if (!side->digests.empty()) {
      std::vector<std::string> digests;
      for (const size_t entry : selected->chosen()) digests.push_back(side->digests[entry]);
      side->digests = std::move(digests);
    }
    side->reader = std::move(selected);
    CAIRN_RETURN_IF_ERROR(side->reader->index().Check());
  }
  return absl::OkStatus();
}

LabelledReader::LabelledReader(CheckpointReader& source, const std::map<std::string, std::string>& metadata)
    : source_(source), index_(source.index()) {
  for (const auto& [key, value] : metadata) index_.metadata[key] = value;
}

}  // namespace cairn
