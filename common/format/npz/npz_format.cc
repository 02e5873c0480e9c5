#include "common/format/npz/npz_format.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/npz/npz_reader.h"
#include "common/format/npz/npz_writer.h"

namespace cairn {
namespace {

absl::Status CheckVariant(const std::string& variant) {
  if (variant.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("npz has no variant \"", variant, "\"; expected none"));
}

class NpzFormatImpl final : public Format {
 public:
  absl::string_view name() const override { return "npz"; }
  std::vector<std::string> variants() const override { return {}; }
  FormatTraits traits() const override {
    return {.writable = true, .nested_paths = false, .values = false, .assets = false, .shards = false};
  }
  bool Detect(const SourceTree& source) const override { return DetectNpz(source); }

  absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(std::shared_ptr<const SourceTree> source,
                                                         const ReadOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    return OpenNpz(*source, options.limits);
  }
  absl::StatusOr<std::unique_ptr<CheckpointWriter>> Create(std::shared_ptr<SinkTree> sink,
                                                           const WriteOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    return CreateNpzWriter(std::move(sink), options);
  }
};

}  // namespace

const Format& NpzFormat() {
  static const NpzFormatImpl format;
  return format;
}

}  // namespace cairn
