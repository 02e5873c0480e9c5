#include "common/format/resuming_writer.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/types/span.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr uint64_t kPieceBytes = 1u << 20;

class ResumingWriter final : public CheckpointWriter {
 public:
  ResumingWriter(std::unique_ptr<CheckpointWriter> writer, std::shared_ptr<ResumableTree> tree, bool only_counts)
      : tree_(std::move(tree)), writer_(std::move(writer)), only_counts_(only_counts) {}

  absl::StatusOr<std::vector<size_t>> Begin(const CheckpointIndex& index) override {
    index_ = &index;
    return writer_->Begin(index);
  }

  absl::StatusOr<uint64_t> StartEntry(size_t entry) override {
    CAIRN_ASSIGN_OR_RETURN(offset_, writer_->StartEntry(entry));
    entry_ = entry;
    if (tree_->file() != nullptr) {
      CAIRN_RETURN_IF_ERROR(TakeKept(*tree_->file()));
    } else if (only_counts_ && tree_->Skips()) {
      CAIRN_RETURN_IF_ERROR(Count());
    }
    return offset_;
  }

  absl::Status Append(absl::string_view bytes) override {
    ResumableFile* const file = tree_->file();
    if (file == nullptr) return writer_->Append(bytes);
    file->Expect(entry_, offset_, bytes);
    const absl::Status appended = writer_->Append(bytes);
    file->Expect(0, 0, {});
    offset_ += bytes.size();
    return appended;
  }

  absl::Status FinishEntry() override { return writer_->FinishEntry(); }
  absl::Status Finish() override { return writer_->Finish(); }

 private:
  absl::Status TakeKept(ResumableFile& file) {
    const uint64_t size = index_->entries[entry_].byte_size;
    while (offset_ < size) {
      const std::optional<KeptBytes> kept = file.Find(entry_, offset_);
      if (!kept.has_value()) break;
      piece_.resize(std::min({kPieceBytes, kept->length, size - offset_}));
      CAIRN_RETURN_IF_ERROR(file.ReadKept(kept->position, absl::MakeSpan(piece_)));
      CAIRN_RETURN_IF_ERROR(Append(piece_));
    }
    return absl::OkStatus();
  }

  // The writer counts bytes, and its file throws them away: any do.
  absl::Status Count() {
    tree_->SetFeeding(true);
    const uint64_t size = index_->entries[entry_].byte_size;
    piece_.assign(std::min(kPieceBytes, size - offset_), '\0');
    for (; offset_ < size; offset_ += std::min<uint64_t>(piece_.size(), size - offset_)) {
      CAIRN_RETURN_IF_ERROR(writer_->Append(absl::string_view(piece_).substr(0, size - offset_)));
    }
    tree_->SetFeeding(false);
    return absl::OkStatus();
  }

  const std::shared_ptr<ResumableTree> tree_;
  const std::unique_ptr<CheckpointWriter> writer_;
  const bool only_counts_;
  const CheckpointIndex* index_ = nullptr;
  size_t entry_ = 0;
  uint64_t offset_ = 0;  // Within the entry.
  std::string piece_;
};

}  // namespace

std::unique_ptr<CheckpointWriter> ResumeWriting(std::unique_ptr<CheckpointWriter> writer, std::shared_ptr<ResumableTree> tree,
                                                bool only_counts) {
  return std::make_unique<ResumingWriter>(std::move(writer), std::move(tree), only_counts);
}

}  // namespace cairn
