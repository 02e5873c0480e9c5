#include "common/format/npz/npz_reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/npz/npy_header.h"
#include "common/format/npz/npz_value.h"
#include "common/view/strided_reader.h"
#include "common/zip/zip_reader.h"

namespace cairn {
namespace {

constexpr absl::string_view kSuffix = ".npy";
constexpr size_t kLargestUnit = 8;

template <typename Unit, Unit (*kSwap)(Unit)>
void SwapAs(absl::Span<char> bytes) {
  for (size_t at = 0; at < bytes.size(); at += sizeof(Unit)) {
    Unit unit;
    std::memcpy(&unit, bytes.data() + at, sizeof(Unit));
    unit = kSwap(unit);
    std::memcpy(bytes.data() + at, &unit, sizeof(Unit));
  }
}

uint16_t Swap16(uint16_t unit) { return __builtin_bswap16(unit); }
uint32_t Swap32(uint32_t unit) { return __builtin_bswap32(unit); }
uint64_t Swap64(uint64_t unit) { return __builtin_bswap64(unit); }

// Turns the bytes of each unit round. Whole units.
void SwapUnits(uint32_t unit_bytes, absl::Span<char> bytes) {
  switch (unit_bytes) {
    case 2:
      return SwapAs<uint16_t, Swap16>(bytes);
    case 4:
      return SwapAs<uint32_t, Swap32>(bytes);
    case 8:
      return SwapAs<uint64_t, Swap64>(bytes);
  }
}

// The bytes of one array, little-endian, in the order in which they are stored.
class ArrayBytes {
 public:
  ArrayBytes(std::unique_ptr<ByteSource> file, uint64_t data_offset, uint32_t swap_bytes)
      : file_(std::move(file)), data_offset_(data_offset), swap_bytes_(swap_bytes) {}

  // The header, so that a reader that goes on from there reads the file front to back and its CRC is compared.
  absl::Status ReadHeader() const {
    std::string header(data_offset_, '\0');
    return file_->ReadAt(0, absl::MakeSpan(header));
  }

  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const {
    if (swap_bytes_ <= 1) return file_->ReadAt(data_offset_ + offset, dst);
    while (!dst.empty()) {
      const uint64_t skip = offset % swap_bytes_;
      // Whole units go straight into dst; one that is cut at either end goes over `piece`.
      std::array<char, kLargestUnit> piece;
      const bool cut = skip != 0 || dst.size() < swap_bytes_;
      const absl::Span<char> units =
          cut ? absl::MakeSpan(piece.data(), swap_bytes_) : dst.subspan(0, dst.size() - dst.size() % swap_bytes_);
      CAIRN_RETURN_IF_ERROR(file_->ReadAt(data_offset_ + offset - skip, units));
      SwapUnits(swap_bytes_, units);
      uint64_t done = units.size();
      if (cut) {
        done = std::min<uint64_t>(swap_bytes_ - skip, dst.size());
        std::memcpy(dst.data(), piece.data() + skip, done);
      }
      dst.remove_prefix(done);
      offset += done;
    }
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<ByteSource> file_;
  const uint64_t data_offset_;
  const uint32_t swap_bytes_;  // 1: nothing to swap.
};

class NpzReader final : public CheckpointReader {
 public:
  struct Array {
    size_t zip_entry = 0;
    uint64_t data_offset = 0;
    uint32_t swap_bytes = 1;
    bool transposed = false;
  };

  NpzReader(std::unique_ptr<ZipReader> zip, CheckpointIndex index, std::vector<Array> arrays)
      : zip_(std::move(zip)), index_(std::move(index)), arrays_(std::move(arrays)) {}

  const CheckpointIndex& index() const override { return index_; }

  absl::Status ReadAt(size_t number, uint64_t offset, absl::Span<char> dst) override {
    if (number >= index_.entries.size()) {
      return absl::OutOfRangeError(absl::StrCat("entry ", number, " of ", index_.entries.size()));
    }
    const Entry& entry = index_.entries[number];
    if (offset > entry.byte_size || dst.size() > entry.byte_size - offset) {
      return absl::OutOfRangeError(absl::StrCat(zip_->name(), ": \"", entry.path.ToString(), "\": bytes [", offset,
                                                ", ", offset, "+", dst.size(), ") leave the entry of ",
                                                entry.byte_size));
    }
    if (dst.empty()) return absl::OkStatus();
    CAIRN_RETURN_IF_ERROR(Select(number));
    return view_ != nullptr ? view_->ReadAt(offset, dst) : bytes_->ReadAt(offset, dst);
  }

