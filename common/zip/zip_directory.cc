#include "common/zip/zip_directory.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/zip/zip_records.h"

namespace cairn::zip {
namespace {

// Most archives have no comment: their end is found in these bytes.
constexpr uint64_t kFirstLook = 1024;
constexpr uint64_t kFarthestEnd = kEndBytes + 0xffff;
constexpr uint64_t kMostBytesPerByte = 258 * 4;

absl::Status Refuse(const ByteSource& source, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(source.name(), ": ", why));
}

absl::StatusOr<std::string> Read(const ByteSource& source, uint64_t offset, uint64_t size) {
  std::string bytes(size, '\0');
  CAIRN_RETURN_IF_ERROR(source.ReadAt(offset, absl::MakeSpan(bytes)));
  return bytes;
}

// The last place whose end record, with its comment, reaches to the end of the file exactly.
std::optional<size_t> FindEndIn(absl::string_view tail) {
  for (size_t at = tail.size() - kEndBytes + 1; at-- > 0;) {
    if (Get32(tail, at) == kEndSignature && at + kEndBytes + Get16(tail, at + 20) == tail.size()) return at;
  }
  return std::nullopt;
}

struct EndRecord {
  std::string bytes;  // Without the comment.
  uint64_t offset = 0;
};

absl::StatusOr<EndRecord> FindEnd(const ByteSource& source) {
  if (source.size() < kEndBytes) {
    return Refuse(source, absl::StrCat("is no zip archive: ", source.size(), " bytes, expected at least the ",
                                       kEndBytes, " of the end record"));
  }
  for (const uint64_t look : {kFirstLook, kFarthestEnd}) {
    const uint64_t size = std::min(source.size(), look);
    CAIRN_ASSIGN_OR_RETURN(const std::string tail, Read(source, source.size() - size, size));
    if (const std::optional<size_t> at = FindEndIn(tail); at.has_value()) {
      return EndRecord{.bytes = tail.substr(*at, kEndBytes), .offset = source.size() - size + *at};
    }
    if (size == source.size()) break;
  }
  return Refuse(source, "is no zip archive, or it is cut short: no end record (50 4b 05 06) at its end");
}

// What the zip64 end record says, if a locator stands in front of the end record. `end_offset` becomes the begin of the
// end records.
absl::StatusOr<std::optional<std::string>> FindEnd64(const ByteSource& source, uint64_t* end_offset) {
  if (*end_offset < kLocatorBytes) return std::nullopt;
  const uint64_t locator_offset = *end_offset - kLocatorBytes;
  CAIRN_ASSIGN_OR_RETURN(const std::string locator, Read(source, locator_offset, kLocatorBytes));
  if (Get32(locator, 0) != kLocatorSignature) return std::nullopt;
  if (Get32(locator, 4) != 0 || Get32(locator, 16) > 1) {
    return Refuse(source, absl::StrCat("is one of ", Get32(locator, 16),
                                       " disks of an archive, expected an archive of one file"));
  }
  const uint64_t offset = Get64(locator, 8);
  if (locator_offset < kEnd64Bytes || offset > locator_offset - kEnd64Bytes) {
    return Refuse(source, absl::StrCat("the zip64 end record at ", offset, " does not fit in front of its locator at ",
                                       locator_offset));
  }
  CAIRN_ASSIGN_OR_RETURN(std::string record, Read(source, offset, kEnd64Bytes));
  if (Get32(record, 0) != kEnd64Signature) {
    return Refuse(source, absl::StrCat("expected the zip64 end record (50 4b 06 06) at ", offset,
                                       ", as its locator says; were bytes put in front of the archive?"));
  }
  if (Get64(record, 4) != locator_offset - offset - kEnd64Uncounted) {
    return Refuse(source, absl::StrCat("the zip64 end record at ", offset, " claims ", Get64(record, 4),
                                       " bytes, expected ", locator_offset - offset - kEnd64Uncounted));
  }
  *end_offset = offset;
  return record;
}

// A number of the end record against that of the zip64 one: equal, or left to it.
absl::StatusOr<uint64_t> Merge(const ByteSource& source, absl::string_view what, uint64_t small, uint64_t all_ones,
                               std::optional<uint64_t> large) {
  if (!large.has_value()) return small;
  if (small == all_ones || small == *large) return *large;
  return Refuse(source, absl::StrCat("the end records contradict each other: ", what, " is ", small, " in one and ",
                                     *large, " in the zip64 one"));
}

// Takes the numbers that did not fit from the zip64 field, in the order of the standard.
class Zip64Numbers {
 public:
  explicit Zip64Numbers(absl::string_view field) : field_(field) {}
  absl::Status Take(absl::string_view what, uint64_t* number) {
    if (*number != kIn64) return absl::OkStatus();
    if (field_.size() < 8) {
      return absl::InvalidArgumentError(absl::StrCat("its ", what, " is left to a zip64 field, which lacks it"));
    }
    *number = Get64(field_, 0);
    field_.remove_prefix(8);
    return absl::OkStatus();
  }

