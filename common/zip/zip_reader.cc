#include "common/zip/zip_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/io/slice_source.h"
#include "common/zip/inflate_source.h"
#include "common/zip/zip_directory.h"
#include "common/zip/zip_records.h"

namespace cairn {
namespace {

std::string WhatEntry(const ByteSource& source, const ZipEntry& entry) {
  return absl::StrCat(source.name(), ": entry ", zip::NameForMessage(entry.name));
}

std::string MethodName(uint16_t method) {
  switch (method) {
    case 9:
      return "9 (deflate64)";
    case 12:
      return "12 (bzip2)";
    case 14:
      return "14 (lzma)";
    case 93:
      return "93 (zstd)";
    case 95:
      return "95 (xz)";
    default:
      return absl::StrCat(method);
  }
}

// Sizes and CRC of a local header that does not leave them to a descriptor, against the directory.
absl::Status CompareNumbers(const ZipEntry& entry, absl::string_view header, absl::string_view extra) {
  uint64_t stored_size = zip::Get32(header, 18), size = zip::Get32(header, 22);
  if (stored_size == zip::kIn64 || size == zip::kIn64) {
    absl::string_view field;
    CAIRN_RETURN_IF_ERROR(zip::FindExtra(extra, zip::kZip64Tag, &field));
    for (uint64_t* const number : {&size, &stored_size}) {
      if (*number != zip::kIn64 || field.size() < 8) continue;
      *number = zip::Get64(field, 0);
      field.remove_prefix(8);
    }
  }
  if (stored_size != entry.stored_size || size != entry.size) {
    return absl::InvalidArgumentError(absl::StrCat("its local header claims ", stored_size, " bytes of ", size,
                                                   ", the directory ", entry.stored_size, " of ", entry.size));
  }
  if (zip::Get32(header, 14) != entry.crc) {
    return absl::InvalidArgumentError(
        absl::StrFormat("its local header claims CRC-32 %08x, the directory %08x", zip::Get32(header, 14), entry.crc));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ZipReader>> ZipReader::Open(std::shared_ptr<const ByteSource> source,
                                                           const ZipLimits& limits) {
  CAIRN_ASSIGN_OR_RETURN(zip::Directory directory, zip::ReadDirectory(*source, limits));
  return std::unique_ptr<ZipReader>(
      new ZipReader(std::move(source), std::move(directory.entries), std::move(directory.ends)));
}

ZipReader::ZipReader(std::shared_ptr<const ByteSource> source, std::vector<ZipEntry> entries,
                     std::vector<uint64_t> ends)
    : source_(std::move(source)), entries_(std::move(entries)), ends_(std::move(ends)) {
  by_name_.reserve(entries_.size());
  for (size_t i = 0; i < entries_.size(); ++i) by_name_.emplace(entries_[i].name, i);
}

std::optional<size_t> ZipReader::Find(absl::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? std::nullopt : std::optional(it->second);
}

absl::StatusOr<uint64_t> ZipReader::DataOffset(size_t number) const {
  const ZipEntry& entry = entries_[number];
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(WhatEntry(*source_, entry), ": ", why));
  };
  // The directory has proved that so many bytes are there.
  std::string header(zip::kLocalBytes + entry.name.size(), '\0');
  CAIRN_RETURN_IF_ERROR(source_->ReadAt(entry.header_offset, absl::MakeSpan(header)));
  if (zip::Get32(header, 0) != zip::kLocalSignature) {
    return refuse(
        absl::StrCat("expected its local header (50 4b 03 04) at ", entry.header_offset, ", as the directory says"));
  }
  const uint64_t name_size = zip::Get16(header, 26), extra_size = zip::Get16(header, 28);
  if (absl::string_view(header).substr(zip::kLocalBytes) != entry.name || name_size != entry.name.size()) {
    return refuse(absl::StrCat("its local header at ", entry.header_offset, " has another name than the directory"));
  }
  if (zip::Get16(header, 8) != entry.method) {
    return refuse(
        absl::StrCat("its local header claims method ", zip::Get16(header, 8), ", the directory ", entry.method));
  }
  const uint64_t data_offset = entry.header_offset + zip::kLocalBytes + name_size + extra_size;
  if (data_offset > ends_[number] || entry.stored_size > ends_[number] - data_offset) {
    return refuse(absl::StrCat("its ", entry.stored_size, " bytes from ", data_offset, " on reach into what begins at ",
                               ends_[number]));
  }
  const uint16_t flags = zip::Get16(header, 6);
  if ((flags & zip::kFlagEncrypted) != 0) return refuse("its local header says that it is encrypted");
  if ((flags & zip::kFlagDescriptor) == 0) {
    std::string extra(extra_size, '\0');
    CAIRN_RETURN_IF_ERROR(source_->ReadAt(data_offset - extra_size, absl::MakeSpan(extra)));
    const absl::Status status = CompareNumbers(entry, header, extra);
    if (!status.ok()) return Annotate(status, WhatEntry(*source_, entry));
  }
  return data_offset;
}

absl::StatusOr<std::unique_ptr<ByteSource>> ZipReader::OpenEntry(size_t number, const ZipOpenOptions& options) const {
  const ZipEntry& entry = entries_[number];
  std::string name = WhatEntry(*source_, entry);
  if (entry.method != ZipEntry::kStored && entry.method != ZipEntry::kDeflated) {
    return absl::UnimplementedError(absl::StrCat(name, ": is compressed by method ", MethodName(entry.method),
                                                 ", expected 0 (stored) or 8 (deflated): pack it anew"));
  }
  CAIRN_ASSIGN_OR_RETURN(const uint64_t offset, DataOffset(number));
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> stored,
                         SliceSource::Create(source_, offset, entry.stored_size, std::move(name)));
  if (entry.method == ZipEntry::kDeflated) return zip::MakeInflateSource(std::move(stored), entry.size, entry.crc);
  if (options.verify_crc && entry.crc != 0) return zip::MakeCrcCheckedSource(std::move(stored), entry.crc);
  return stored;
}

absl::StatusOr<std::string> ZipReader::ReadEntry(size_t number, uint64_t max_bytes) const {
  const ZipEntry& entry = entries_[number];
  if (entry.size > max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(WhatEntry(*source_, entry), ": ", entry.size, " bytes, over the limit of ", max_bytes));
  }
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> source, OpenEntry(number, {.verify_crc = true}));
  std::string content(entry.size, '\0');
  CAIRN_RETURN_IF_ERROR(source->ReadAt(0, absl::MakeSpan(content)));
  return content;
}

bool LooksLikeZip(const ByteSource& source) {
  std::string front(4, '\0');
  return source.size() >= zip::kLocalBytes && source.ReadAt(0, absl::MakeSpan(front)).ok() &&
         zip::Get32(front, 0) == zip::kLocalSignature;
}

absl::StatusOr<std::vector<std::string>> PeekZipNames(const ByteSource& source, size_t max_bytes) {
  CAIRN_ASSIGN_OR_RETURN(const zip::DirectoryPlace place, zip::FindDirectory(source));
  std::string bytes(std::min<uint64_t>(place.size, max_bytes), '\0');
  CAIRN_RETURN_IF_ERROR(source.ReadAt(place.offset, absl::MakeSpan(bytes)));
  return zip::NamesInFront(bytes);
}

}  // namespace cairn
