#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/cast/cast.h"
#include "common/diff/arithmetic.h"

namespace cairn {
namespace {

constexpr size_t kBlock = 1024;

bool IsComplex(Dtype dtype) { return dtype == Dtype::kComplex64 || dtype == Dtype::kComplex128; }

// The floats that the script casts, and that are promoted to one another.
bool IsCommonFloat(Dtype dtype) {
  return dtype == Dtype::kFloat16 || dtype == Dtype::kBfloat16 || dtype == Dtype::kFloat32 || dtype == Dtype::kFloat64;
}

bool IsSmallFloat(Dtype dtype) { return IsFloat(dtype) && BitWidth(dtype) == 8; }

bool IsWholeInteger(Dtype dtype) {
  switch (dtype) {
    case Dtype::kInt8:
    case Dtype::kInt16:
    case Dtype::kInt32:
    case Dtype::kInt64:
    case Dtype::kUint8:
    case Dtype::kUint16:
    case Dtype::kUint32:
    case Dtype::kUint64:
      return true;
    default:
      return false;
  }
}

size_t BytesOf(Dtype dtype) { return static_cast<size_t>(BitWidth(dtype)) / 8; }

template <class T>
T Operate(ArithmeticOperation operation, T first, T second) {
  if constexpr (std::is_floating_point_v<T>) {
    if (operation == ArithmeticOperation::kDifference) return second - first;
    // A compiler may swap the operands of a sum, which shows in nothing but which NaN comes out.
    if (std::isnan(first)) return first + T{0};
    if (std::isnan(second)) return second + T{0};
    return first + second;
  } else {
    return static_cast<T>(operation == ArithmeticOperation::kDifference ? second - first : first + second);
  }
}

template <class T>
void OperateAll(ArithmeticOperation operation, const char* first, const char* second, size_t count, char* result) {
  for (size_t i = 0; i < count; ++i) {
    T a, b;
    std::memcpy(&a, first + i * sizeof(T), sizeof(T));
    std::memcpy(&b, second + i * sizeof(T), sizeof(T));
    const T c = Operate(operation, a, b);
    std::memcpy(result + i * sizeof(T), &c, sizeof(T));
  }
}

// NumPy's own floats keep the upper payload bits of a NaN in a cast; those of ml_dtypes have one NaN, with the sign.
bool HasOneNan(Dtype from, Dtype to) {
  const auto ml_dtype = [](Dtype dtype) { return dtype == Dtype::kBfloat16 || BitWidth(dtype) == 8; };
  return ml_dtype(to) || (ml_dtype(from) && to == Dtype::kFloat16);
}

// A cast as NumPy does it; `from` holds results of arithmetic, so a NaN is quiet already.
absl::Status CastLikeNumPy(Dtype from, absl::Span<const char> src, Dtype to, absl::Span<char> dst) {
  const size_t count = src.size() / BytesOf(from);
  if (from == to) {
    std::memcpy(dst.data(), src.data(), src.size());
    return absl::OkStatus();
  }
  std::array<char, kBlock * sizeof(double)> narrow;
  absl::string_view values(src.data(), src.size());
  Dtype values_dtype = from;
  // ml_dtypes go from float64 over float32, with two roundings.
  if (from == Dtype::kFloat64 && to != Dtype::kFloat32 && to != Dtype::kFloat16) {
    const absl::Span<char> over(narrow.data(), count * sizeof(float));
    CAIRN_RETURN_IF_ERROR(CastElements(from, values, Dtype::kFloat32, over));
    values = absl::string_view(over.data(), over.size());
    values_dtype = Dtype::kFloat32;
  }
  CAIRN_RETURN_IF_ERROR(CastElements(values_dtype, values, to, dst));
  if (!HasOneNan(from, to)) return absl::OkStatus();
  std::array<char, kBlock * sizeof(double)> wide;
  const absl::Span<char> widened(wide.data(), count * sizeof(double));
  CAIRN_RETURN_IF_ERROR(CastElements(from, absl::string_view(src.data(), src.size()), Dtype::kFloat64, widened));
  for (size_t i = 0; i < count; ++i) {
    double value;
    std::memcpy(&value, wide.data() + i * sizeof(double), sizeof(double));
    if (!std::isnan(value)) continue;
    const float nan = std::copysign(std::nanf(""), std::signbit(value) ? -1.0f : 1.0f);
    CAIRN_RETURN_IF_ERROR(CastElements(Dtype::kFloat32,
                                       absl::string_view(reinterpret_cast<const char*>(&nan), sizeof(nan)), to,
                                       dst.subspan(i * BytesOf(to), BytesOf(to))));
  }
  return absl::OkStatus();
}

// Those whose one NaN has no sign, and which ml_dtypes takes for negative.
bool HasUnsignedNan(Dtype dtype) {
  return dtype == Dtype::kFloat8E4M3Fnuz || dtype == Dtype::kFloat8E5M2Fnuz || dtype == Dtype::kFloat8E4M3B11Fnuz;
}

// Elements as floats of T, as ml_dtypes widens them: of a NaN of eight bits the sign is left.
template <class T>
absl::Status Widen(Dtype dtype, absl::Span<const char> elements, absl::Span<T> wide) {
  constexpr Dtype kWide = sizeof(T) == sizeof(double) ? Dtype::kFloat64 : Dtype::kFloat32;
  CAIRN_RETURN_IF_ERROR(CastElements(dtype, absl::string_view(elements.data(), elements.size()), kWide,
                                     absl::MakeSpan(reinterpret_cast<char*>(wide.data()), wide.size() * sizeof(T))));
  if (!IsSmallFloat(dtype)) return absl::OkStatus();
  for (T& value : wide) {
    if (!std::isnan(value)) continue;
    const bool negative = HasUnsignedNan(dtype) || std::signbit(value);
    value = std::copysign(std::numeric_limits<T>::quiet_NaN(), negative ? T{-1} : T{1});
  }
  return absl::OkStatus();
}

// Floats, in T, with a rounding to what is computed.
template <class T>
absl::Status ComputeFloats(ArithmeticOperation operation, Dtype computed, Dtype first_dtype, absl::Span<const char> first,
                           Dtype second_dtype, absl::Span<const char> second, size_t count, Dtype result_dtype,
                           absl::Span<char> result) {
  std::array<T, kBlock> a, b;
  CAIRN_RETURN_IF_ERROR(Widen<T>(first_dtype, first, absl::MakeSpan(a.data(), count)));
  CAIRN_RETURN_IF_ERROR(Widen<T>(second_dtype, second, absl::MakeSpan(b.data(), count)));
  if (IsSmallFloat(computed)) {
    // In arithmetic of eight bits a NaN that is the right operand alone gives a positive one.
    const bool difference = operation == ArithmeticOperation::kDifference;
    const std::array<T, kBlock>& left = difference ? b : a;
    std::array<T, kBlock>& right = difference ? a : b;
    for (size_t i = 0; i < count; ++i) {
      if (std::isnan(right[i]) && !std::isnan(left[i])) right[i] = std::numeric_limits<T>::quiet_NaN();
    }
  }
  for (size_t i = 0; i < count; ++i) a[i] = Operate(operation, a[i], b[i]);
  std::array<char, kBlock * sizeof(double)> narrow;
  const absl::Span<char> rounded(narrow.data(), count * BytesOf(computed));
  constexpr Dtype kWide = sizeof(T) == sizeof(double) ? Dtype::kFloat64 : Dtype::kFloat32;
  CAIRN_RETURN_IF_ERROR(
      CastLikeNumPy(kWide, absl::MakeConstSpan(reinterpret_cast<const char*>(a.data()), count * sizeof(T)), computed, rounded));
  return CastLikeNumPy(computed, rounded, result_dtype, result);
}

absl::Status ComputeBlock(ArithmeticOperation operation, Dtype computed, Dtype first_dtype,
                          absl::Span<const char> first, Dtype second_dtype, absl::Span<const char> second,
                          Dtype result_dtype, absl::Span<char> result) {
  const size_t count = first.size() / BytesOf(first_dtype);
  switch (computed) {
    case Dtype::kInt8:
    case Dtype::kUint8:
      OperateAll<uint8_t>(operation, first.data(), second.data(), count, result.data());
      return absl::OkStatus();
    case Dtype::kInt16:
    case Dtype::kUint16:
      OperateAll<uint16_t>(operation, first.data(), second.data(), count, result.data());
      return absl::OkStatus();
    case Dtype::kInt32:
    case Dtype::kUint32:
      OperateAll<uint32_t>(operation, first.data(), second.data(), count, result.data());
      return absl::OkStatus();
    case Dtype::kInt64:
    case Dtype::kUint64:
      OperateAll<uint64_t>(operation, first.data(), second.data(), count, result.data());
      return absl::OkStatus();
    case Dtype::kComplex64:
      OperateAll<float>(operation, first.data(), second.data(), 2 * count, result.data());
      return absl::OkStatus();
    case Dtype::kComplex128:
      OperateAll<double>(operation, first.data(), second.data(), 2 * count, result.data());
      return absl::OkStatus();
    default:
      break;
  }
  const auto compute = computed == Dtype::kFloat64 ? ComputeFloats<double> : ComputeFloats<float>;
  return compute(operation, computed, first_dtype, first, second_dtype, second, count, result_dtype, result);
}

}  // namespace

std::optional<Dtype> ArithmeticDtype(Dtype a, Dtype b) {
  if (a == b) {
    if (IsCommonFloat(a) || IsSmallFloat(a) || IsComplex(a) || IsWholeInteger(a)) return a;
    return std::nullopt;
  }
  const auto mixes = [](Dtype dtype) { return IsCommonFloat(dtype) || IsSmallFloat(dtype); };
  if (!mixes(a) || !mixes(b) || (IsSmallFloat(a) && IsSmallFloat(b))) return std::nullopt;
  return a == Dtype::kFloat64 || b == Dtype::kFloat64 ? Dtype::kFloat64 : Dtype::kFloat32;
}

namespace diff_internal {

absl::Status ComputeElements(ArithmeticOperation operation, Dtype first_dtype, absl::Span<const char> first,
                             Dtype second_dtype, absl::Span<const char> second, Dtype result_dtype,
                             absl::Span<char> result) {
  const std::optional<Dtype> computed = ArithmeticDtype(first_dtype, second_dtype);
  if (!computed.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no arithmetic between ", DtypeName(first_dtype), " and ", DtypeName(second_dtype)));
  }
  const size_t count = result.size() / BytesOf(result_dtype);
  for (size_t done = 0; done < count;) {
    const size_t length = std::min(kBlock, count - done);
    const auto part = [&](absl::Span<const char> all, Dtype dtype) {
      return all.subspan(done * BytesOf(dtype), length * BytesOf(dtype));
    };
    CAIRN_RETURN_IF_ERROR(ComputeBlock(operation, *computed, first_dtype, part(first, first_dtype), second_dtype,
                                       part(second, second_dtype), result_dtype,
                                       result.subspan(done * BytesOf(result_dtype), length * BytesOf(result_dtype))));
    done += length;
  }
  return absl::OkStatus();
}

}  // namespace diff_internal

}  // namespace cairn
