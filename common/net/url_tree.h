#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/io/file_tree.h"
#include "common/net/url_session.h"

namespace cairn {

// A source tree behind a URL.
class UrlTree : public SourceTree {
 public:
  // What tells the state of all files that were opened until now, also through the trees that came of this one.
  virtual std::string Identity() const = 0;
  // What last went wrong while bytes were read. Detection takes any error for "not this format".
  virtual absl::Status failure() const = 0;
};

// "https://HOST/PATH" and "http://HOST/PATH" are one file each. HTTP lists no folders: in that of an index only the files
// that it names are found, and configurations and tokenizers by their usual names. "s3://BUCKET/KEY" is a file, or the
// folder of all keys below "KEY/".
// INVALID_ARGUMENT for what is no such URL; NOT_FOUND, PERMISSION_DENIED, UNAVAILABLE, ... as the server says.
absl::StatusOr<std::unique_ptr<UrlTree>> OpenUrlTree(const std::string& url, const UrlOptions& options = {});

// "s3://BUCKET/KEY", or "s3://BUCKET/KEY/" for a folder. INVALID_ARGUMENT for http, which takes no files.
absl::StatusOr<std::unique_ptr<SinkTree>> CreateUrlTree(const std::string& url, const UrlOptions& options, SinkTreeOptions sink_options);

}  // namespace cairn
