#include "common/format/torch/torch_types.h"

#include <iterator>

namespace cairn {
namespace {

struct Row {
  Dtype dtype;
  const char* name;
  const char* storage;  // Null: the dtypes that came after torch closed its list of storage classes.
};

constexpr Row kRows[] = {
    {Dtype::kFloat32, "float32", "FloatStorage"},
    {Dtype::kFloat64, "float64", "DoubleStorage"},
    {Dtype::kFloat16, "float16", "HalfStorage"},
    {Dtype::kBfloat16, "bfloat16", "BFloat16Storage"},
    {Dtype::kInt64, "int64", "LongStorage"},
    {Dtype::kInt32, "int32", "IntStorage"},
    {Dtype::kInt16, "int16", "ShortStorage"},
    {Dtype::kInt8, "int8", "CharStorage"},
    {Dtype::kUint8, "uint8", "ByteStorage"},
    {Dtype::kBool, "bool", "BoolStorage"},
    {Dtype::kComplex64, "complex64", "ComplexFloatStorage"},
    {Dtype::kComplex128, "complex128", "ComplexDoubleStorage"},
    {Dtype::kUint16, "uint16", nullptr},
    {Dtype::kUint32, "uint32", nullptr},
    {Dtype::kUint64, "uint64", nullptr},
    {Dtype::kFloat8E4M3Fn, "float8_e4m3fn", nullptr},
    {Dtype::kFloat8E5M2, "float8_e5m2", nullptr},
    {Dtype::kFloat8E4M3Fnuz, "float8_e4m3fnuz", nullptr},
    {Dtype::kFloat8E5M2Fnuz, "float8_e5m2fnuz", nullptr},
    {Dtype::kFloat8E8M0Fnu, "float8_e8m0fnu", nullptr},
    {Dtype::kF4Packed, "float4_e2m1fn_x2", nullptr},
};

}  // namespace

std::optional<TorchStorageType> TorchStorageTypeOf(absl::string_view module, absl::string_view name) {
  const bool untyped = name == "UntypedStorage" || name == "_UntypedStorage";
  if (untyped && (module == "torch.storage" || module == "torch")) return TorchStorageType{};
  if (module != "torch" && module != "torch.cuda") return std::nullopt;
  for (const Row& row : kRows) {
    if (row.storage != nullptr && name == row.storage) {
      return TorchStorageType{row.dtype, static_cast<uint32_t>(BitWidth(row.dtype) / 8)};
    }
  }
  return std::nullopt;
}

std::optional<Dtype> TorchDtypeOf(absl::string_view name) {
  for (const Row& row : kRows) {
    if (name == row.name) return row.dtype;
  }
  return std::nullopt;
}

std::optional<TorchTypeName> TorchTypeNameOf(Dtype dtype) {
  for (const Row& row : kRows) {
    if (dtype == row.dtype) return TorchTypeName{row.name, row.storage == nullptr ? "" : row.storage};
  }
  return std::nullopt;
}

}  // namespace cairn
