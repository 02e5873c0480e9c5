#include "common/format/colossalai/colossalai_writer.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/colossalai/colossalai_plan.h"
#include "common/format/folder/json_events.h"
#include "common/format/folder/one_file_tree.h"
#include "common/format/safetensors/safetensors_writer.h"
#include "common/format/torch/torch_writer.h"

namespace cairn {
namespace {

// Each file is written by the writer of its own format.
class ColossalAiWriter final : public CheckpointWriter {
 public:
  ColossalAiWriter(std::shared_ptr<SinkTree> tree, const WriteOptions& options, bool safetensors)
      : tree_(std::move(tree)), options_(options), safetensors_(safetensors) {}

  absl::StatusOr<std::vector<size_t>> Begin(const CheckpointIndex& index) override {
    if (index_ != nullptr) return absl::FailedPreconditionError("Begin() was called before");
    index_ = &index;
    CAIRN_ASSIGN_OR_RETURN(plan_, PlanColossalAi(index, *tree_, options_, safetensors_));
    std::vector<size_t> order;
    for (const auto& [number, name] : plan_.assets) order.push_back(number);
    for (ColossalAiFile& file : plan_.files) {
      WriteOptions options;
      options.drop_unsupported = options_.drop_unsupported;
      // Names are joined already, and a path of several segments is meant as such.
      std::shared_ptr<SinkTree> sink = FileOfTree(tree_, file.name);
      writers_.push_back(file.safetensors ? CreateSafetensorsWriter(std::move(sink), options) : CreateTorchWriter(std::move(sink), options));
      absl::StatusOr<std::vector<size_t>> wanted = writers_.back()->Begin(file.index);
      if (!wanted.ok()) return Annotate(wanted.status(), tree_->name());
      for (const size_t number : *wanted) {
        if (file.sources[number] != ColossalAiFile::kOwnBytes) order.push_back(file.sources[number]);
      }
      orders_.push_back(*std::move(wanted));
    }
    return order;
  }

  absl::StatusOr<uint64_t> StartEntry(size_t number) override {
    if (in_entry_) return OutOfOrder(number);
    in_entry_ = true;
    if (asset_ < plan_.assets.size()) {
      if (plan_.assets[asset_].first != number) return OutOfOrder(number);
      CAIRN_ASSIGN_OR_RETURN(sink_, tree_->Create(plan_.assets[asset_].second));
      missing_ = index_->entries[number].byte_size;
      return 0;
    }
    CAIRN_RETURN_IF_ERROR(Advance());
    if (file_ == plan_.files.size() || plan_.files[file_].sources[orders_[file_][next_]] != number) return OutOfOrder(number);
    return writers_[file_]->StartEntry(orders_[file_][next_]);
  }

  absl::Status Append(absl::string_view bytes) override {
    if (!in_entry_) return absl::FailedPreconditionError("Append() outside of an entry");
    if (sink_ == nullptr) return writers_[file_]->Append(bytes);
    if (bytes.size() > missing_) return WrongSize(absl::StrCat(bytes.size() - missing_, " bytes more than"));
    missing_ -= bytes.size();
    return sink_->Append(bytes);
  }

  absl::Status FinishEntry() override {
    if (!in_entry_) return absl::FailedPreconditionError("FinishEntry() outside of an entry");
    in_entry_ = false;
    if (sink_ == nullptr) {
      CAIRN_RETURN_IF_ERROR(writers_[file_]->FinishEntry());
      ++next_;
      return absl::OkStatus();
    }
    if (missing_ != 0) return WrongSize(absl::StrCat(missing_, " bytes less than"));
    ++asset_;
    return CloseSink();
  }

  absl::Status Finish() override {
    if (index_ == nullptr || in_entry_ || asset_ < plan_.assets.size()) return Unfinished();
    CAIRN_RETURN_IF_ERROR(Advance());
    if (file_ < plan_.files.size()) return Unfinished();
    for (const ColossalAiIndexFile& index : plan_.indexes) {
      CAIRN_ASSIGN_OR_RETURN(sink_, tree_->Create(index.name));
      CAIRN_RETURN_IF_ERROR(sink_->Append(SerializeColossalAiIndex(index)));
      CAIRN_RETURN_IF_ERROR(CloseSink());
    }
    return tree_->Commit();
  }

 private:
  // Writes what nobody else has the bytes of, and finishes files, up to the next entry of the checkpoint.
  absl::Status Advance() {
    for (; file_ < plan_.files.size(); ++file_, next_ = 0) {
      ColossalAiFile& file = plan_.files[file_];
      for (; next_ < orders_[file_].size(); ++next_) {
        const size_t number = orders_[file_][next_];
        if (file.sources[number] != ColossalAiFile::kOwnBytes) return absl::OkStatus();
        CAIRN_RETURN_IF_ERROR(writers_[file_]->StartEntry(number).status());
        CAIRN_RETURN_IF_ERROR(writers_[file_]->Append(std::exchange(file.bytes[number], {})));
        CAIRN_RETURN_IF_ERROR(writers_[file_]->FinishEntry());
      }
      CAIRN_RETURN_IF_ERROR(writers_[file_]->Finish());
      writers_[file_].reset();
    }
    return absl::OkStatus();
  }

  absl::Status CloseSink() {
    CAIRN_RETURN_IF_ERROR(sink_->Close());
    sink_.reset();
    return absl::OkStatus();
  }

  absl::Status OutOfOrder(size_t number) const {
    return absl::FailedPreconditionError(absl::StrCat(tree_->name(), ": entry ", number, " out of order"));
  }
  absl::Status Unfinished() const {
    return absl::FailedPreconditionError(absl::StrCat(tree_->name(), ": finished before all entries were written"));
  }
  absl::Status WrongSize(absl::string_view what) const {
    const Entry& entry = index_->entries[plan_.assets[asset_].first];
    return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", NameForMessage(entry.path.ToString()), ": ", what, " its ", entry.byte_size));
  }

  const std::shared_ptr<SinkTree> tree_;
  const WriteOptions options_;
  const bool safetensors_;

  const CheckpointIndex* index_ = nullptr;
  ColossalAiPlan plan_;
  std::vector<std::unique_ptr<CheckpointWriter>> writers_;  // By file.
  std::vector<std::vector<size_t>> orders_;

  size_t asset_ = 0;  // In plan_.assets.
  size_t file_ = 0;   // In plan_.files.
  size_t next_ = 0;   // In its order.
  bool in_entry_ = false;
  uint64_t missing_ = 0;            // Of an asset.
  std::unique_ptr<ByteSink> sink_;  // Of an asset or an index.
};

}  // namespace

std::unique_ptr<CheckpointWriter> CreateColossalAiWriter(std::shared_ptr<SinkTree> sink, const WriteOptions& options, bool safetensors) {
  return std::make_unique<ColossalAiWriter>(std::move(sink), options, safetensors);
}

}  // namespace cairn
