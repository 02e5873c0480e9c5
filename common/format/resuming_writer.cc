#include "common/format/resuming_writer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr uint64_t kPieceBytes = 1u << 20;

class ResumingWriter final : public CheckpointWriter {
 public:
  ResumingWriter(std::unique_ptr<CheckpointWriter> writer, std::shared_ptr<ResumableTree> tree)
      : tree_(std::move(tree)), writer_(std::move(writer)) {}

  absl::StatusOr<std::vector<size_t>> Begin(const CheckpointIndex& index) override {
    index_ = &index;
    return writer_->Begin(index);
  }

  absl::StatusOr<uint64_t> StartEntry(size_t entry) override {
    CAIRN_ASSIGN_OR_RETURN(const uint64_t start, writer_->StartEntry(entry));
    if (!tree_->Skips()) return start;
    // The writer counts bytes, and its file throws them away: any do.
    tree_->SetFeeding(true);
    const uint64_t size = index_->entries[entry].byte_size;
    zeros_.resize(std::min(kPieceBytes, std::max<uint64_t>(size, zeros_.size())));
    for (uint64_t done = start; done < size;) {
      const uint64_t length = std::min<uint64_t>(zeros_.size(), size - done);
      CAIRN_RETURN_IF_ERROR(writer_->Append(absl::string_view(zeros_.data(), length)));
      done += length;
    }
    tree_->SetFeeding(false);
    return size;
  }

  absl::Status Append(absl::string_view bytes) override { return writer_->Append(bytes); }
  absl::Status FinishEntry() override { return writer_->FinishEntry(); }
  absl::Status Finish() override { return writer_->Finish(); }

 private:
  const std::shared_ptr<ResumableTree> tree_;
  const std::unique_ptr<CheckpointWriter> writer_;
  const CheckpointIndex* index_ = nullptr;
  std::string zeros_;
};

}  // namespace

std::unique_ptr<CheckpointWriter> ResumeWriting(std::unique_ptr<CheckpointWriter> writer, std::shared_ptr<ResumableTree> tree) {
  return std::make_unique<ResumingWriter>(std::move(writer), std::move(tree));
}

}  // namespace cairn
