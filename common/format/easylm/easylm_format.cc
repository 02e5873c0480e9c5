#include "common/format/easylm/easylm_format.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/format/easylm/easylm_object.h"
#include "common/format/easylm/easylm_reader.h"
#include "common/format/easylm/easylm_writer.h"
#include "common/format/flax_msgpack/flax_leaf.h"
#include "common/format/flax_msgpack/msgpack_scan.h"

namespace cairn {
namespace {

class EasyLm final : public Format {
 public:
  absl::string_view name() const override { return "easylm"; }
  std::vector<std::string> variants() const override { return {"params", "trainstate", "trainstate_params"}; }
  FormatTraits traits() const override { return {.nested_paths = true, .values = true}; }

  bool Detect(const SourceTree& source) const override {
    if (source.is_directory()) return false;
    const absl::StatusOr<std::unique_ptr<ByteSource>> file = source.Open("");
    if (!file.ok()) return false;
    MsgpackScanner scanner(**file, MsgpackScanner::kMinWindowBytes);
    // A first object that is torn is one all the same: Open() says what is wrong with it.
    scanner.SetEnd(uint64_t{1} << 62);
    const absl::StatusOr<EasyLmObject> object = ScanEasyLmObject(scanner, ReadLimits());
    if (!object.ok()) return false;
    scanner.SetEnd(object->value_offset + object->value_bytes);
    return BeginsLikeFlaxLeaf(scanner);
  }

  absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(std::shared_ptr<const SourceTree> source,
                                                         const ReadOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    return OpenEasyLmReader(std::move(source), options);
  }

  absl::StatusOr<std::unique_ptr<CheckpointWriter>> Create(std::shared_ptr<SinkTree> sink,
                                                           const WriteOptions& options) const override {
    CAIRN_RETURN_IF_ERROR(CheckVariant(options.variant));
    return CreateEasyLmWriter(std::move(sink), options);
  }

 private:
  absl::Status CheckVariant(const std::string& variant) const {
    const std::vector<std::string> known = variants();
    if (variant.empty() || std::find(known.begin(), known.end(), variant) != known.end()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("easylm has no variant \"", variant, "\"; expected one of ",
                                                   absl::StrJoin(known, ", ")));
  }
};

}  // namespace

const Format& EasyLmFormat() {
  static const EasyLm& format = *new EasyLm;
  return format;
}

}  // namespace cairn
