#include "tests/attacks/zip_files.h"

#include <zlib.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/zip/crc32.h"
#include "common/zip/zip_records.h"

namespace cairn::testing {

using zip::Put16;
using zip::Put32;
using zip::Put64;

std::string HandmadeZip(const std::vector<HandmadeZipEntry>& entries, const HandmadeZipEnd& end) {
  std::string archive, directory;
  for (const HandmadeZipEntry& entry : entries) {
    const auto length = static_cast<uint32_t>(entry.content.size());
    const uint32_t crc = entry.crc.value_or(Crc32(entry.content));
    const uint32_t size = entry.size.value_or(length), stored_size = entry.stored_size.value_or(length);
    const std::string local_name = entry.local_name.value_or(entry.name);

    Put32(&directory, entry.signature);
    Put16(&directory, 20);
    Put16(&directory, 20);
    Put16(&directory, entry.flags);
    Put16(&directory, entry.method);
    Put32(&directory, 0x210000);
    Put32(&directory, crc);
    Put32(&directory, stored_size);
    Put32(&directory, size);
    Put16(&directory, entry.name.size());
    Put16(&directory, entry.extra.size());
    Put16(&directory, entry.comment.size());
    Put16(&directory, entry.disk);
    Put16(&directory, 0);
    Put32(&directory, 0);
    Put32(&directory, entry.offset.value_or(static_cast<uint32_t>(archive.size())));
    absl::StrAppend(&directory, entry.name, entry.extra, entry.comment);

    Put32(&archive, entry.local_signature);
    Put16(&archive, 20);
    Put16(&archive, entry.local_flags.value_or(entry.flags));
    Put16(&archive, entry.local_method.value_or(entry.method));
    Put32(&archive, 0x210000);
    Put32(&archive, entry.local_crc.value_or(crc));
    Put32(&archive, entry.local_stored_size.value_or(stored_size));
    Put32(&archive, entry.local_size.value_or(size));
    Put16(&archive, local_name.size());
    Put16(&archive, entry.local_extra_size.value_or(static_cast<uint16_t>(entry.local_extra.size())));
    absl::StrAppend(&archive, local_name, entry.local_extra, entry.content);
  }
  const uint64_t offset = archive.size();
  directory += end.inside;
  absl::StrAppend(&archive, directory, end.before);
  if (end.zip64) {
    const uint64_t end64_offset = archive.size();
    Put32(&archive, end.signature64);
    Put64(&archive, end.record_size64);
    Put16(&archive, 45);
    Put16(&archive, 45);
    Put32(&archive, end.disk64);
    Put32(&archive, end.disk64);
    Put64(&archive, end.entries64.value_or(entries.size()));
    Put64(&archive, end.entries64.value_or(entries.size()));
    Put64(&archive, end.size64.value_or(directory.size()));
    Put64(&archive, end.offset64.value_or(offset));
    Put32(&archive, 0x07064b50);
    Put32(&archive, 0);
    Put64(&archive, end.locator_offset.value_or(end64_offset));
    Put32(&archive, end.locator_disks);
  }
  Put32(&archive, 0x06054b50);
  Put16(&archive, end.disk);
  Put16(&archive, end.directory_disk);
  Put16(&archive,
        end.here.value_or(static_cast<uint16_t>(end.entries.value_or(static_cast<uint16_t>(entries.size())))));
  Put16(&archive, end.entries.value_or(static_cast<uint16_t>(entries.size())));
  Put32(&archive, end.size.value_or(static_cast<uint32_t>(directory.size())));
  Put32(&archive, end.offset.value_or(static_cast<uint32_t>(offset)));
  Put16(&archive, end.comment_size.value_or(static_cast<uint16_t>(end.comment.size())));
  return archive + end.comment;
}

std::string Deflated(absl::string_view content) {
  z_stream stream = {};
  if (::deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    std::abort();
  std::string out(::deflateBound(&stream, content.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (::deflate(&stream, Z_FINISH) != Z_STREAM_END) std::abort();
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

HandmadeZipEntry DeflatedEntry(const std::string& name, absl::string_view content) {
  return {.name = name,
          .content = Deflated(content),
          .method = 8,
          .crc = Crc32(content),
          .size = static_cast<uint32_t>(content.size())};
}

std::string Zip64Extra(const std::vector<uint64_t>& numbers) {
  std::string extra;
  Put16(&extra, zip::kZip64Tag);
  Put16(&extra, 8 * numbers.size());
  for (const uint64_t number : numbers) Put64(&extra, number);
  return extra;
}

}  // namespace cairn::testing
