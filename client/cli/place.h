#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/command_set.h"
#include "common/base/cancellation.h"
#include "common/format/checkpoint_file.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"
#include "common/net/url_tree.h"

namespace cairn::cli {

// Where files are, seen from this program: paths and URLs.

struct OpenedPlace {
  std::shared_ptr<const SourceTree> tree;
  std::shared_ptr<const UrlTree> url;  // The same, of a URL.
};
absl::StatusOr<OpenedPlace> OpenPlace(const std::string& path, const Cancellation& cancellation);
// DetectFormat, but where the network failed meanwhile that is what it says.
absl::StatusOr<const Format*> DetectFormatOfPlace(const OpenedPlace& place);

// USAGE for a URL that cannot be written, or cannot in this way.
absl::StatusOr<std::shared_ptr<SinkTree>> CreatePlace(const std::string& path, const Cancellation& cancellation, SinkTreeOptions options);
absl::StatusOr<std::unique_ptr<CheckpointWriter>> CreateTarget(CommandContext& context, const TargetFile& target);

}  // namespace cairn::cli
