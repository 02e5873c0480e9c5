#include "common/format/llama/llama_format.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/llama/llama_reader.h"
#include "common/format/llama/llama_writer.h"

namespace cairn {
namespace {

absl::Status CheckVariant(const std::string& variant) {
  if (variant.empty() || variant == kLlama2Variant) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("llama has no variant \"", variant, "\"; expected ", kLlama2Variant, " or none"));
}

class LlamaFormatImpl final : public Format {
 public:
  absl::string_view name() const override { return "llama"; }
  std::vector<std::string> variants() const override { return {kLlama2Variant}; }
  FormatTraits traits() const override { return {.nested_paths = true, .values = true, .assets = true, .parts = true}; }
  std::vector<absl::string_view> specialises() const override { return {"torch"}; }
  bool Detect(const SourceTree& source) const override { return DetectLlama(source); }

  absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(std::shared_ptr<const SourceTree> source,
                                                         const ReadOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    return OpenLlama(std::move(source), options);
  }
  absl::StatusOr<std::unique_ptr<CheckpointWriter>> Create(std::shared_ptr<SinkTree> sink,
                                                           const WriteOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    return CreateLlamaWriter(std::move(sink), options);
  }
};

}  // namespace

const Format& LlamaFormat() {
  static const LlamaFormatImpl format;
  return format;
}

}  // namespace cairn
