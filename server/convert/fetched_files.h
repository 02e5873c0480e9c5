#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "common/base/buffer.h"
#include "common/io/file_tree.h"

namespace cairn {

// A file that somebody else has and will send ranges of.
struct FetchableFile {
  std::string name;  // Within the folder. "": the source is this one file.
  uint64_t size = 0;
  bool beside = false;  // In the folder in which the one file lies.
};

// A range that is asked for. To be answered whole.
struct FetchedRange {
  uint64_t id = 0;
  uint32_t file = 0;  // Position in the list.
  uint64_t offset = 0;
  uint32_t length = 0;
};

struct FetchedFilesOptions {
  std::string name;                    // Of the source, for messages.
  uint64_t window_bytes = 8u << 20;    // What is asked for or kept, all files together.
  uint32_t range_bytes = 1u << 20;     // Of one range, at most.
};

// A source whose files are fetched a range at a time, as they are read. Ranges are larger than what is read in small
// pieces, and once a file is read front to back, they are asked for ahead of the reader.
//
// Thread-safe. Readers block until their ranges are answered, or until Fail().
class FetchedFiles : public std::enable_shared_from_this<FetchedFiles> {
 public:
  using Names = std::map<std::string, uint32_t>;  // To positions in the list.
  // Must not block; called by readers.
  using Ask = std::function<void(std::vector<FetchedRange>)>;

  // INVALID_ARGUMENT for names that are no names within a folder, or that come twice, or for several files where one of
  // them has no name.
  static absl::StatusOr<std::shared_ptr<FetchedFiles>> Create(std::vector<FetchableFile> files, FetchedFilesOptions options, Ask ask);

  std::shared_ptr<const SourceTree> Tree() const;

  const FetchableFile& file(uint32_t number) const { return files_[number]; }
  const Names& beside() const { return beside_; }

  // The bytes of a range that was asked for; INVALID_ARGUMENT if it was not, or if they are not its bytes.
  absl::Status Answer(uint64_t id, uint64_t offset, std::vector<Buffer> pieces) ABSL_LOCKS_EXCLUDED(mu_);
  // No answer will come any more: whoever reads gets that error.
  void Fail(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_);
  // Of Fail(); otherwise OK.
  absl::Status status() const ABSL_LOCKS_EXCLUDED(mu_);
  // Ranges that are not yet answered.
  size_t asked() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  friend class FetchedSource;

  // Kept by readers too, so that one that waits for it gets it, whatever is thrown away meanwhile.
  struct Range {
    FetchedRange what;
    std::vector<Buffer> pieces;
    bool answered = false;
    bool used_up = false;  // Read to its end.
  };
  struct Reading {
    uint64_t next = UINT64_MAX;  // Where a reader that goes front to back comes next.
    uint64_t ahead = 0;
  };

  FetchedFiles(std::vector<FetchableFile> files, FetchedFilesOptions options, Ask ask)
      : options_(std::move(options)), ask_(std::move(ask)), files_(std::move(files)), reading_(files_.size()) {}
  absl::Status TakeNames();

  absl::Status Read(uint32_t file, uint64_t offset, absl::Span<char> dst) const ABSL_LOCKS_EXCLUDED(mu_);
  // The range that has `offset`, answered. `end` is what the reader wants in all.
  absl::StatusOr<std::shared_ptr<Range>> Await(uint32_t file, uint64_t offset, uint64_t end) const ABSL_LOCKS_EXCLUDED(mu_);
  std::shared_ptr<Range> Find(uint32_t file, uint64_t offset) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What of [offset, end) is not there, as far as the window allows.
  std::vector<FetchedRange> Missing(uint32_t file, uint64_t offset, uint64_t end) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool MakeRoom(uint64_t bytes, uint32_t file, uint64_t begin, uint64_t end) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const FetchedFilesOptions options_;
  const Ask ask_;
  const std::vector<FetchableFile> files_;
  Names names_;   // Of the source,
  Names beside_;  // and of the folder in which it lies.

  mutable absl::Mutex mu_;
  // What follows is a cache: reading changes nothing that anybody sees.
  mutable std::map<std::pair<uint32_t, uint64_t>, std::shared_ptr<Range>> ranges_ ABSL_GUARDED_BY(mu_);  // By file and offset; they do not overlap.
  mutable std::map<uint64_t, std::shared_ptr<Range>> asked_ ABSL_GUARDED_BY(mu_);
  mutable uint64_t held_ ABSL_GUARDED_BY(mu_) = 0;  // Bytes of ranges_.
  mutable uint64_t last_id_ ABSL_GUARDED_BY(mu_) = 0;
  mutable std::vector<Reading> reading_ ABSL_GUARDED_BY(mu_);  // By file.
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cairn
