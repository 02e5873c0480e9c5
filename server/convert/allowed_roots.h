#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/cancellation.h"
#include "common/io/file_tree.h"
#include "common/net/url_tree.h"

namespace cairn {

// What a tree behind a URL may hold in memory, on top of what a conversion takes: a source, a target, and each of several files
// of a target that are written side by side.
constexpr uint64_t kUrlSourceBytes = 32u << 20;
constexpr uint64_t kUrlTargetBytes = 64u << 20;
constexpr uint64_t kUrlPartBytes = 5u << 20;

// UNAVAILABLE tells callers to repeat their call. A server behind a URL was asked often enough when it says so: to them that is
// FAILED_PRECONDITION, with the same words. Anything else as it is.
absl::Status NotToBeRepeated(const absl::Status& status);

// The folders of this machine that callers of the daemon may name files in, and the URLs that they may name. The daemon reads and writes with its own
// rights, so nothing outside them is touched on a caller's word: no "..", and no link that leads out.
// Thread-safe.
class AllowedRoots {
 public:
  AllowedRoots() = default;  // None.
  // Existing folders. NOT_FOUND, INVALID_ARGUMENT for a path that is not absolute or no folder.
  static absl::StatusOr<AllowedRoots> Make(const std::vector<std::string>& folders);

  // Before it is shared.
  void AllowUrls(AllowedUrls urls) { urls_ = std::make_shared<const AllowedUrls>(std::move(urls)); }

  // `path` may be a URL here and below. PERMISSION_DENIED outside the folders, or the URLs, with those there are.
  absl::StatusOr<std::unique_ptr<SourceTree>> OpenSource(const std::string& path, const Cancellation& cancellation = {}) const;
  // The folder that it will lie in must exist. Whoever may change the folders themselves while files are moved into
  // place could still lead the writer elsewhere: they are the operator's.
  absl::StatusOr<std::unique_ptr<SinkTree>> CreateTarget(const std::string& path, SinkTreeOptions options, const Cancellation& cancellation = {}) const;
  // The path under which that target is written, without links in its folder; with '/' at its end if `path` has it.
  absl::StatusOr<std::string> ResolveTarget(const std::string& path) const;

  const std::vector<std::string>& folders() const { return folders_; }

 private:
  // The one that `path`, made canonical as far as it exists, lies in.
  absl::StatusOr<std::string> RootOf(const std::string& path, const std::string& canonical) const;
  absl::Status CheckForm(const std::string& path) const;

  UrlOptions OptionsForUrls(const Cancellation& cancellation) const;

  std::vector<std::string> folders_;  // Canonical.
  std::shared_ptr<const AllowedUrls> urls_ = std::make_shared<const AllowedUrls>();
};

}  // namespace cairn
