#include "common/diff/diff_asset.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/format/cairndiff/cairndiff_format.h"
#include "common/format/cairndiff/diff_file.h"
#include "common/io/anonymous_file.h"

namespace cairn {
namespace {

class AssetSource final : public ByteSource {
 public:
  AssetSource(std::unique_ptr<CheckpointReader> reader, std::string name)
      : reader_(std::move(reader)), size_(reader_->index().entries[0].byte_size), name_(std::move(name)) {}
  uint64_t size() const override { return size_; }
  const std::string& name() const override { return name_; }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const override { return reader_->ReadAt(0, offset, dst); }

 private:
  const std::unique_ptr<CheckpointReader> reader_;
  const uint64_t size_;
  const std::string name_;
};

}  // namespace

bool StoresDiff(const CheckpointIndex& index) {
  return index.entries.size() == 1 && index.entries[0].kind == EntryKind::kAsset &&
         index.entries[0].path == KeyPath::Of({kDiffAssetName});
}

std::unique_ptr<ByteSource> StoredDiffBytes(std::unique_ptr<CheckpointReader> stored, std::string name) {
  return std::make_unique<AssetSource>(std::move(stored), std::move(name));
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> MakeDiffAsset(CheckpointReader& base, CheckpointReader& target,
                                                                const ExactDiffOptions& options, const std::string& folder,
                                                                ExactDiffReport* report) {
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<AnonymousFile> file, AnonymousFile::Create(folder, kDiffAssetName));
  CAIRN_ASSIGN_OR_RETURN(*report, WriteExactDiff(base, target, options, file->sink()));
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> bytes, file->Read());
  return OpenDiffAsset(std::move(bytes), ReadLimits());
}

}  // namespace cairn
