#include "common/format/safetensors/safetensors_format.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/safetensors/safetensors_reader.h"
#include "common/format/safetensors/safetensors_writer.h"

namespace cairn {
namespace {

absl::Status CheckVariant(const std::string& variant) {
  if (variant.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("safetensors has no variant \"", variant, "\"; expected none"));
}

class SafetensorsFormatImpl final : public Format {
 public:
  absl::string_view name() const override { return "safetensors"; }
  std::vector<std::string> variants() const override { return {}; }
  FormatTraits traits() const override {
    return {.writable = true, .nested_paths = false, .values = false, .assets = true, .shards = true};
  }
  bool Detect(const SourceTree& source) const override { return DetectSafetensors(source); }

  absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(std::shared_ptr<const SourceTree> source,
                                                         const ReadOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    return OpenSafetensors(std::move(source), options.limits);
  }
  absl::StatusOr<std::unique_ptr<CheckpointWriter>> Create(std::shared_ptr<SinkTree> sink,
                                                           const WriteOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    return CreateSafetensorsWriter(std::move(sink), options);
  }
};

}  // namespace

const Format& SafetensorsFormat() {
  static const SafetensorsFormatImpl format;
  return format;
}

}  // namespace cairn
