#include "common/format/cairndiff/cairndiff_format.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/cairndiff/diff_file.h"

namespace cairn {
namespace {

class DiffAssetReader final : public CheckpointReader {
 public:
  DiffAssetReader(std::unique_ptr<ByteSource> file, const DiffFileIndex& diff) : file_(std::move(file)) {
    index_.entries.push_back(Entry::Asset(KeyPath::Of({kDiffAssetName}), file_->size()));
    index_.metadata = {{kDiffModeKey, "exact"},
                       {kDiffBaseKey, diff.base.label},
                       {kDiffBaseDigestKey, diff.base.content.ToHex()},
                       {kDiffTargetKey, diff.target.label},
                       {kDiffTargetDigestKey, diff.target.content.ToHex()}};
  }
  const CheckpointIndex& index() const override { return index_; }
  absl::Status ReadAt(size_t, uint64_t offset, absl::Span<char> dst) override { return file_->ReadAt(offset, dst); }

 private:
  const std::unique_ptr<ByteSource> file_;
  CheckpointIndex index_;
};

// Writes the asset as the file that it is.
class DiffAssetWriter final : public CheckpointWriter {
 public:
  explicit DiffAssetWriter(std::shared_ptr<SinkTree> tree) : tree_(std::move(tree)) {}

  absl::StatusOr<std::vector<size_t>> Begin(const CheckpointIndex& index) override {
    if (index.entries.size() != 1 || index.entries[0].kind != EntryKind::kAsset ||
        index.entries[0].path != KeyPath::Of({kDiffAssetName})) {
      return absl::InvalidArgumentError(absl::StrCat(
          tree_->name(), ": a .cairndiff file holds an exact diff and nothing else; \"cairn diff BASE TARGET --output ", tree_->name(),
          "\" makes one, and only a checkpoint that stores one can be written as one"));
    }
    missing_ = index.entries[0].byte_size;
    CAIRN_ASSIGN_OR_RETURN(sink_, tree_->Create(""));
    return std::vector<size_t>{0};
  }
  absl::StatusOr<uint64_t> StartEntry(size_t) override { return 0; }
  absl::Status Append(absl::string_view bytes) override {
    if (bytes.size() > missing_) return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": more bytes than the entry has"));
    missing_ -= bytes.size();
    return sink_->Append(bytes);
  }
  absl::Status FinishEntry() override {
    if (missing_ == 0) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", missing_, " bytes are missing"));
  }
  absl::Status Finish() override {
    CAIRN_RETURN_IF_ERROR(sink_->Close());
    sink_.reset();
    return tree_->Commit();
  }

 private:
  const std::shared_ptr<SinkTree> tree_;
  std::unique_ptr<ByteSink> sink_;
  uint64_t missing_ = 0;
};

class CairnDiff final : public Format {
 public:
  absl::string_view name() const override { return "cairndiff"; }
  std::vector<std::string> variants() const override { return {}; }
  FormatTraits traits() const override { return {.assets = true}; }

  bool Detect(const SourceTree& source) const override {
    if (source.is_directory()) return false;
    const absl::StatusOr<std::unique_ptr<ByteSource>> file = source.Open("");
    return file.ok() && LooksLikeDiffFile(**file);
  }
  absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(std::shared_ptr<const SourceTree> source,
                                                         const ReadOptions& options) const override {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, source->Open(""));
    return OpenDiffAsset(std::move(file), options.limits);
  }
  absl::StatusOr<std::unique_ptr<CheckpointWriter>> Create(std::shared_ptr<SinkTree> sink,
                                                           const WriteOptions&) const override {
    return std::make_unique<DiffAssetWriter>(std::move(sink));
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenDiffAsset(std::unique_ptr<ByteSource> file, const ReadLimits& limits) {
  CAIRN_ASSIGN_OR_RETURN(const DiffFileIndex index, ReadDiffFile(*file, limits));
  return std::make_unique<DiffAssetReader>(std::move(file), index);
}

const Format& CairnDiffFormat() {
  static const CairnDiff& format = *new CairnDiff;
  return format;
}

}  // namespace cairn
