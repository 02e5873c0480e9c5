#include "common/tensor/dtype.h"

#include <array>

#include "absl/strings/match.h"

namespace cairn {
namespace {

struct DtypeFacts {
  Dtype dtype;
  int bits;
  bool is_float;
  absl::string_view name;          // NumPy, ml_dtypes.
  absl::string_view aliases[3];    // safetensors and EasyLM spellings.
};

constexpr DtypeFacts kFacts[] = {
    {Dtype::kBool, 8, false, "bool", {"BOOL"}},
    {Dtype::kInt8, 8, false, "int8", {"I8"}},
    {Dtype::kInt16, 16, false, "int16", {"I16"}},
    {Dtype::kInt32, 32, false, "int32", {"I32"}},
    {Dtype::kInt64, 64, false, "int64", {"I64"}},
    {Dtype::kUint8, 8, false, "uint8", {"U8"}},
    {Dtype::kUint16, 16, false, "uint16", {"U16"}},
    {Dtype::kUint32, 32, false, "uint32", {"U32"}},
    {Dtype::kUint64, 64, false, "uint64", {"U64"}},
    {Dtype::kFloat16, 16, true, "float16", {"F16", "fp16", "half"}},
    {Dtype::kBfloat16, 16, true, "bfloat16", {"BF16"}},
    {Dtype::kFloat32, 32, true, "float32", {"F32", "fp32", "float"}},
    {Dtype::kFloat64, 64, true, "float64", {"F64", "fp64", "double"}},
    {Dtype::kComplex64, 64, false, "complex64", {"C64"}},
    {Dtype::kComplex128, 128, false, "complex128", {"C128"}},
    {Dtype::kFloat8E4M3Fn, 8, true, "float8_e4m3fn", {"F8_E4M3"}},
    {Dtype::kFloat8E5M2, 8, true, "float8_e5m2", {"F8_E5M2"}},
    {Dtype::kFloat8E4M3B11Fnuz, 8, true, "float8_e4m3b11fnuz", {}},
    {Dtype::kFloat8E4M3Fnuz, 8, true, "float8_e4m3fnuz", {"F8_E4M3FNUZ"}},
    {Dtype::kFloat8E5M2Fnuz, 8, true, "float8_e5m2fnuz", {"F8_E5M2FNUZ"}},
    {Dtype::kFloat8E8M0Fnu, 8, true, "float8_e8m0fnu", {"F8_E8M0"}},
    {Dtype::kFloat8E3M4, 8, true, "float8_e3m4", {}},
    {Dtype::kFloat8E4M3, 8, true, "float8_e4m3", {}},
    {Dtype::kFloat6E2M3Fn, 8, true, "float6_e2m3fn", {}},
    {Dtype::kFloat6E3M2Fn, 8, true, "float6_e3m2fn", {}},
    {Dtype::kFloat4E2M1Fn, 8, true, "float4_e2m1fn", {}},
    {Dtype::kInt4, 8, false, "int4", {}},
    {Dtype::kUint4, 8, false, "uint4", {}},
    {Dtype::kInt2, 8, false, "int2", {}},
    {Dtype::kUint2, 8, false, "uint2", {}},
    {Dtype::kF4Packed, 4, false, "float4_e2m1fn_packed", {"F4"}},
    {Dtype::kF6E2M3Packed, 6, false, "float6_e2m3fn_packed", {"F6_E2M3"}},
    {Dtype::kF6E3M2Packed, 6, false, "float6_e3m2fn_packed", {"F6_E3M2"}},
};

constexpr size_t kDtypes = std::size(kFacts);

// The table is indexed by number - 1; the check keeps it so.
constexpr bool TableIsInOrder() {
  for (size_t i = 0; i < kDtypes; ++i) {
    if (static_cast<size_t>(kFacts[i].dtype) != i + 1) return false;
  }
  return true;
}
static_assert(TableIsInOrder());

const DtypeFacts* Find(Dtype dtype) {
  const size_t number = static_cast<size_t>(dtype);
  return number >= 1 && number <= kDtypes ? &kFacts[number - 1] : nullptr;
}

}  // namespace

absl::Span<const Dtype> AllDtypes() {
  static constexpr std::array<Dtype, kDtypes> all = [] {
    std::array<Dtype, kDtypes> dtypes{};
    for (size_t i = 0; i < kDtypes; ++i) dtypes[i] = kFacts[i].dtype;
    return dtypes;
  }();
  return all;
}

int BitWidth(Dtype dtype) {
  const DtypeFacts* facts = Find(dtype);
  return facts == nullptr ? 0 : facts->bits;
}

absl::string_view DtypeName(Dtype dtype) {
  const DtypeFacts* facts = Find(dtype);
  return facts == nullptr ? "invalid" : facts->name;
}

std::optional<Dtype> ParseDtype(absl::string_view name) {
  if (name.empty()) return std::nullopt;
  for (const DtypeFacts& facts : kFacts) {
    if (absl::EqualsIgnoreCase(name, facts.name)) return facts.dtype;
    for (absl::string_view alias : facts.aliases) {
      if (!alias.empty() && absl::EqualsIgnoreCase(name, alias)) return facts.dtype;
    }
  }
  return std::nullopt;
}

bool IsFloat(Dtype dtype) {
  const DtypeFacts* facts = Find(dtype);
  return facts != nullptr && facts->is_float;
}

std::optional<Dtype> DtypeFromNumber(uint32_t number) {
  if (number < 1 || number > kDtypes) return std::nullopt;
  return static_cast<Dtype>(number);
}

}  // namespace cairn
