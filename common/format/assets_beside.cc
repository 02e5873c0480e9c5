#include "common/format/assets_beside.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/io/posix_file.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxAssets = 256;  // Each is an open file until the end.

class AssetsBeside final : public CheckpointWriter {
 public:
  AssetsBeside(std::unique_ptr<CheckpointWriter> weights, const std::string& target, bool overwrite, const std::string& scratch)
      : weights_(std::move(weights)), target_(target), overwrite_(overwrite), scratch_(scratch) {}

  absl::StatusOr<std::vector<size_t>> Begin(const CheckpointIndex& index) override {
    index_ = &index;
    without_assets_.metadata = index.metadata;
    without_assets_.left_out = index.left_out;
    std::vector<size_t> order, numbers;  // The latter: in the index, of entries that remain.
    for (size_t i = 0; i < index.entries.size(); ++i) {
      if (index.entries[i].kind == EntryKind::kAsset) {
        CAIRN_RETURN_IF_ERROR(CheckName(index.entries[i].path));
        order.push_back(i);
      } else {
        without_assets_.entries.push_back(index.entries[i]);
        numbers.push_back(i);
      }
    }
    if (order.size() > kMaxAssets) {
      return absl::InvalidArgumentError(
          absl::StrCat(target_, ": expected at most ", kMaxAssets, " files to be written beside it, found ", order.size(),
                       "; let the path end in '/' for a folder"));
    }
    CAIRN_ASSIGN_OR_RETURN(const std::vector<size_t> rest, weights_->Begin(without_assets_));
    inner_.resize(index.entries.size());
    for (const size_t number : rest) {
      order.push_back(numbers[number]);
      inner_[numbers[number]] = number;
    }
    return order;
  }

  absl::StatusOr<uint64_t> StartEntry(size_t number) override {
    const Entry& entry = index_->entries[number];
    in_asset_ = entry.kind == EntryKind::kAsset;
    if (!in_asset_) return weights_->StartEntry(inner_[number]);
    const std::string path = (Folder() / entry.path.Joined("/")).string();
    offset_ = 0;
    expected_ = entry.byte_size;
    struct stat info;
    if (!overwrite_ && ::lstat(path.c_str(), &info) == 0) {
      CAIRN_ASSIGN_OR_RETURN(there_, OpenFileSource(path));
      if (there_->size() != expected_) return Differs(path);
      return 0;
    }
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSink> sink, CreateFileSink(path, {.overwrite = overwrite_, .temporary_folder = scratch_}));
    sinks_.push_back(std::move(sink));
    return 0;
  }

  absl::Status Append(absl::string_view bytes) override {
    if (!in_asset_) return weights_->Append(bytes);
    if (bytes.size() > expected_ - offset_) return absl::InvalidArgumentError(absl::StrCat(target_, ": more bytes of an asset than it has"));
    if (there_ == nullptr) {
      offset_ += bytes.size();
      return sinks_.back()->Append(bytes);
    }
    std::string found(bytes.size(), '\0');
    CAIRN_RETURN_IF_ERROR(there_->ReadAt(offset_, absl::MakeSpan(found)));
    offset_ += bytes.size();
    return found == bytes ? absl::OkStatus() : Differs(there_->name());
  }

  absl::Status FinishEntry() override {
    if (!in_asset_) return weights_->FinishEntry();
    there_.reset();
    if (offset_ == expected_) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(target_, ": ", expected_ - offset_, " bytes of an asset are missing"));
  }

  absl::Status Finish() override {
    for (const std::unique_ptr<ByteSink>& sink : sinks_) CAIRN_RETURN_IF_ERROR(sink->Close());
    return weights_->Finish();
  }

 private:
  fs::path Folder() const {
    const fs::path folder = fs::path(target_).parent_path();
    return folder.empty() ? fs::path(".") : folder;
  }

  // Names come from wherever the checkpoint was saved.
  absl::Status CheckName(const KeyPath& path) const {
    const std::string name = path.Joined("/");
    const bool plain = path.segments().size() == 1 && !name.empty() && name != "." && name != ".." &&
                       !absl::StrContains(name, '/') && !absl::StrContains(name, '\0');
    if (plain && name != fs::path(target_).filename()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(target_, ": the file \"", path.ToString(),
                                                   "\" cannot be written beside it; let the path end in '/' for a folder"));
  }

  static absl::Status Differs(const std::string& path) {
    return absl::AlreadyExistsError(absl::StrCat(path, ": is there with other bytes; ask for overwriting or choose another folder"));
  }

  const std::unique_ptr<CheckpointWriter> weights_;
  const std::string target_;
  const bool overwrite_;
  const std::string scratch_;
  const CheckpointIndex* index_ = nullptr;
  CheckpointIndex without_assets_;
  std::vector<size_t> inner_;  // By entry of the index: its number without assets.
  std::vector<std::unique_ptr<ByteSink>> sinks_;

  // Of the asset that is being written.
  bool in_asset_ = false;
  uint64_t offset_ = 0, expected_ = 0;
  std::unique_ptr<ByteSource> there_;  // It is there already, and compared.
};

}  // namespace

std::unique_ptr<CheckpointWriter> WriteAssetsBeside(std::unique_ptr<CheckpointWriter> weights, const std::string& target,
                                                    bool overwrite, const std::string& scratch) {
  return std::make_unique<AssetsBeside>(std::move(weights), target, overwrite, scratch);
}

}  // namespace cairn
