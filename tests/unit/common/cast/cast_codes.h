#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "common/cast/cast.h"
#include "common/tensor/dtype.h"

namespace cairn::testing {

inline std::vector<Dtype> FloatDtypes() {
  std::vector<Dtype> floats;
  for (Dtype dtype : AllDtypes()) {
    if (IsFloat(dtype)) floats.push_back(dtype);
  }
  return floats;
}

inline size_t ItemBytes(Dtype dtype) { return static_cast<size_t>(BitWidth(dtype)) / 8; }

// The bits of a code that mean something: float6 and float4 take a byte in memory.
inline int CodeBits(Dtype dtype) {
  if (dtype == Dtype::kFloat4E2M1Fn) return 4;
  if (dtype == Dtype::kFloat6E2M3Fn || dtype == Dtype::kFloat6E3M2Fn) return 6;
  return BitWidth(dtype);
}

inline uint64_t CodeAt(const std::string& bytes, Dtype dtype, size_t index) {
  uint64_t code = 0;
  std::memcpy(&code, bytes.data() + index * ItemBytes(dtype), ItemBytes(dtype));
  return code;
}

inline void AppendCode(std::string& bytes, Dtype dtype, uint64_t code) {
  bytes.append(reinterpret_cast<const char*>(&code), ItemBytes(dtype));
}

inline std::string AllCodes(Dtype dtype) {
  std::string bytes;
  for (uint64_t code = 0; code < uint64_t{1} << CodeBits(dtype); ++code) AppendCode(bytes, dtype, code);
  return bytes;
}

inline std::string CastScalarBytes(Dtype from, const std::string& src, Dtype to) {
  const size_t count = src.size() / ItemBytes(from);
  std::string dst(count * ItemBytes(to), '\x5a');
  cast_internal::CastScalar(from, src.data(), to, dst.data(), count);
  return dst;
}

inline uint64_t CastCode(Dtype from, uint64_t code, Dtype to) {
  std::string src;
  AppendCode(src, from, code);
  return CodeAt(CastScalarBytes(from, src, to), to, 0);
}

inline double ValueOf(Dtype dtype, uint64_t code) {
  const uint64_t wide = CastCode(dtype, code, Dtype::kFloat64);
  double value;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

inline uint64_t CodeOf(double value) {
  uint64_t code;
  std::memcpy(&code, &value, sizeof(code));
  return code;
}

inline uint64_t FromDouble(double value, Dtype to) { return CastCode(Dtype::kFloat64, CodeOf(value), to); }

}  // namespace cairn::testing
