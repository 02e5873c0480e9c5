#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/io/byte_source.h"
#include "common/zip/zip_reader.h"

namespace cairn::zip {

// Where the central directory lies, by the records at the end of the archive.
struct DirectoryPlace {
  uint64_t offset = 0;
  uint64_t size = 0;
  uint64_t entries = 0;
};

// Proves that the directory ends where the end records begin. INVALID_ARGUMENT for anything that is no archive of one
// file.
absl::StatusOr<DirectoryPlace> FindDirectory(const ByteSource& source);

struct Directory {
  std::vector<ZipEntry> entries;
  std::vector<uint64_t> ends;  // Of each entry: where the next one begins, or the directory.
};

// Reads all of it, and proves that names are unique and that no entry reaches into another or leaves the space in front
// of the directory, as far as the directory alone can tell.
absl::StatusOr<Directory> ReadDirectory(const ByteSource& source, const ZipLimits& limits);

// The names of the records that `front`, the first bytes of a directory, holds whole.
std::vector<std::string> NamesInFront(absl::string_view front);

}  // namespace cairn::zip
