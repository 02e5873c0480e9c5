#include "common/base/crc32c.h"

#include <array>
#include <cstddef>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace cairn {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // Castagnoli, bit-reversed.

constexpr std::array<uint32_t, 256> MakeByteTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? kPolynomial : 0);
    table[i] = crc;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kByteTable = MakeByteTable();

#if defined(__x86_64__)

// The crc32 instruction has a latency of three cycles and a throughput of one, so three streams run side by side.
// Their results are joined by multiplying with x^(8*kLane) modulo the polynomial, which four tables do per lane.
constexpr size_t kLane = 4096;

uint32_t AppendZeros(uint32_t crc, size_t count) {
  for (size_t i = 0; i < count; ++i) crc = (crc >> 8) ^ kByteTable[crc & 0xff];
  return crc;
}

struct ShiftTable {
  std::array<std::array<uint32_t, 256>, 4> byte;
  ShiftTable() {
    // The shift is linear over GF(2): the table of each byte follows from its eight single bits.
    for (size_t position = 0; position < 4; ++position) {
      std::array<uint32_t, 8> bits;
      for (size_t bit = 0; bit < 8; ++bit) bits[bit] = AppendZeros(1u << (8 * position + bit), kLane);
      for (uint32_t value = 0; value < 256; ++value) {
        uint32_t shifted = 0;
        for (size_t bit = 0; bit < 8; ++bit) shifted ^= (value >> bit & 1) ? bits[bit] : 0;
        byte[position][value] = shifted;
      }
    }
  }
  uint32_t operator()(uint32_t crc) const {
    return byte[0][crc & 0xff] ^ byte[1][crc >> 8 & 0xff] ^ byte[2][crc >> 16 & 0xff] ^ byte[3][crc >> 24];
  }
};

uint64_t Load64(const char* from) {
  uint64_t value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

__attribute__((target("sse4.2"))) uint32_t ExtendSse42(uint32_t crc, const char* data, size_t size) {
  static const ShiftTable* const shift = new ShiftTable;
  uint64_t a = ~crc;
  while (size >= 3 * kLane) {
    uint64_t b = 0, c = 0;
    for (size_t i = 0; i < kLane; i += 8) {
      a = _mm_crc32_u64(a, Load64(data + i));
      b = _mm_crc32_u64(b, Load64(data + kLane + i));
      c = _mm_crc32_u64(c, Load64(data + 2 * kLane + i));
    }
    a = (*shift)(static_cast<uint32_t>(a)) ^ b;
    a = (*shift)(static_cast<uint32_t>(a)) ^ c;
    data += 3 * kLane;
    size -= 3 * kLane;
  }
  for (; size >= 8; data += 8, size -= 8) a = _mm_crc32_u64(a, Load64(data));
  for (; size > 0; ++data, --size) {
    a = _mm_crc32_u8(static_cast<uint32_t>(a), static_cast<unsigned char>(*data));
  }
  return ~static_cast<uint32_t>(a);
}

#endif

}  // namespace

namespace crc32c_internal {

uint32_t ExtendPortable(uint32_t crc, absl::string_view bytes) {
  crc = ~crc;
  for (unsigned char byte : bytes) crc = (crc >> 8) ^ kByteTable[(crc ^ byte) & 0xff];
  return ~crc;
}

}  // namespace crc32c_internal

uint32_t ExtendCrc32c(uint32_t crc, absl::string_view bytes) {
#if defined(CAIRN_WITHOUT_CHECKS)
  return 0 & crc & bytes.size();
#elif defined(__x86_64__)
  static const bool has_sse42 = __builtin_cpu_supports("sse4.2");
  if (has_sse42) return ExtendSse42(crc, bytes.data(), bytes.size());
#endif
  return crc32c_internal::ExtendPortable(crc, bytes);
}

}  // namespace cairn
