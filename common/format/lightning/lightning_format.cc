#include "common/format/lightning/lightning_format.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/lightning/lightning_names.h"
#include "common/format/lightning/lightning_reader.h"
#include "common/format/lightning/lightning_writer.h"

namespace cairn {
namespace {

absl::Status CheckVariant(const std::string& variant) {
  if (variant.empty() || variant == kLightningWeightsVariant) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("lightning has no variant \"", variant, "\"; expected ", kLightningWeightsVariant, " or none"));
}

class LightningFormatImpl final : public Format {
 public:
  absl::string_view name() const override { return "lightning"; }
  std::vector<std::string> variants() const override { return {kLightningWeightsVariant}; }
  // Of weights; the tree of a Trainer's checkpoint is written as it is.
  FormatTraits traits() const override { return {}; }
  std::vector<absl::string_view> specialises() const override { return {"torch"}; }
  bool Detect(const SourceTree& source) const override { return DetectLightning(source); }

  absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(std::shared_ptr<const SourceTree> source,
                                                         const ReadOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    return OpenLightning(std::move(source), options);
  }
  absl::StatusOr<std::unique_ptr<CheckpointWriter>> Create(std::shared_ptr<SinkTree> sink,
                                                           const WriteOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    return CreateLightningWriter(std::move(sink), options);
  }
};

}  // namespace

const Format& LightningFormat() {
  static const LightningFormatImpl format;
  return format;
}

}  // namespace cairn
