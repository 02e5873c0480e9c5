#include "common/format/dcp/dcp_format.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/dcp/dcp_reader.h"
#include "common/format/dcp/dcp_writer.h"

namespace cairn {
namespace {

absl::Status CheckVariant(const std::string& variant) {
  if (variant.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("dcp has no variant \"", variant, "\"; expected none"));
}

class DcpFormatImpl final : public Format {
 public:
  absl::string_view name() const override { return "dcp"; }
  std::vector<std::string> variants() const override { return {}; }
  FormatTraits traits() const override {
    return {.writable = true, .nested_paths = true, .values = true, .assets = true, .shards = true};
  }
  bool Detect(const SourceTree& source) const override { return DetectDcp(source); }

  absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(std::shared_ptr<const SourceTree> source,
                                                         const ReadOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    return OpenDcpDirectory(std::move(source), {.limits = options.limits});
  }
  absl::StatusOr<std::unique_ptr<CheckpointWriter>> Create(std::shared_ptr<SinkTree> sink,
                                                           const WriteOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    return CreateDcpWriter(std::move(sink), options);
  }
};

}  // namespace

const Format& DcpFormat() {
  static const DcpFormatImpl format;
  return format;
}

}  // namespace cairn