 private:
  absl::string_view field_;
};

// Parses records off the front of the directory.
class RecordParser {
 public:
  RecordParser(absl::string_view directory, const ZipLimits& limits) : rest_(directory), limits_(limits) {}

  size_t left() const { return rest_.size(); }

  absl::StatusOr<ZipEntry> Next() {
    if (rest_.size() < kDirectoryBytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "is cut: ", rest_.size(), " bytes are left of the directory, expected ", kDirectoryBytes, " or more"));
    }
    if (Get32(rest_, 0) != kDirectorySignature) {
      return absl::InvalidArgumentError("does not begin with 50 4b 01 02");
    }
    const uint16_t flags = Get16(rest_, 8);
    const size_t name_size = Get16(rest_, 28), extra_size = Get16(rest_, 30), comment_size = Get16(rest_, 32);
    const size_t size = kDirectoryBytes + name_size + extra_size + comment_size;
    if (rest_.size() < size) {
      return absl::InvalidArgumentError(
          absl::StrCat("is cut: it claims ", size, " bytes, ", rest_.size(), " are left of the directory"));
    }
    if (name_size > limits_.max_name_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("has a name of ", name_size, " bytes, over the limit of ", limits_.max_name_bytes));
    }
    ZipEntry entry;
    entry.name = std::string(rest_.substr(kDirectoryBytes, name_size));
    entry.utf8 = (flags & kFlagUtf8) != 0;
    entry.method = Get16(rest_, 10);
    entry.crc = Get32(rest_, 16);
    entry.stored_size = Get32(rest_, 20);
    entry.size = Get32(rest_, 24);
    entry.header_offset = Get32(rest_, 42);
    CAIRN_RETURN_IF_ERROR(CheckName(entry.name, entry.utf8));
    const absl::Status status = TakeNumbers(rest_.substr(kDirectoryBytes + name_size, extra_size), flags, &entry);
    if (!status.ok()) return Annotate(status, NameForMessage(entry.name));
    rest_.remove_prefix(size);
    return entry;
  }

 private:
  absl::Status TakeNumbers(absl::string_view extra, uint16_t flags, ZipEntry* entry) const {
    if ((flags & (kFlagEncrypted | kFlagStrongEncryption | kFlagMasked)) != 0) {
      return absl::InvalidArgumentError("is encrypted");
    }
    if ((flags & kFlagPatch) != 0) return absl::InvalidArgumentError("is a patch to another file (flag 5)");
    absl::string_view field;
    CAIRN_RETURN_IF_ERROR(FindExtra(extra, kZip64Tag, &field));
    Zip64Numbers numbers(field);
    CAIRN_RETURN_IF_ERROR(numbers.Take("size", &entry->size));
    CAIRN_RETURN_IF_ERROR(numbers.Take("stored size", &entry->stored_size));
    CAIRN_RETURN_IF_ERROR(numbers.Take("offset", &entry->header_offset));
    const uint16_t disk = Get16(rest_, 34);
    if (disk != 0 && disk != kIn64Short) {
      return absl::InvalidArgumentError(absl::StrCat("lies on disk ", disk, ", expected an archive of one file"));
    }
    if (entry->method == ZipEntry::kStored && entry->size != entry->stored_size) {
      return absl::InvalidArgumentError(absl::StrCat("is stored without compression, but its sizes differ: ",
                                                     entry->size, " and ", entry->stored_size, " in the archive"));
    }
    // Two bits are the shortest code for 258 bytes.
    if (entry->method == ZipEntry::kDeflated && entry->size / kMostBytesPerByte > entry->stored_size) {
      return absl::InvalidArgumentError(absl::StrCat("claims ", entry->size, " bytes from ", entry->stored_size,
                                                     " deflated ones, more than deflate can make of them"));
    }
    return absl::OkStatus();
  }

  absl::string_view rest_;
  const ZipLimits limits_;
};

