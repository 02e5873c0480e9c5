#include "common/zip/zip_writer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/zip/crc32.h"
#include "common/zip/zip_reader.h"
#include "common/zip/zip_records.h"

namespace cairn {
namespace {

using zip::kIn64;
using zip::kIn64Short;
using zip::Put16;
using zip::Put32;
using zip::Put64;

constexpr size_t kMaxNameBytes = 0xffff;
// Of the plain layout; torch writes 0 for all of them.
constexpr uint16_t kVersion = 20, kVersion64 = 45;
constexpr uint16_t kMadeByUnix = 3u << 8;
constexpr uint32_t kRegularFile = 0100644u << 16;
constexpr uint16_t kFirstDay = 0x0021;  // 1980-01-01, the first that the format knows.

bool IsLarge(uint64_t number) { return number >= kIn64; }

uint64_t Or64(uint64_t number) { return std::min<uint64_t>(number, kIn64); }

bool IsAscii(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isascii(c); });
}

// What does not fit into 32 bits of a record, as an extra field; empty if everything does.
// `stored_size` is `size` in the directory, and 0 in the local headers of torch, which do not know it yet.
std::string Zip64Field(uint64_t size, uint64_t stored_size, uint64_t header_offset) {
  const bool large = IsLarge(size), far = IsLarge(header_offset);
  std::string field;
  if (!large && !far) return field;
  Put16(&field, zip::kZip64Tag);
  Put16(&field, (large ? 16 : 0) + (far ? 8 : 0));
  if (large) Put64(&field, size);
  if (large) Put64(&field, stored_size);
  if (far) Put64(&field, header_offset);
  return field;
}

}  // namespace

ZipWriter::ZipWriter(ByteSink* sink, ZipWriterOptions options) : sink_(sink), options_(options), begin_(sink->size()) {}

absl::Status ZipWriter::StartEntry(absl::string_view name, uint64_t size) {
  if (in_entry_) return absl::FailedPreconditionError("StartEntry() within an entry");
  if (const absl::Status status = zip::CheckName(name, true); !status.ok()) return Annotate(status, sink_->name());
  if (name.size() > kMaxNameBytes) {
    return absl::InvalidArgumentError(absl::StrCat(sink_->name(), ": the name ", zip::NameForMessage(name), " has ",
                                                   name.size(), " bytes, over the ", kMaxNameBytes,
                                                   " that a zip archive can hold"));
  }
  if (!names_.emplace(name).second) {
    return absl::InvalidArgumentError(
        absl::StrCat(sink_->name(), ": two entries are named ", zip::NameForMessage(name)));
  }
  entries_.push_back({.name = std::string(name), .size = size, .header_offset = offset()});
  in_entry_ = true;
  missing_ = size;
  return sink_->Append(LocalHeader(entries_.back()));
}

absl::Status ZipWriter::Append(absl::string_view bytes) {
  if (!in_entry_) return absl::FailedPreconditionError("Append() outside of an entry");
  Written& entry = entries_.back();
  if (bytes.size() > missing_) {
    return absl::InvalidArgumentError(absl::StrCat(sink_->name(), ": entry ", zip::NameForMessage(entry.name), ": ",
                                                   bytes.size() - missing_, " bytes more than its ", entry.size));
  }
  missing_ -= bytes.size();
  if (options_.compute_crc || options_.layout == ZipLayout::kPlain) entry.crc = ExtendCrc32(entry.crc, bytes);
  return sink_->Append(bytes);
}

absl::Status ZipWriter::FinishEntry() {
  if (!in_entry_) return absl::FailedPreconditionError("FinishEntry() outside of an entry");
  const Written& entry = entries_.back();
  if (missing_ != 0) {
    return absl::InvalidArgumentError(absl::StrCat(sink_->name(), ": entry ", zip::NameForMessage(entry.name), ": ",
                                                   missing_, " of ", entry.size, " bytes are missing"));
  }
  in_entry_ = false;
  return sink_->Append(Descriptor(entry));
}

absl::Status ZipWriter::AddEntry(absl::string_view name, absl::string_view content) {
  CAIRN_RETURN_IF_ERROR(StartEntry(name, content.size()));
  CAIRN_RETURN_IF_ERROR(Append(content));
  return FinishEntry();
}

absl::Status ZipWriter::Finish() {
  if (in_entry_) return absl::FailedPreconditionError("Finish() within an entry");
  const uint64_t directory_offset = offset();
  // In pieces: a directory of millions of entries need not stand in memory twice.
  std::string records;
  for (const Written& entry : entries_) {
    records += DirectoryRecord(entry);
    if (records.size() < size_t{1} << 20) continue;
    CAIRN_RETURN_IF_ERROR(sink_->Append(records));
    records.clear();
  }
  CAIRN_RETURN_IF_ERROR(sink_->Append(records));
  return sink_->Append(EndRecords(directory_offset, offset() - directory_offset));
}

