#include "client/cli/place.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"
#include "common/base/status_macros.h"
#include "common/format/all_formats.h"

namespace cairn::cli {
namespace {

// A URL that is none is a mistake on the command line, and no damaged file.
absl::Status AsUsage(const absl::Status& status) { return absl::IsInvalidArgument(status) ? UsageError(status.message()) : status; }

}  // namespace

absl::StatusOr<OpenedPlace> OpenPlace(const std::string& path, const Cancellation& cancellation) {
  OpenedPlace place;
  if (IsUrl(path)) {
    UrlOptions options;
    options.cancellation = cancellation;
    absl::StatusOr<std::unique_ptr<UrlTree>> url = OpenUrlTree(path, options);
    if (!url.ok()) return AsUsage(url.status());
    place.url = *std::move(url);
    place.tree = place.url;
  } else {
    CAIRN_ASSIGN_OR_RETURN(place.tree, OpenSourceTree(path));
  }
  return place;
}

absl::StatusOr<const Format*> DetectFormatOfPlace(const OpenedPlace& place) {
  absl::StatusOr<const Format*> format = DetectFormat(*place.tree);
  if (format.ok() || place.url == nullptr) return format;
  const absl::Status failure = place.url->failure();
  return failure.ok() ? format.status() : failure;
}

absl::StatusOr<std::shared_ptr<SinkTree>> CreatePlace(const std::string& path, const Cancellation& cancellation, SinkTreeOptions options) {
  if (!IsUrl(path)) {
    CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<SinkTree> tree, CreateSinkTree(path, options));
    return tree;
  }
  UrlOptions url;
  url.cancellation = cancellation;
  absl::StatusOr<std::unique_ptr<SinkTree>> tree = CreateUrlTree(path, url, options);
  if (!tree.ok()) return AsUsage(tree.status());
  return std::shared_ptr<SinkTree>(*std::move(tree));
}

absl::StatusOr<std::unique_ptr<CheckpointWriter>> CreateTarget(CommandContext& context, const TargetFile& target) {
  if (!IsUrl(target.path)) return cairn::CreateTarget(target);
  if (!target.resume_identity.empty()) return UsageError("--resume: not for a target in S3, where nothing is kept of what is not whole");
  if (target.assets_beside) return UsageError("--assets-beside: not for a target in S3; let it end in '/' for a folder");
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<SinkTree> tree, CreatePlace(target.path, context.cancellation, {.overwrite = target.overwrite}));
  return target.format->Create(std::move(tree), target.options);
}

}  // namespace cairn::cli