// Fills directory->ends.
absl::Status CheckPlaces(const ByteSource& source, uint64_t directory_offset, Directory* directory) {
  const std::vector<ZipEntry>& entries = directory->entries;
  std::vector<size_t> order(entries.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return entries[a].header_offset < entries[b].header_offset; });
  directory->ends.resize(entries.size());
  for (size_t i = 0; i < order.size(); ++i) {
    const ZipEntry& entry = entries[order[i]];
    if (entry.header_offset >= directory_offset) {
      return Refuse(source, absl::StrCat("entry ", NameForMessage(entry.name), " lies at ", entry.header_offset,
                                         ", expected in front of the directory at ", directory_offset));
    }
    const uint64_t next =
        i + 1 < order.size() ? std::min(entries[order[i + 1]].header_offset, directory_offset) : directory_offset;
    const std::optional<uint64_t> end =
        CheckedAdd(entry.header_offset + kLocalBytes + entry.name.size(), entry.stored_size);
    if (!end.has_value() || *end > next) {
      return Refuse(source, absl::StrCat("entry ", NameForMessage(entry.name), " of ", entry.stored_size, " bytes at ",
                                         entry.header_offset, " reaches into what begins at ", next, ": ",
                                         next == directory_offset
                                             ? "the directory"
                                             : absl::StrCat("entry ", NameForMessage(entries[order[i + 1]].name))));
    }
    directory->ends[order[i]] = next;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DirectoryPlace> FindDirectory(const ByteSource& source) {
  CAIRN_ASSIGN_OR_RETURN(const EndRecord found, FindEnd(source));
  const std::string& end = found.bytes;
  uint64_t end_offset = found.offset;
  if (Get16(end, 4) != Get16(end, 6) || (Get16(end, 4) != 0 && Get16(end, 4) != kIn64Short)) {
    return Refuse(source, absl::StrCat("is disk ", Get16(end, 4), " of an archive whose directory begins on disk ",
                                       Get16(end, 6), ", expected an archive of one file"));
  }
  CAIRN_ASSIGN_OR_RETURN(const std::optional<std::string> end64, FindEnd64(source, &end_offset));
  if (end64.has_value() && (Get32(*end64, 16) != 0 || Get32(*end64, 20) != 0)) {
    return Refuse(source,
                  absl::StrCat("is disk ", Get32(*end64, 16), " of an archive, expected an archive of one file"));
  }
  const auto large = [&](size_t at) { return end64.has_value() ? std::optional(Get64(*end64, at)) : std::nullopt; };
  DirectoryPlace place;
  CAIRN_ASSIGN_OR_RETURN(const uint64_t here,
                         Merge(source, "the number of entries on this disk", Get16(end, 8), kIn64Short, large(24)));
  CAIRN_ASSIGN_OR_RETURN(place.entries, Merge(source, "the number of entries", Get16(end, 10), kIn64Short, large(32)));
  CAIRN_ASSIGN_OR_RETURN(place.size, Merge(source, "the size of the directory", Get32(end, 12), kIn64, large(40)));
  CAIRN_ASSIGN_OR_RETURN(place.offset, Merge(source, "the offset of the directory", Get32(end, 16), kIn64, large(48)));
  if (here != place.entries) {
    return Refuse(source, absl::StrCat("holds ", here, " of the ", place.entries,
                                       " entries of an archive of several disks, expected an archive of one file"));
  }
  const std::optional<uint64_t> directory_end = CheckedAdd(place.offset, place.size);
  if (!directory_end.has_value() || *directory_end > end_offset) {
    return Refuse(source, absl::StrCat("the directory of ", place.size, " bytes at ", place.offset,
                                       " leaves the archive: the end records begin at ", end_offset));
  }
  if (*directory_end != end_offset) {
    return Refuse(source, absl::StrCat("the directory ends at ", *directory_end, ", but the end records begin at ",
                                       end_offset, ": were bytes put in front of the archive?"));
  }
  if (place.entries > place.size / kDirectoryBytes) {
    return Refuse(source, absl::StrCat("claims ", place.entries, " entries, of which its directory of ", place.size,
                                       " bytes can hold ", place.size / kDirectoryBytes));
  }
  return place;
}

absl::StatusOr<Directory> ReadDirectory(const ByteSource& source, const ZipLimits& limits) {
  CAIRN_ASSIGN_OR_RETURN(const DirectoryPlace place, FindDirectory(source));
  if (place.entries > limits.max_entries) {
    return Refuse(source, absl::StrCat(place.entries, " entries, over the limit of ", limits.max_entries));
  }
  if (place.size > limits.max_directory_bytes) {
    return Refuse(
        source, absl::StrCat("a directory of ", place.size, " bytes, over the limit of ", limits.max_directory_bytes));
  }
  CAIRN_ASSIGN_OR_RETURN(const std::string bytes, Read(source, place.offset, place.size));
  Directory directory;
  directory.entries.reserve(place.entries);
  RecordParser parser(bytes, limits);
  for (uint64_t i = 0; i < place.entries; ++i) {
    const uint64_t at = place.offset + place.size - parser.left();
    absl::StatusOr<ZipEntry> entry = parser.Next();
    if (!entry.ok()) {
      return Annotate(entry.status(), absl::StrCat(source.name(), ": entry ", i, " of the directory, at ", at));
    }
    directory.entries.push_back(*std::move(entry));
  }
  if (parser.left() != 0) {
    return Refuse(
        source, absl::StrCat("the directory has ", parser.left(), " bytes more than its ", place.entries, " entries"));
  }
  absl::flat_hash_set<absl::string_view> names;
  names.reserve(directory.entries.size());
  for (const ZipEntry& entry : directory.entries) {
    if (!names.insert(entry.name).second) {
      return Refuse(source, absl::StrCat("two entries are named ", NameForMessage(entry.name)));
    }
  }
  CAIRN_RETURN_IF_ERROR(CheckPlaces(source, place.offset, &directory));
  return directory;
}

std::vector<std::string> NamesInFront(absl::string_view front) {
  std::vector<std::string> names;
  RecordParser parser(front, {});
  for (absl::StatusOr<ZipEntry> entry = parser.Next(); entry.ok(); entry = parser.Next()) {
    names.push_back(std::move(entry->name));
  }
  return names;
}

}  // namespace cairn::zip
