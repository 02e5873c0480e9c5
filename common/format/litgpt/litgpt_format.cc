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

// The last segment of a path.
std::string FileName(const std::string& path) {
  const std::vector<std::string> segments = absl::StrSplit(path, '/');
  return segments.back();
}

absl::Status CheckVariant(const std::string& variant) {
  if (variant.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("litgpt has no variant \"", variant, "\"; expected none"));
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
    if (!source->is_directory()) return OpenTorchFile(std::move(source), "", TorchAssets::kNone, options.limits);
    return OpenTorchFile(std::move(source), kWeightsName, TorchAssets::kBeside, options.limits);
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
