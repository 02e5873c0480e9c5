#include "common/format/dcp/dcp_writer.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/dcp/dcp_metadata_writer.h"
#include "common/format/dcp/dcp_names.h"
#include "common/format/dcp/dcp_plan.h"
#include "common/format/folder/json_events.h"
#include "common/format/torch/torch_file_writer.h"
#include "common/format/torch/torch_pickle.h"

namespace cairn {
namespace {

std::string Shown(const KeyPath& path) { return NameForMessage(path.ToString()); }

class DcpWriter final : public CheckpointWriter {
 public:
  DcpWriter(std::shared_ptr<SinkTree> tree, const WriteOptions& options) : tree_(std::move(tree)), options_(options) {}

  absl::StatusOr<std::vector<size_t>> Begin(const CheckpointIndex& index) override {
    if (index_ != nullptr) return absl::FailedPreconditionError("Begin() was called before");
    index_ = &index;
    absl::StatusOr<DcpPlan> plan = PlanDcp(index, options_.max_shard_bytes);
    if (!plan.ok()) return Annotate(plan.status(), tree_->name());
    plan_ = *std::move(plan);
    if (plan_.problem_count != 0 && !options_.drop_unsupported) {
      return absl::InvalidArgumentError(absl::StrCat(
          tree_->name(), ": ", plan_.problem_count, plan_.problem_count == 1 ? " entry does" : " entries do",
          " not fit into a checkpoint of torch.distributed: ", absl::StrJoin(plan_.problems, "; "),
          plan_.problem_count > plan_.problems.size() ? "; ..." : "",
          ". To leave them out, ask to drop what is unsupported"));
    }
    order_ = plan_.assets;
    for (const DcpPlannedItem& item : plan_.items) {
      if (item.chunk.value_or(1) == 0) order_.push_back(*plan_.keys[item.key].tensor);
      order_.insert(order_.end(), item.storages.begin(), item.storages.end());
    }
    return order_;
  }

  absl::StatusOr<uint64_t> StartEntry(size_t number) override {
    if (in_entry_ || next_ == order_.size() || order_[next_] != number) {
      return absl::FailedPreconditionError(absl::StrCat(tree_->name(), ": entry ", number, " out of order"));
    }
    in_entry_ = true;
    missing_ = index_->entries[number].byte_size;
    if (next_ < plan_.assets.size()) {
      CAIRN_ASSIGN_OR_RETURN(asset_, tree_->Create(index_->entries[number].path.Joined("/")));
    } else {
      CAIRN_RETURN_IF_ERROR(StartStorage());
    }
    return 0;
  }

  absl::Status Append(absl::string_view bytes) override {
    if (!in_entry_) return absl::FailedPreconditionError("Append() outside of an entry");
    if (bytes.size() > missing_) {
      return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", Shown(Current().path), ": ",
                                                     bytes.size() - missing_, " bytes more than its ",
                                                     Current().byte_size));
    }
    missing_ -= bytes.size();
    if (asset_ != nullptr) return asset_->Append(bytes);
    while (!bytes.empty()) {
      if (storage_missing_ == 0) {
        // The next chunk of the same tensor.
        CAIRN_RETURN_IF_ERROR(FinishStorage());
        CAIRN_RETURN_IF_ERROR(StartStorage());
      }
      const absl::string_view part = bytes.substr(0, std::min<uint64_t>(bytes.size(), storage_missing_));
      CAIRN_RETURN_IF_ERROR(file_->Append(part));
      storage_missing_ -= part.size();
      bytes.remove_prefix(part.size());
    }
    return absl::OkStatus();
  }