 private:
  // Opens the array, unless it is the one that was read last.
  absl::Status Select(size_t number) {
    if (bytes_ != nullptr && selected_ == number) return absl::OkStatus();
    view_.reset();
    bytes_.reset();
    const Entry& entry = index_.entries[number];
    const Array& array = arrays_[number];
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, zip_->OpenEntry(array.zip_entry, {.verify_crc = true}));
    auto bytes = std::make_unique<ArrayBytes>(std::move(file), array.data_offset, array.swap_bytes);
    CAIRN_RETURN_IF_ERROR(bytes->ReadHeader());
    if (array.transposed) {
      const auto element_bytes = static_cast<uint32_t>(BitWidth(entry.dtype) / 8);
      absl::StatusOr<std::unique_ptr<StridedReader>> view = StridedReader::Create(
          StridedView::ColumnMajor(entry.shape, element_bytes), entry.byte_size,
          [stored = bytes.get()](uint64_t offset, absl::Span<char> dst) { return stored->ReadAt(offset, dst); });
      if (!view.ok()) return Annotate(view.status(), zip_->name());
      view_ = *std::move(view);
    }
    bytes_ = std::move(bytes);
    selected_ = number;
    return absl::OkStatus();
  }

  const std::unique_ptr<ZipReader> zip_;
  const CheckpointIndex index_;
  const std::vector<Array> arrays_;  // One per entry.

  size_t selected_ = 0;
  std::unique_ptr<ArrayBytes> bytes_;    // Of the selected array; null before the first.
  std::unique_ptr<StridedReader> view_;  // Over bytes_, if it is stored column by column.
};

// The key of a member, or why it is none.
absl::StatusOr<std::string> KeyOf(const ZipEntry& entry, const ReadLimits& limits) {
  absl::string_view name = entry.name;
  if (!absl::ConsumeSuffix(&name, kSuffix)) {
    return absl::InvalidArgumentError("is no array: its name does not end in .npy");
  }
  if (!entry.utf8 && std::any_of(name.begin(), name.end(), [](char c) { return (c & 0x80) != 0; })) {
    return absl::InvalidArgumentError(
        "its name is in an encoding that the archive does not name; expected UTF-8, and the flag for it");
  }
  if (name.size() > limits.max_name_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a key of ", name.size(), " bytes, over the limit of ", limits.max_name_bytes));
  }
  return std::string(name);
}

}  // namespace

bool DetectNpz(const SourceTree& source) {
  if (source.is_directory()) return false;
  const absl::StatusOr<std::unique_ptr<ByteSource>> file = source.Open("");
  if (!file.ok() || !LooksLikeZip(**file)) return false;
  const absl::StatusOr<std::vector<std::string>> names = PeekZipNames(**file);
  if (!names.ok()) return false;
  const auto is_array = [](const std::string& name) { return absl::EndsWith(name, kSuffix); };
  const auto is_folder = [](const std::string& name) { return absl::EndsWith(name, "/"); };
  return std::any_of(names->begin(), names->end(), is_array) &&
         std::all_of(names->begin(), names->end(),
                     [&](const std::string& name) { return is_array(name) || is_folder(name); });
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenNpz(const SourceTree& source, const ReadLimits& limits) {
  if (source.is_directory()) {
    return absl::InvalidArgumentError(absl::StrCat(source.name(), ": is a folder, expected an .npz file"));
  }
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const ByteSource> file, source.Open(""));
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ZipReader> zip,
                         ZipReader::Open(std::move(file), {.max_entries = limits.max_entries,
                                                           .max_directory_bytes = limits.max_header_bytes}));
  CheckpointIndex index;
  uint64_t text_bytes = 0;
  std::vector<NpzReader::Array> arrays;
  for (size_t i = 0; i < zip->entries().size(); ++i) {
    const ZipEntry& entry = zip->entries()[i];
    if (entry.is_folder() && entry.size == 0) continue;
    // Its name is that of the member within the archive: every message has it.
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> member, zip->OpenEntry(i, {.verify_crc = true}));
    absl::StatusOr<std::string> key = KeyOf(entry, limits);
    if (!key.ok()) return Annotate(key.status(), member->name());
    CAIRN_ASSIGN_OR_RETURN(NpyHeader header, ReadNpyHeader(*member));
    KeyPath path = KeyPath::Of({*std::move(key)});
    if (header.kind == NpyHeader::Kind::kNumbers) {
      index.entries.push_back(Entry::Tensor(std::move(path), header.dtype, std::move(header.shape), header.byte_size));
    } else {
      if (header.byte_size > limits.max_header_bytes - std::min(limits.max_header_bytes, text_bytes)) {
        return absl::InvalidArgumentError(absl::StrCat(member->name(), ": texts of more than the limit of ", limits.max_header_bytes, " bytes in one file"));
      }
      text_bytes += header.byte_size;
      CAIRN_ASSIGN_OR_RETURN(Value value, ReadNpyText(*member, header, limits.max_value_bytes));
      index.entries.push_back(Entry::OfValue(std::move(path), std::move(value)));
    }
    arrays.push_back({.zip_entry = i,
                      .data_offset = header.data_offset,
                      .swap_bytes = header.big_endian ? header.unit_bytes : 1,
                      .transposed = header.fortran_order});
  }
  return std::make_unique<NpzReader>(std::move(zip), std::move(index), std::move(arrays));
}

}  // namespace cairn
