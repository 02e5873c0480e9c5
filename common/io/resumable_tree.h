#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/base/cancellation.h"
#include "common/io/file_tree.h"
#include "common/io/resumable_file.h"

namespace cairn {

struct ResumableTreeOptions {
  // All that decides about the bytes that will be written. What another identity has left is removed.
  std::string identity;
  bool overwrite = false;  // As SinkTreeOptions.
  bool durable = true;
  // Told, in words, what of an interrupted run could not be used, and why. May be null.
  std::function<void(const std::string&)> note = nullptr;
  uint64_t block_bytes = ResumableFileOptions{}.block_bytes;
  // How long to wait for another that writes there: it may be an attempt of the same caller, whose end is not noticed yet.
  absl::Duration wait = absl::ZeroDuration();
  Cancellation cancellation = {};  // Ends the wait.
};

// A target that outlives an interruption: destroyed without Commit(), or by the death of the process, it leaves what it has
// in "FOLDER/.NAME.cairn-tmp-resume". The next tree with the same path and identity has that already. Whoever writes must
// write the same bytes again, all of them:
// * of a folder the finished files are there, and what is appended to them is thrown away;
// * of one file the front is there (resumable_file.h), and what is appended to it is compared.
class ResumableTree : public SinkTree {
 public:
  // As CreateSinkTree; FAILED_PRECONDITION while another process writes there with the intention to resume.
  static absl::StatusOr<std::unique_ptr<ResumableTree>> Open(const std::string& path, ResumableTreeOptions options);

  // Of a folder. Whether all files that are open now are there already.
  virtual bool Skips() const = 0;
  // Says that bytes are appended for their number alone. Refused, with INTERNAL, by files that are not there already.
  virtual void SetFeeding(bool feeding) = 0;

  // A folder of the target's file system for files on their way: it goes with what is kept, whatever becomes of this run.
  virtual std::string ScratchFolder() const = 0;

  // Of one file, once it is created: ResumableFile has the words. Null before, and of a folder.
  virtual ResumableFile* file() = 0;
};

// What an interrupted run has left that was to be resumed: a path, or "" where there is nothing.
std::string InterruptedRun(const std::string& target);

}  // namespace cairn
