#include "common/format/colossalai/colossalai_format.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/colossalai/colossalai_reader.h"
#include "common/format/colossalai/colossalai_writer.h"

namespace cairn {
namespace {

constexpr char kSafetensors[] = "colossalai_safetensors";
constexpr char kNamed[] = "colossalai_named";

absl::Status CheckVariant(const std::string& variant) {
  if (variant.empty() || variant == kSafetensors || variant == kNamed) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("colossalai has no variant \"", variant, "\"; expected none, ", kSafetensors, " or ", kNamed));
}

class ColossalAiFormatImpl final : public Format {
 public:
  absl::string_view name() const override { return "colossalai"; }
  std::vector<std::string> variants() const override { return {kSafetensors, kNamed}; }
  FormatTraits traits() const override {
    return {.writable = true, .nested_paths = false, .values = false, .assets = true, .shards = true};
  }
  std::vector<absl::string_view> specialises() const override { return {"safetensors", "torch"}; }
  bool Detect(const SourceTree& source) const override { return DetectColossalAi(source); }

  absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(std::shared_ptr<const SourceTree> source,
                                                         const ReadOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    return OpenColossalAi(std::move(source), options.variant == kNamed, options.limits);
  }
  absl::StatusOr<std::unique_ptr<CheckpointWriter>> Create(std::shared_ptr<SinkTree> sink,
                                                           const WriteOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    return CreateColossalAiWriter(std::move(sink), options, options.variant == kSafetensors);
  }
};

}  // namespace

const Format& ColossalAiFormat() {
  static const ColossalAiFormatImpl format;
  return format;
}

}  // namespace cairn
