#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace cairn {

// Element type of a tensor. Values are stored in manifests and sent on the wire: append, never renumber.
//
// Names follow NumPy and ml_dtypes. Types of fewer than eight bits take one byte per element, as in NumPy memory;
// the packed ones of safetensors are types of their own (kF4Packed, ...).
enum class Dtype : uint8_t {
  kInvalid = 0,
  kBool = 1,
  kInt8 = 2,
  kInt16 = 3,
  kInt32 = 4,
  kInt64 = 5,
  kUint8 = 6,
  kUint16 = 7,
  kUint32 = 8,
  kUint64 = 9,
  kFloat16 = 10,
  kBfloat16 = 11,
  kFloat32 = 12,
  kFloat64 = 13,
  kComplex64 = 14,
  kComplex128 = 15,
  kFloat8E4M3Fn = 16,
  kFloat8E5M2 = 17,
  kFloat8E4M3B11Fnuz = 18,
  kFloat8E4M3Fnuz = 19,
  kFloat8E5M2Fnuz = 20,
  kFloat8E8M0Fnu = 21,
  kFloat8E3M4 = 22,
  kFloat8E4M3 = 23,
  kFloat6E2M3Fn = 24,  // One byte per element.
  kFloat6E3M2Fn = 25,  // One byte per element.
  kFloat4E2M1Fn = 26,  // One byte per element.
  kInt4 = 27,          // One byte per element.
  kUint4 = 28,         // One byte per element.
  kInt2 = 29,          // One byte per element.
  kUint2 = 30,         // One byte per element.
  kF4Packed = 31,      // safetensors F4: two elements per byte.
  kF6E2M3Packed = 32,  // safetensors F6_E2M3: four elements in three bytes.
  kF6E3M2Packed = 33,  // safetensors F6_E3M2: four elements in three bytes.
};

// Every valid dtype, in the order of the enumeration.
absl::Span<const Dtype> AllDtypes();

// Bits that one element takes in memory and in files; 0 for kInvalid.
int BitWidth(Dtype dtype);

// "float32", "bfloat16", "float8_e4m3fn", ...: the name in messages, manifests' JSON and on the command line.
absl::string_view DtypeName(Dtype dtype);

// Takes NumPy/ml_dtypes names, the safetensors spelling ("BF16", "F8_E4M3") and the short ones of EasyLM ("bf16",
// "fp16", "fp32", "fp64"). Nothing for an unknown name.
std::optional<Dtype> ParseDtype(absl::string_view name);

// A float of any width; what a cast on the way out applies to. Complex, packed and integer types are not.
bool IsFloat(Dtype dtype);

// The number stored in a manifest or sent on the wire -> dtype; nothing for a number that this version lacks.
std::optional<Dtype> DtypeFromNumber(uint32_t number);

}  // namespace cairn
