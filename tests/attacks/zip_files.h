#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace cairn::testing {

// An entry of an archive made by hand. What is not set is right.
struct HandmadeZipEntry {
  std::string name = "a";
  std::string content = "content";  // As it is stored.
  uint16_t method = 0;
  uint16_t flags = 0;
  std::optional<uint32_t> crc = {};  // Of `content`.
  // In the directory.
  std::optional<uint32_t> size = {}, stored_size = {}, offset = {};
  std::string extra = {};
  std::string comment = {};
  uint16_t disk = 0;
  uint32_t signature = 0x02014b50;
  // In the local header: as in the directory, but for
  std::optional<std::string> local_name = {};
  std::optional<uint16_t> local_method = {}, local_flags = {}, local_extra_size = {};
  std::optional<uint32_t> local_size = {}, local_stored_size = {}, local_crc = {};
  std::string local_extra = {};
  uint32_t local_signature = 0x04034b50;
};

struct HandmadeZipEnd {
  std::string before = {};  // Between the directory and the end records.
  std::string inside = {};  // Behind the last record of the directory, counted as part of it.
  uint16_t disk = 0, directory_disk = 0;
  std::optional<uint16_t> here = {}, entries = {};
  std::optional<uint32_t> size = {}, offset = {};
  std::string comment = {};
  std::optional<uint16_t> comment_size = {};
  // The zip64 records are there if `zip64` says so.
  bool zip64 = false;
  std::optional<uint64_t> entries64 = {}, size64 = {}, offset64 = {};
  uint32_t signature64 = 0x06064b50;
  uint64_t record_size64 = 44;
  std::optional<uint64_t> locator_offset = {};
  uint32_t locator_disks = 1;
  uint32_t disk64 = 0;
};

std::string HandmadeZip(const std::vector<HandmadeZipEntry>& entries, const HandmadeZipEnd& end = {});

// A raw deflate stream of `content`.
std::string Deflated(absl::string_view content);

// A deflated entry.
HandmadeZipEntry DeflatedEntry(const std::string& name, absl::string_view content);

// The value of a zip64 extra field, with tag and length.
std::string Zip64Extra(const std::vector<uint64_t>& numbers);

}  // namespace cairn::testing
