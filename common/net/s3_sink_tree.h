#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/io/file_tree.h"
#include "common/net/url_session.h"

namespace cairn {

// Objects of S3, as a file or as a folder of files. What is written goes up in parts, and no object is there before
// Commit() completes them, in the order of Create(): an index last. Destroyed without it, the parts are given up. (Of a
// process that is killed they stay, under no key, until the bucket's rule for incomplete uploads removes them.)
//
// A single object appears whole or not at all. Of a folder that is committed while the process dies, some objects may be
// there and the last one is not.
absl::StatusOr<std::unique_ptr<SinkTree>> CreateS3SinkTree(std::shared_ptr<UrlSession> session, const Url& url, SinkTreeOptions options);

}  // namespace cairn
