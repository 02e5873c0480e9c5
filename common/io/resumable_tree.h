#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/io/file_tree.h"

namespace cairn {

struct ResumableTreeOptions {
  // All that decides about the bytes that will be written. What another identity has left is removed.
  std::string identity;
  bool overwrite = false;  // As SinkTreeOptions.
  bool durable = true;
};

// A folder of files whose finished files outlive an interruption: destroyed without Commit(), or by the death of the
// process, it leaves them in "FOLDER/.NAME.cairn-tmp-resume". The next tree with the same path and identity has them
// already: what is appended to them is thrown away. Whoever writes must write the same files with the same sizes.
class ResumableTree : public SinkTree {
 public:
  // As CreateSinkTree; FAILED_PRECONDITION while another process writes there with the intention to resume.
  static absl::StatusOr<std::unique_ptr<ResumableTree>> Open(const std::string& path, ResumableTreeOptions options);

  // Whether all files that are open now are there already.
  virtual bool Skips() const = 0;
  // Says that bytes are appended for their number alone. Refused, with INTERNAL, by files that are not there already.
  virtual void SetFeeding(bool feeding) = 0;
};

}  // namespace cairn
