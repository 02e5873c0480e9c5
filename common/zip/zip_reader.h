#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/io/byte_source.h"

namespace cairn {

// How much of a directory is believed before it is INVALID_ARGUMENT.
struct ZipLimits {
  uint64_t max_entries = 4'000'000;
  uint64_t max_directory_bytes = 100u << 20;
  uint32_t max_name_bytes = 8192;
};

// One entry, as the central directory says.
struct ZipEntry {
  static constexpr uint16_t kStored = 0;
  static constexpr uint16_t kDeflated = 8;

  std::string name;  // As it stands in the file: UTF-8 if `utf8`, else bytes of an encoding that nobody wrote down.
  bool utf8 = false;
  uint16_t method = kStored;
  uint32_t crc = 0;  // 0 is what torch writes for "not computed".
  uint64_t stored_size = 0;
  uint64_t size = 0;  // Of the content. With kStored, stored_size.
  uint64_t header_offset = 0;

  // Folders are entries of their own in archives that were packed from a file system.
  bool is_folder() const { return !name.empty() && name.back() == '/'; }
};

struct ZipOpenOptions {
  // Compare the CRC-32 when an entry has been read front to back, each byte once; the last read then is DATA_LOSS if it
  // differs. Reads in another order are not checked. An entry whose CRC is 0 never is. Deflated entries are always
  // checked.
  bool verify_crc = false;
};

// A zip archive over a source, read by its central directory: entries are read in place, at any offset, whatever the
// size of the archive. An archive inside a larger file is read through a SliceSource.
//
// Thread-safe. Everything that the file claims is checked before it is believed: INVALID_ARGUMENT names the archive,
// the entry, the offset, what was expected and what was found. README.md has the rules.
class ZipReader {
 public:
  // Reads the whole directory, and of the entries nothing.
  static absl::StatusOr<std::unique_ptr<ZipReader>> Open(std::shared_ptr<const ByteSource> source,
                                                         const ZipLimits& limits = {});

  // In the order of the directory. Names are unique.
  const std::vector<ZipEntry>& entries() const { return entries_; }
  std::optional<size_t> Find(absl::string_view name) const;
  const std::string& name() const { return source_->name(); }

  // Where the content (deflated: the compressed bytes) of an entry begins in the archive, by its local header, which is
  // read and compared with the directory.
  absl::StatusOr<uint64_t> DataOffset(size_t entry) const;

  // The content of an entry. Stored: random access, as that of the archive. Deflated: reads front to back cost one
  // pass; a read before the place that was reached begins again at the front, and one behind it inflates what
  // lies between. About 80 KiB of memory. UNIMPLEMENTED for other methods. The source outlives the reader.
  absl::StatusOr<std::unique_ptr<ByteSource>> OpenEntry(size_t entry, const ZipOpenOptions& options = {}) const;

  // The whole content of a small entry, its CRC compared unless it is 0. RESOURCE_EXHAUSTED above `max_bytes`, before
  // anything is allocated.
  absl::StatusOr<std::string> ReadEntry(size_t entry, uint64_t max_bytes) const;

 private:
  ZipReader(std::shared_ptr<const ByteSource> source, std::vector<ZipEntry> entries, std::vector<uint64_t> ends);

  const std::shared_ptr<const ByteSource> source_;
  const std::vector<ZipEntry> entries_;
  const std::vector<uint64_t> ends_;                        // What begins next behind each entry.
  absl::flat_hash_map<absl::string_view, size_t> by_name_;  // Views into entries_.
};

// True if the file begins as a zip archive with entries does.
bool LooksLikeZip(const ByteSource& source);

// For detection: the names of the first entries of the directory, those that its first `max_bytes` hold. Reads the end
// of the file and that much of the directory. Not an archive, damaged, empty: an error or no names.
absl::StatusOr<std::vector<std::string>> PeekZipNames(const ByteSource& source, size_t max_bytes = 8192);

}  // namespace cairn
