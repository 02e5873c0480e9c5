#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/base/digest.h"
#include "common/io/byte_sink.h"
#include "common/io/byte_source.h"
#include "common/io/direct_writer.h"
#include "common/io/unique_fd.h"

namespace cairn {

struct ResumableFileOptions {
  std::string path;  // The final one, for messages.
  bool durable = true;
  // Of what each digest is recorded, a multiple of DirectWriter::kAlignment. What an interruption costs, at most, beside
  // what was on its way to the disk.
  uint64_t block_bytes = 4u << 20;
  // After so many bytes all is made durable: what a crash of the machine costs. That of the process costs no more than a
  // block, since whatever is not on the disk does not have its digest.
  uint64_t sync_bytes = 1u << 30;
};

// Some bytes of an entry that the kept front of a file has: the first of them is `position` in the file.
struct KeptBytes {
  uint64_t position = 0;
  uint64_t length = 0;
};

// A file that outlives its writer: "FOLDER/bytes", with "FOLDER/record" that says what it has. The next one in that folder
// keeps the front whose digests are right. Whoever writes appends everything from the first byte on, as before: of the kept
// front it is compared by digest and not written. Where a writer's caller says which entry its bytes are of (Expect()), the
// front gives them back, so that they need not be made again.
// One thread at a time.
class ResumableFile {
 public:
  // Reads all that is kept. `folder` is there, and nobody else's.
  static absl::StatusOr<std::unique_ptr<ResumableFile>> Open(const std::string& folder, ResumableFileOptions options);
  // Writes what has been appended, as far as that goes.
  ~ResumableFile();
  ResumableFile(const ResumableFile&) = delete;
  ResumableFile& operator=(const ResumableFile&) = delete;

  uint64_t size() const { return size_; }
  uint64_t kept() const { return kept_; }
  // How many bytes the record speaks of beyond those that are kept, for a block of them is not what it says. What had not
  // reached the file is not counted: there is always some.
  uint64_t lost() const { return lost_; }
  // Whether another file here would keep anything of this one.
  bool IsWorthKeeping() const { return !spoiled_ && (kept_ > 0 || recorded_blocks_ > 0); }

  // Says that bytes which are appended from this very memory are those of `entry` from `offset` on; until the next call.
  // Copies of them are nobody's.
  void Expect(uint64_t entry, uint64_t offset, absl::string_view bytes) { expected_ = {entry, offset, bytes}; }
  // Where the front has the entry's bytes from `offset` on, and how many. Nothing: it has not, or does not know.
  std::optional<KeptBytes> Find(uint64_t entry, uint64_t offset) const;
  // Within the front.
  absl::Status ReadKept(uint64_t position, absl::Span<char> dst) const;

  // As those of ByteSink. FAILED_PRECONDITION if the front turns out to be of another file: then nothing of it is worth
  // keeping.
  absl::Status Append(absl::string_view bytes);
  // Makes the bytes durable, where they are.
  absl::Status Close();

 private:
  struct Expected {
    uint64_t entry = 0;
    uint64_t offset = 0;
    absl::string_view bytes;
  };
  struct Run {
    uint64_t entry = 0;
    uint64_t offset = 0;  // Within the entry.
    KeptBytes bytes;
  };

  ResumableFile(std::string folder, ResumableFileOptions options)
      : folder_(std::move(folder)), options_(std::move(options)), digester_(DigestAlgorithm::kXxh3) {}

  absl::Status Prepare();
  // Takes from the record what can be understood, and keeps as much as the bytes agree with.
  absl::Status TakeRecord(absl::string_view record);
  absl::Status CountKept();
  absl::Status RewriteRecord();
  void AddRun(uint64_t entry, uint64_t offset, uint64_t position, uint64_t length);
  absl::Status FinishBlock();
  absl::Status Changed();
  std::string BytesPath() const { return folder_ + "/bytes"; }
  std::string RecordPath() const { return folder_ + "/record"; }
  static std::string Describe(const Run& run);

  const std::string folder_;
  const ResumableFileOptions options_;
  UniqueFd fd_;
  UniqueFd record_;
  std::unique_ptr<ByteSource> front_;  // Null: nothing is kept.

  uint64_t kept_ = 0;
  uint64_t lost_ = 0;
  std::vector<std::string> digests_;                                     // Of blocks of the front, in hex.
  std::map<std::pair<uint64_t, uint64_t>, KeptBytes> runs_;              // Of the front, by entry and offset within it.

  uint64_t size_ = 0;
  uint64_t synced_ = 0;
  uint64_t recorded_blocks_ = 0;
  bool spoiled_ = false;
  Digester digester_;  // Of the block that is being written.
  Expected expected_;
  std::vector<Run> new_runs_;  // Of that block.
  std::unique_ptr<DirectWriter> writer_;  // Ends before fd_ does. Null within the front.
};

}  // namespace cairn
