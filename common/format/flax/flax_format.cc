#include "common/format/flax/flax_format.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/flax/flax_reader.h"
#include "common/format/flax/flax_writer.h"

namespace cairn {
namespace {

// As EasyLM calls such a file. It means the same.
constexpr char kParamsVariant[] = "flax_params";

absl::Status CheckVariant(const std::string& variant) {
  if (variant.empty() || variant == kParamsVariant) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("flax has no variant \"", variant, "\"; expected ", kParamsVariant));
}

class Flax final : public Format {
 public:
  absl::string_view name() const override { return "flax"; }
  std::vector<std::string> variants() const override { return {kParamsVariant}; }
  FormatTraits traits() const override {
    return {.nested_paths = true, .values = true, .assets = true, .shards = true};
  }
  bool Detect(const SourceTree& source) const override { return DetectFlax(source); }

  absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(std::shared_ptr<const SourceTree> source,
                                                         const ReadOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    return OpenFlax(std::move(source), options.limits);
  }
  absl::StatusOr<std::unique_ptr<CheckpointWriter>> Create(std::shared_ptr<SinkTree> sink,
                                                           const WriteOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    return CreateFlaxWriter(std::move(sink), options);
  }
};

}  // namespace

const Format& FlaxFormat() {
  static const Flax& format = *new Flax;
  return format;
}

}  // namespace cairn
