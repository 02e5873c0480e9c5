#include "common/format/litgpt/litgpt_format.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/format/torch/torch_names.h"
#include "common/format/torch/torch_reader.h"
#include "common/format/torch/torch_writer.h"

namespace cairn {
namespace {

constexpr char kWeightsName[] = "lit_model.pth";
constexpr char kModel[] = "model";  // Where Fabric keeps the weights.

// The last segment of a path.
std::string FileName(const std::string& path) {
  const std::vector<std::string> segments = absl::StrSplit(path, '/');
  return segments.back();
}

absl::Status CheckVariant(const std::string& variant) {
  if (variant.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("litgpt has no variant \"", variant, "\"; expected none"));
}

// That the folder has the file, and says what else it may be if not.
absl::Status CheckHasWeights(const SourceTree& folder) {
  CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> names, folder.List());
  if (std::count(names.begin(), names.end(), kWeightsName) != 0) return absl::OkStatus();
  if (const auto opened = folder.Open(kWeightsName); !opened.ok() && !absl::IsNotFound(opened.status())) {
    return absl::InvalidArgumentError(absl::StrCat(folder.name(), ": its ", kWeightsName, " is no file; a sharded checkpoint is a folder, whose path is read with lightning::"));
  }
  return absl::NotFoundError(absl::StrCat(folder.name(), ": holds no ", kWeightsName, ", expected the weights of litgpt; a folder of other files of torch.save is read with torch::"));
}

class LitGptFormatImpl final : public Format {
 public:
  absl::string_view name() const override { return "litgpt"; }
  std::vector<std::string> variants() const override { return {}; }
  FormatTraits traits() const override { return {.nested_paths = true, .values = true, .assets = true}; }
  std::vector<absl::string_view> specialises() const override { return {"torch"}; }

  bool Detect(const SourceTree& source) const override {
    if (!source.is_directory()) return FileName(source.name()) == kWeightsName && IsTorchFileAt(source, "");
    const absl::StatusOr<std::vector<std::string>> names = source.List();
    return names.ok() && std::count(names->begin(), names->end(), kWeightsName) != 0 && IsTorchFileAt(source, kWeightsName);
  }

  absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(std::shared_ptr<const SourceTree> source,
                                                         const ReadOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    const TorchExpectations expectations = {.named = true, .dicts = {kModel}};
    if (!source->is_directory()) return OpenTorchFile(std::move(source), "", TorchAssets::kNone, options.limits, expectations);
    CAIRN_RETURN_IF_ERROR(CheckHasWeights(*source));
    return OpenTorchFile(std::move(source), kWeightsName, TorchAssets::kBeside, options.limits, expectations);
  }

  absl::StatusOr<std::unique_ptr<CheckpointWriter>> Create(std::shared_ptr<SinkTree> sink,
                                                           const WriteOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    const bool lone = !sink->is_directory() && IsTorchName(FileName(sink->name()));
    return CreateTorchFileWriter(std::move(sink), options, lone ? "" : kWeightsName);
  }
};

}  // namespace

const Format& LitGptFormat() {
  static const LitGptFormatImpl format;
  return format;
}

}  // namespace cairn
