#include "client/cli/element_text.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/text.h"
#include "common/base/status_macros.h"
#include "common/cast/cast.h"

namespace cairn::cli {
namespace {

template <typename T>
T Load(absl::string_view bytes, size_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
std::string Integer(absl::string_view bytes, size_t i) {
  return absl::StrCat(Load<T>(bytes, i));
}

// Enough digits to tell neighbours of the dtype apart, and no more.
std::string Float(double value, int digits) { return absl::StrFormat("%.*g", digits, value); }

std::string Complex(double real, double imaginary, int digits) {
  return absl::StrFormat("%.*g%+.*gj", digits, real, digits, imaginary);
}

int Digits(Dtype dtype) {
  const int bits = BitWidth(dtype);
  return bits >= 64 ? 17 : bits >= 32 ? 9 : bits >= 16 ? 5 : 4;
}

std::string Other(Dtype dtype, absl::string_view bytes, size_t i) {
  switch (dtype) {
    case Dtype::kBool:
      return bytes[i] == 0 ? "False" : "True";
    case Dtype::kInt2:
    case Dtype::kInt4:
    case Dtype::kInt8:
      return absl::StrCat(static_cast<int>(Load<int8_t>(bytes, i)));
    case Dtype::kUint2:
    case Dtype::kUint4:
    case Dtype::kUint8:
      return absl::StrCat(static_cast<int>(Load<uint8_t>(bytes, i)));
    case Dtype::kInt16:
      return Integer<int16_t>(bytes, i);
    case Dtype::kInt32:
      return Integer<int32_t>(bytes, i);
    case Dtype::kInt64:
      return Integer<int64_t>(bytes, i);
    case Dtype::kUint16:
      return Integer<uint16_t>(bytes, i);
    case Dtype::kUint32:
      return Integer<uint32_t>(bytes, i);
    case Dtype::kUint64:
      return Integer<uint64_t>(bytes, i);
    case Dtype::kComplex64:
      return Complex(Load<float>(bytes, 2 * i), Load<float>(bytes, 2 * i + 1), 9);
    case Dtype::kComplex128:
      return Complex(Load<double>(bytes, 2 * i), Load<double>(bytes, 2 * i + 1), 17);
    default:  // Packed.
      return absl::StrFormat("%02x", static_cast<uint8_t>(bytes[i]));
  }
}

// Bytes per shown item: an element, or a byte of packed ones.
uint64_t ItemBytes(Dtype dtype) { return std::max<uint64_t>(static_cast<uint64_t>(BitWidth(dtype)) / 8, 1); }

}  // namespace

absl::StatusOr<std::string> ElementsToText(Dtype dtype, absl::string_view bytes) {
  const size_t count = bytes.size() / ItemBytes(dtype);
  std::vector<std::string> texts;
  texts.reserve(count);
  if (IsFloat(dtype)) {
    std::vector<double> values(count);
    const absl::Span<char> raw(reinterpret_cast<char*>(values.data()), count * sizeof(double));
    if (dtype == Dtype::kFloat64) {
      std::memcpy(raw.data(), bytes.data(), raw.size());
    } else {
      CAIRN_RETURN_IF_ERROR(CastElements(dtype, bytes, Dtype::kFloat64, raw));
    }
    for (const double value : values) texts.push_back(Float(value, Digits(dtype)));
  } else {
    for (size_t i = 0; i < count; ++i) texts.push_back(Other(dtype, bytes, i));
  }
  return absl::StrJoin(texts, ", ");
}

absl::StatusOr<std::string> FirstValues(CheckpointReader& reader, size_t entry_index, size_t count) {
  const Entry& entry = reader.index().entries[entry_index];
  const bool asset = entry.kind == EntryKind::kAsset;
  const uint64_t item = asset ? 1 : ItemBytes(entry.dtype);
  const uint64_t wanted = std::min<uint64_t>(entry.byte_size / item, asset ? count * 8 : count) * item;
  std::string bytes(wanted, '\0');
  if (wanted > 0) CAIRN_RETURN_IF_ERROR(reader.ReadAt(entry_index, 0, absl::MakeSpan(bytes)));
  const absl::string_view more = wanted < entry.byte_size ? "..." : "";
  if (asset) return absl::StrCat("\"", SafeText(bytes), "\"", more);
  CAIRN_ASSIGN_OR_RETURN(const std::string text, ElementsToText(entry.dtype, bytes));
  return absl::StrCat("[", text, more.empty() ? "" : ", ", more, "]");
}

}  // namespace cairn::cli
