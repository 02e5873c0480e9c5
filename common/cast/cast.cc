#include "common/cast/cast.h"

#include <array>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/cast/cast_kernels.h"
#include "common/cast/float_format.h"

namespace cairn {
namespace {

using cast_internal::FloatFormat;

uint64_t LoadCode(const char* from, int bytes) {
  uint64_t code = 0;
  std::memcpy(&code, from, static_cast<size_t>(bytes));  // Little-endian.
  return code;
}

void StoreCode(uint64_t code, char* to, int bytes) { std::memcpy(to, &code, static_cast<size_t>(bytes)); }

constexpr size_t kDtypeNumbers = 64;

// Casts from 8- and 16-bit sources go through a table of every code, made by the scalar cast when first needed.
// At most a few are ever used in a process; the largest has 512 KiB.
const std::vector<char>& TableFor(Dtype from, Dtype to, int from_bytes, int to_bytes) {
  struct Slot {
    std::once_flag once;
    std::vector<char> table;
  };
  static std::array<Slot, kDtypeNumbers * kDtypeNumbers>* const slots = new std::array<Slot, kDtypeNumbers * kDtypeNumbers>;
  Slot& slot = (*slots)[static_cast<size_t>(from) * kDtypeNumbers + static_cast<size_t>(to)];
  std::call_once(slot.once, [&] {
    const size_t codes = size_t{1} << (8 * from_bytes);
    slot.table.resize(codes * static_cast<size_t>(to_bytes));
    for (size_t code = 0; code < codes; ++code) {
      char source[2];
      StoreCode(code, source, from_bytes);
      cast_internal::CastScalar(from, source, to, slot.table.data() + code * static_cast<size_t>(to_bytes), 1);
    }
  });
  return slot.table;
}

template <typename Source, typename Target>
void LookUp(const std::vector<char>& table, const char* src, char* dst, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    Source code;
    std::memcpy(&code, src + i * sizeof(Source), sizeof(Source));
    std::memcpy(dst + i * sizeof(Target), table.data() + code * sizeof(Target), sizeof(Target));
  }
}

template <typename Source>
void LookUpTo(int to_bytes, const std::vector<char>& table, const char* src, char* dst, size_t count) {
  switch (to_bytes) {
    case 1:
      return LookUp<Source, uint8_t>(table, src, dst, count);
    case 2:
      return LookUp<Source, uint16_t>(table, src, dst, count);
    case 4:
      return LookUp<Source, uint32_t>(table, src, dst, count);
    default:
      return LookUp<Source, uint64_t>(table, src, dst, count);
  }
}

}  // namespace

namespace cast_internal {

void CastScalar(Dtype from, const char* src, Dtype to, char* dst, size_t count) {
  const FloatFormat source = *FloatFormatOf(from);
  const FloatFormat target = *FloatFormatOf(to);
  for (size_t i = 0; i < count; ++i) {
    const uint64_t wide = DecodeFloat(source, LoadCode(src + i * static_cast<size_t>(source.bytes), source.bytes));
    StoreCode(EncodeFloat(target, wide), dst + i * static_cast<size_t>(target.bytes), target.bytes);
  }
}

}  // namespace cast_internal

bool CanCast(Dtype from, Dtype to) {
  return cast_internal::FloatFormatOf(from).has_value() && cast_internal::FloatFormatOf(to).has_value();
}

absl::Status CastElements(Dtype from, absl::string_view src, Dtype to, absl::Span<char> dst) {
  if (!CanCast(from, to)) {
    return absl::InvalidArgumentError(absl::StrCat("no cast from ", DtypeName(from), " to ", DtypeName(to)));
  }
  const int from_bytes = BitWidth(from) / 8;
  const int to_bytes = BitWidth(to) / 8;
  const size_t count = src.size() / static_cast<size_t>(from_bytes);
  if (src.size() % static_cast<size_t>(from_bytes) != 0 || dst.size() != count * static_cast<size_t>(to_bytes)) {
    return absl::InvalidArgumentError(absl::StrCat("cast from ", DtypeName(from), " to ", DtypeName(to), ": ", src.size(),
                                                   " bytes do not become ", dst.size()));
  }
  if (from == to) {
    if (count > 0) std::memcpy(dst.data(), src.data(), src.size());
    return absl::OkStatus();
  }
  if (cast_internal::CastVectorized(from, src.data(), to, dst.data(), count)) return absl::OkStatus();
  if (from_bytes == 1) {
    LookUpTo<uint8_t>(to_bytes, TableFor(from, to, from_bytes, to_bytes), src.data(), dst.data(), count);
  } else if (from_bytes == 2 && count >= 4096) {
    LookUpTo<uint16_t>(to_bytes, TableFor(from, to, from_bytes, to_bytes), src.data(), dst.data(), count);
  } else {
    cast_internal::CastScalar(from, src.data(), to, dst.data(), count);
  }
  return absl::OkStatus();
}

}  // namespace cairn
