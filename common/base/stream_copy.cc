#include "common/base/stream_copy.h"

#include <algorithm>
#include <cstring>

#include "common/base/crc32c.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace cairn {
namespace {

// Stays in the first cache between the checksum and the copy.
constexpr size_t kWindow = 16 << 10;

#if defined(__SSE2__)

constexpr size_t kLine = 64;

// The end of `bytes` that makes no whole cache line is left: returns its size.
size_t StreamLines(char* to, const char* from, size_t size) {
  for (; size >= kLine; to += kLine, from += kLine, size -= kLine) {
    const auto* const source = reinterpret_cast<const __m128i*>(from);
    auto* const target = reinterpret_cast<__m128i*>(to);
    const __m128i a = _mm_loadu_si128(source), b = _mm_loadu_si128(source + 1);
    const __m128i c = _mm_loadu_si128(source + 2), d = _mm_loadu_si128(source + 3);
    _mm_stream_si128(target, a);
    _mm_stream_si128(target + 1, b);
    _mm_stream_si128(target + 2, c);
    _mm_stream_si128(target + 3, d);
  }
  return size;
}

void CopyWindow(char* to, const char* from, size_t size) {
  const size_t to_line = std::min(size, -reinterpret_cast<uintptr_t>(to) % kLine);
  std::memcpy(to, from, to_line);
  const size_t rest = StreamLines(to + to_line, from + to_line, size - to_line);
  std::memcpy(to + size - rest, from + size - rest, rest);
}

// Streamed stores are ordered with nothing else otherwise.
void Fence() { _mm_sfence(); }

#else

void CopyWindow(char* to, const char* from, size_t size) { std::memcpy(to, from, size); }
void Fence() {}

#endif

}  // namespace

void StreamCopy(char* to, absl::string_view bytes) {
  if (bytes.empty()) return;
  CopyWindow(to, bytes.data(), bytes.size());
  Fence();
}

uint32_t StreamCopyCrc32c(char* to, uint32_t crc, absl::string_view bytes) {
  while (!bytes.empty()) {
    const absl::string_view window = bytes.substr(0, kWindow);
    crc = ExtendCrc32c(crc, window);
    CopyWindow(to, window.data(), window.size());
    to += window.size();
    bytes.remove_prefix(window.size());
  }
  Fence();
  return crc;
}

}  // namespace cairn