uint16_t ZipWriter::Flags(const Written& entry) const {
  if (options_.layout == ZipLayout::kTorch) return zip::kFlagUtf8 | (entry.size > 0 ? zip::kFlagDescriptor : 0);
  return zip::kFlagDescriptor | (IsAscii(entry.name) ? 0 : zip::kFlagUtf8);
}

std::string ZipWriter::LocalHeader(const Written& entry) const {
  const bool torch = options_.layout == ZipLayout::kTorch;
  const bool large = IsLarge(entry.size);
  std::string extra;
  if (torch) {
    extra = Zip64Field(entry.size, 0, entry.header_offset);
    const uint64_t content = entry.header_offset + zip::kLocalBytes + entry.name.size() + extra.size() + 4;
    const uint64_t padding = (options_.alignment - content % options_.alignment) % options_.alignment;
    extra += "FB";
    Put16(&extra, padding);
    extra.append(padding, 'Z');
  } else if (large) {
    // The numbers follow in the descriptor; that its own are of 64 bits is what this field says.
    Put16(&extra, zip::kZip64Tag);
    Put16(&extra, 16);
    Put64(&extra, 0);
    Put64(&extra, 0);
  }
  std::string header;
  Put32(&header, zip::kLocalSignature);
  Put16(&header, torch ? 0 : large ? kVersion64 : kVersion);
  Put16(&header, Flags(entry));
  Put16(&header, ZipEntry::kStored);
  Put16(&header, 0);
  Put16(&header, torch ? 0 : kFirstDay);
  Put32(&header, 0);
  Put32(&header, !torch && large ? kIn64 : 0);
  Put32(&header, !torch && large ? kIn64 : 0);
  Put16(&header, entry.name.size());
  Put16(&header, extra.size());
  return absl::StrCat(header, entry.name, extra);
}

std::string ZipWriter::Descriptor(const Written& entry) const {
  const bool torch = options_.layout == ZipLayout::kTorch;
  if (torch && entry.size == 0) return "";
  std::string descriptor;
  Put32(&descriptor, zip::kDescriptorSignature);
  Put32(&descriptor, entry.crc);
  const bool wide = IsLarge(entry.size) || (torch && IsLarge(entry.header_offset));
  for (int i = 0; i < 2; ++i) wide ? Put64(&descriptor, entry.size) : Put32(&descriptor, entry.size);
  return descriptor;
}

std::string ZipWriter::DirectoryRecord(const Written& entry) const {
  const bool torch = options_.layout == ZipLayout::kTorch;
  const std::string extra = Zip64Field(entry.size, entry.size, entry.header_offset);
  const uint16_t version = torch ? 0 : extra.empty() ? kVersion : kVersion64;
  std::string record;
  Put32(&record, zip::kDirectorySignature);
  Put16(&record, torch ? 0 : kMadeByUnix | version);
  Put16(&record, version);
  Put16(&record, Flags(entry));
  Put16(&record, ZipEntry::kStored);
  Put16(&record, 0);
  Put16(&record, torch ? 0 : kFirstDay);
  Put32(&record, entry.crc);
  Put32(&record, Or64(entry.size));
  Put32(&record, Or64(entry.size));
  Put16(&record, entry.name.size());
  Put16(&record, extra.size());
  Put16(&record, 0);  // Comment.
  Put16(&record, 0);  // Disk.
  Put16(&record, 0);  // Internal attributes.
  Put32(&record, torch ? 0 : kRegularFile);
  Put32(&record, Or64(entry.header_offset));
  return absl::StrCat(record, entry.name, extra);
}

std::string ZipWriter::EndRecords(uint64_t directory_offset, uint64_t directory_size) const {
  const uint64_t count = entries_.size();
  std::string records;
  if (options_.layout == ZipLayout::kTorch || count >= kIn64Short || IsLarge(directory_size) ||
      IsLarge(directory_offset)) {
    const uint64_t end64_offset = directory_offset + directory_size;
    Put32(&records, zip::kEnd64Signature);
    Put64(&records, zip::kEnd64Bytes - zip::kEnd64Uncounted);
    Put16(&records, kMadeByUnix | (options_.layout == ZipLayout::kTorch ? 30 : kVersion64));
    Put16(&records, kVersion64);
    Put32(&records, 0);  // This disk, and that of the directory.
    Put32(&records, 0);
    Put64(&records, count);
    Put64(&records, count);
    Put64(&records, directory_size);
    Put64(&records, directory_offset);
    Put32(&records, zip::kLocatorSignature);
    Put32(&records, 0);
    Put64(&records, end64_offset);
    Put32(&records, 1);  // Disks.
  }
  Put32(&records, zip::kEndSignature);
  Put32(&records, 0);
  Put16(&records, std::min<uint64_t>(count, kIn64Short));
  Put16(&records, std::min<uint64_t>(count, kIn64Short));
  Put32(&records, Or64(directory_size));
  Put32(&records, Or64(directory_offset));
  Put16(&records, 0);  // Comment.
  return records;
}

}  // namespace cairn
