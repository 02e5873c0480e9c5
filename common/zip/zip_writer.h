#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/io/byte_sink.h"

namespace cairn {

enum class ZipLayout {
  // What any zip tool writes to a pipe: descriptors behind the entries, zip64 where it is needed.
  kPlain,
  // The very bytes of torch.save: padded local headers, zip64 end records always (README.md).
  kTorch,
};

struct ZipWriterOptions {
  ZipLayout layout = ZipLayout::kPlain;
  uint64_t alignment = 64;  // kTorch: of the first byte of each entry, from the begin of the archive. At least 1.
  bool compute_crc = true;  // kTorch: false writes 0 for every CRC, as torch does with compute_crc32 = False.
};

// Writes a zip archive of stored entries, strictly forward. Offsets count from where the sink stands at the start, so
// that an archive can be an item of a larger file. Deterministic: no times, no platform. One thread at a time; after an
// error nothing may follow.
//
//   { StartEntry, Append*, FinishEntry | AddEntry }*, Finish
class ZipWriter {
 public:
  // `sink` must outlive the writer.
  explicit ZipWriter(ByteSink* sink, ZipWriterOptions options = {});

  // INVALID_ARGUMENT for a name that ZipReader would refuse, or one that was written before.
  absl::Status StartEntry(absl::string_view name, uint64_t size);
  absl::Status Append(absl::string_view bytes);
  // INVALID_ARGUMENT unless exactly `size` bytes have come.
  absl::Status FinishEntry();
  absl::Status AddEntry(absl::string_view name, absl::string_view content);

  // Writes the directory. The sink is not closed.
  absl::Status Finish();

  // Since the begin of the archive; within StartEntry .. FinishEntry, where the next byte of the content goes.
  uint64_t offset() const { return sink_->size() - begin_; }

 private:
  struct Written {
    std::string name;
    uint32_t crc = 0;
    uint64_t size = 0;
    uint64_t header_offset = 0;
  };

  uint16_t Flags(const Written& entry) const;
  std::string LocalHeader(const Written& entry) const;
  std::string Descriptor(const Written& entry) const;
  std::string DirectoryRecord(const Written& entry) const;
  std::string EndRecords(uint64_t directory_offset, uint64_t directory_size) const;

  ByteSink* const sink_;
  const ZipWriterOptions options_;
  const uint64_t begin_;
  std::vector<Written> entries_;
  absl::flat_hash_set<std::string> names_;
  bool in_entry_ = false;
  uint64_t missing_ = 0;  // Bytes of the entry that have not come.
};

}  // namespace cairn