  absl::Status FinishEntry() override {
    if (!in_entry_) return absl::FailedPreconditionError("FinishEntry() outside of an entry");
    if (missing_ != 0) {
      return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", Shown(Current().path), ": ", missing_, " of ",
                                                     Current().byte_size, " bytes are missing"));
    }
    in_entry_ = false;
    ++next_;
    if (asset_ == nullptr) return FinishStorage();
    CAIRN_RETURN_IF_ERROR(asset_->Close());
    asset_.reset();
    return absl::OkStatus();
  }

  absl::Status Finish() override {
    if (index_ == nullptr || in_entry_ || next_ != order_.size()) {
      return absl::FailedPreconditionError(absl::StrCat(tree_->name(), ": finished before all entries were written"));
    }
    CAIRN_RETURN_IF_ERROR(WriteItemsWithoutBytes());
    // torch makes the file, whatever is in it.
    if (files_ == 0) CAIRN_RETURN_IF_ERROR(NextFile());
    CAIRN_RETURN_IF_ERROR(CloseFile());
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSink> metadata, tree_->Create(kDcpMetadataName));
    CAIRN_RETURN_IF_ERROR(WriteDcpMetadata(*index_, plan_, written_, metadata.get()));
    CAIRN_RETURN_IF_ERROR(metadata->Close());
    return tree_->Commit();
  }

 private:
  const Entry& Current() const { return index_->entries[order_[next_]]; }
  const DcpPlannedItem& Item() const { return plan_.items[written_.size()]; }

  static bool HasBytes(const DcpPlannedItem& item) { return item.chunk.has_value() || !item.storages.empty(); }

  uint64_t ChunkBytes(const DcpPlannedItem& item) const {
    const DcpKey& key = plan_.keys[item.key];
    const Dtype dtype = index_->entries[*key.tensor].dtype;
    uint64_t bytes = dtype == Dtype::kF4Packed ? 1 : static_cast<uint64_t>(BitWidth(dtype)) / 8;
    for (const int64_t extent : key.chunks[*item.chunk].extent) bytes *= static_cast<uint64_t>(extent);
    return bytes;
  }

  uint64_t ItemBytes(const DcpPlannedItem& item) const {
    if (item.chunk.has_value()) return ChunkBytes(item);
    uint64_t bytes = item.pickle.size();
    for (const size_t storage : item.storages) bytes += index_->entries[storage].byte_size;
    return bytes;
  }

  absl::Status WriteItemsWithoutBytes() {
    while (written_.size() < plan_.items.size() && !HasBytes(Item())) {
      CAIRN_RETURN_IF_ERROR(StartItem());
      CAIRN_RETURN_IF_ERROR(FinishItem());
    }
    return absl::OkStatus();
  }

  absl::Status StartStorage() {
    if (file_ == nullptr) {
      CAIRN_RETURN_IF_ERROR(WriteItemsWithoutBytes());
      CAIRN_RETURN_IF_ERROR(StartItem());
    }
    const DcpPlannedItem& item = Item();
    storage_missing_ =
        item.chunk.has_value() ? ChunkBytes(item) : index_->entries[item.storages[storages_done_]].byte_size;
    return file_->StartStorage(storage_missing_);
  }

  absl::Status FinishStorage() {
    CAIRN_RETURN_IF_ERROR(file_->FinishStorage());
    ++storages_done_;
    return storages_done_ < Item().storages.size() ? absl::OkStatus() : FinishItem();
  }

  absl::Status StartItem() {
    const DcpPlannedItem& item = Item();
    const uint64_t bytes = ItemBytes(item), most = options_.max_shard_bytes;
    if (data_ == nullptr || (most != 0 && file_bytes_ != 0 && bytes > most - std::min(most, file_bytes_)))
      CAIRN_RETURN_IF_ERROR(NextFile());
    file_bytes_ += bytes;
    item_offset_ = data_->size();
    storages_done_ = 0;
    file_ = std::make_unique<TorchFileWriter>(data_.get());
    if (!item.chunk.has_value()) return file_->Start(item.pickle);
    const DcpKey& key = plan_.keys[item.key];
    const Dtype dtype = index_->entries[*key.tensor].dtype;
    Shape shape = key.chunks[*item.chunk].extent;
    if (dtype == Dtype::kF4Packed) shape.back() *= 2;
    std::string pickle;
    PickleWriter writer(&pickle, 2);
    CAIRN_RETURN_IF_ERROR(WriteTorchTensor("0", dtype, shape, writer));
    CAIRN_RETURN_IF_ERROR(writer.Finish());
    return file_->Start(pickle);
  }

  absl::Status FinishItem() {
    CAIRN_RETURN_IF_ERROR(file_->Finish());
    file_.reset();
    written_.push_back({DataName(files_ - 1), item_offset_, data_->size() - item_offset_});
    return absl::OkStatus();
  }

  static std::string DataName(size_t number) { return absl::StrCat("__0_", number, kDcpDataSuffix); }

  absl::Status NextFile() {
    CAIRN_RETURN_IF_ERROR(CloseFile());
    CAIRN_ASSIGN_OR_RETURN(data_, tree_->Create(DataName(files_)));
    ++files_;
    file_bytes_ = 0;
    return absl::OkStatus();
  }

  absl::Status CloseFile() {
    if (data_ == nullptr) return absl::OkStatus();
    CAIRN_RETURN_IF_ERROR(data_->Close());
    data_.reset();
    return absl::OkStatus();
  }

  const std::shared_ptr<SinkTree> tree_;
  const WriteOptions options_;

  // The plan, made by Begin().
  const CheckpointIndex* index_ = nullptr;
  DcpPlan plan_;
  std::vector<size_t> order_;

  // Where we are.
  size_t next_ = 0;                  // In order_.
  std::vector<DcpWritten> written_;  // Items that are done.
  size_t files_ = 0;                 // Data files that were begun.
  uint64_t file_bytes_ = 0;          // Of tensors and values, in the last one.
  uint64_t item_offset_ = 0;         // Of the item that is being written.
  size_t storages_done_ = 0;
  uint64_t storage_missing_ = 0;  // Bytes of the storage that have not come.
  bool in_entry_ = false;
  uint64_t missing_ = 0;  // Bytes of the entry that have not come.
  std::unique_ptr<ByteSink> asset_;
  std::unique_ptr<ByteSink> data_;
  std::unique_ptr<TorchFileWriter> file_;
};

}  // namespace

std::unique_ptr<CheckpointWriter> CreateDcpWriter(std::shared_ptr<SinkTree> sink, const WriteOptions& options) {
  return std::make_unique<DcpWriter>(std::move(sink), options);
}

}  // namespace cairn
