#include "common/format/npz/npy_header.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/format/npz/npy_literal.h"

namespace cairn {
namespace {

constexpr absl::string_view kMagic = "\x93NUMPY";
constexpr size_t kAlignment = 64;
// The first look: the header of most arrays.
constexpr uint64_t kFirstLook = 128;
// NumPy itself reads no more than 10,000 unless it is told to trust the file.
constexpr uint64_t kMaxHeaderBytes = 65'535;
// Spaces that NumPy leaves for the first extent to grow in place: digits of 2^64, with a sign.
constexpr size_t kGrowthDigits = 21;
constexpr uint64_t kCharacterBytes = 4;  // Of a text: UTF-32.

struct NamedDtype {
  absl::string_view name;
  Dtype dtype;
  uint32_t unit_bytes;
};
constexpr NamedDtype kDtypes[] = {
    {"|b1", Dtype::kBool, 1},      {"|i1", Dtype::kInt8, 1},        {"|u1", Dtype::kUint8, 1},
    {"<i2", Dtype::kInt16, 2},     {"<i4", Dtype::kInt32, 4},       {"<i8", Dtype::kInt64, 8},
    {"<u2", Dtype::kUint16, 2},    {"<u4", Dtype::kUint32, 4},      {"<u8", Dtype::kUint64, 8},
    {"<f2", Dtype::kFloat16, 2},   {"<f4", Dtype::kFloat32, 4},     {"<f8", Dtype::kFloat64, 8},
    {"<c8", Dtype::kComplex64, 4}, {"<c16", Dtype::kComplex128, 8},
};

absl::Status Refuse(const ByteSource& file, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(file.name(), ": ", why));
}

uint64_t LittleEndian(absl::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

// Why an array of such a dtype is no tensor.
std::string ReasonAgainst(absl::string_view descr) {
  switch (descr.size() > 1 ? descr[1] : '\0') {
    case 'O':
      return "holds Python objects (a pickle), which are never run";
    case 'V':
    case 'f':
      if (!absl::EndsWith(descr, "f12") && !absl::EndsWith(descr, "f16")) {
        return "has a dtype that the file does not name: NumPy writes bfloat16, float8 and other types of ml_dtypes as "
               "plain "
               "bytes; save them as float32, or in another format";
      }
      break;
    case 'M':
    case 'm':
      return "holds dates or times; save them as int64";
    default:
      break;
  }
  return "has a dtype that no checkpoint has; save it as another one";
}

// Kind, dtype and byte order of `descr`, and the bytes of an element.
absl::StatusOr<uint64_t> TakeDescr(const ByteSource& file, absl::string_view descr, NpyHeader* header) {
  const auto refuse = [&] {
    return Refuse(
        file, absl::StrCat("dtype '", absl::CHexEscape(descr.substr(0, 20)), "': the array ", ReasonAgainst(descr)));
  };
  if (descr.empty()) return Refuse(file, "holds records (a structured dtype); save each field as an array of its own");
  // '=' is the order of the machine that wrote it, which nobody knows: little, as nearly all are.
  const char order = descr[0];
  if (order != '<' && order != '>' && order != '|' && order != '=') return refuse();
  const absl::string_view type = descr.substr(1);
  for (const NamedDtype& named : kDtypes) {
    if (named.name.substr(1) != type) continue;
    header->dtype = named.dtype;
    header->unit_bytes = named.unit_bytes;
    header->big_endian = order == '>' && named.unit_bytes > 1;
    return static_cast<uint64_t>(BitWidth(named.dtype)) / 8;
  }
  uint32_t length = 0;
  const bool text = !type.empty() && type[0] == 'U', bytes = !type.empty() && type[0] == 'S';
  if ((!text && !bytes) || type.size() > 11 ||
      !std::all_of(type.begin() + 1, type.end(), [](char c) { return c >= '0' && c <= '9'; }) ||
      !absl::SimpleAtoi(type.substr(1), &length)) {
    return refuse();
  }
  header->kind = text ? NpyHeader::Kind::kText : NpyHeader::Kind::kBytes;
  header->unit_bytes = text ? kCharacterBytes : 1;
  header->big_endian = text && order == '>';
  return uint64_t{length} * header->unit_bytes;
}

absl::Status TakeShape(const ByteSource& file, const NpyLiteral& literal, uint64_t element_bytes, NpyHeader* header) {
  if (header->kind != NpyHeader::Kind::kNumbers) {
    if (!literal.shape.empty()) {
      return Refuse(file, absl::StrCat("dtype '", literal.descr,
                                       "': an array of texts is no tensor; only a single text is read"));
    }
    header->byte_size = element_bytes;
    return absl::OkStatus();
  }
  for (const uint64_t extent : literal.shape) {
    if (extent > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Refuse(file, absl::StrCat("an extent of ", extent, " is beyond int64"));
    }
    header->shape.push_back(static_cast<int64_t>(extent));
  }
  const absl::StatusOr<uint64_t> size = ByteSize(header->dtype, header->shape);
  if (!size.ok()) return Annotate(size.status(), file.name());
  header->byte_size = *size;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<NpyHeader> ReadNpyHeader(const ByteSource& file) {
  std::string front(std::min(file.size(), kFirstLook), '\0');
  CAIRN_RETURN_IF_ERROR(file.ReadAt(0, absl::MakeSpan(front)));
  const absl::string_view found = front;
  if (found.size() < 10 || found.substr(0, kMagic.size()) != kMagic) {
    return Refuse(file,
                  absl::StrCat("is no array: expected it to begin with 934e554d5059 (\\x93NUMPY) and a version, found ",
                               absl::BytesToHexString(found.substr(0, 10))));
  }
  const int version = static_cast<unsigned char>(found[6]);
  if (version < 1 || version > 3 || found[7] != 0) {
    return Refuse(file, absl::StrCat("version ", version, ".", static_cast<unsigned char>(found[7]),
                                     " of .npy, expected 1.0, 2.0 or 3.0"));
  }
  const size_t length_bytes = version == 1 ? 2 : 4;
  if (found.size() < 8 + length_bytes) return Refuse(file, "is cut within its header");
  const uint64_t length = LittleEndian(found.substr(8, length_bytes));
  NpyHeader header;
  header.data_offset = 8 + length_bytes + length;
  if (length > kMaxHeaderBytes) {
    return Refuse(file, absl::StrCat("a header of ", length, " bytes, over the limit of ", kMaxHeaderBytes));
  }
  if (header.data_offset > file.size()) {
    return Refuse(file, absl::StrCat("a header of ", length, " bytes leaves the file of ", file.size()));
  }
  const size_t read = front.size();
  if (header.data_offset > read) {
    front.resize(header.data_offset);
    CAIRN_RETURN_IF_ERROR(file.ReadAt(read, absl::MakeSpan(front).subspan(read)));
  }
  const absl::string_view text = absl::string_view(front).substr(8 + length_bytes, length);
  const absl::StatusOr<NpyLiteral> literal = ParseNpyLiteral(text, version < 3);
  if (!literal.ok()) return Annotate(literal.status(), file.name());
  header.fortran_order = literal->fortran_order;
  CAIRN_ASSIGN_OR_RETURN(const uint64_t element_bytes, TakeDescr(file, literal->descr, &header));
  CAIRN_RETURN_IF_ERROR(TakeShape(file, *literal, element_bytes, &header));
  if (file.size() - header.data_offset != header.byte_size) {
    return Refuse(file,
                  absl::StrCat("has ", file.size() - header.data_offset, " bytes of data, expected ", header.byte_size,
                               " for '", literal->descr, "' of shape ", ShapeToString(header.shape)));
  }
  return header;
}

absl::string_view NpyTypeName(Dtype dtype) {
  for (const NamedDtype& named : kDtypes) {
    if (named.dtype == dtype) return named.name;
  }
  return "";
}

std::string SerializeNpyHeader(Dtype dtype, absl::Span<const int64_t> shape) {
  std::string text = absl::StrCat("{'descr': '", NpyTypeName(dtype), "', 'fortran_order': False, 'shape': (",
                                  absl::StrJoin(shape, ", "), shape.size() == 1 ? "," : "", "), }");
  if (!shape.empty()) text.append(kGrowthDigits - absl::StrCat(shape[0]).size(), ' ');
  // Version 1: 32 extents of 20 digits stay far below its 65,535 bytes.
  const size_t unpadded = kMagic.size() + 4 + text.size() + 1;
  text.append(AlignUp(unpadded, kAlignment) - unpadded, ' ');
  text.push_back('\n');
  return absl::StrCat(kMagic, absl::string_view("\x01\x00", 2), std::string(1, static_cast<char>(text.size())),
                      std::string(1, static_cast<char>(text.size() >> 8)), text);
}

}  // namespace cairn
