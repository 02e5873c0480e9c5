#include "tests/benchmark/programs/payload.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

namespace cairn::benchmark {
namespace {

constexpr size_t kPiece = 4 << 10;
constexpr size_t kPieces = 1024;  // Of the template: 4 MiB, more than what a compressor of extents looks back.

// NaNs and infinities do not occur whatever float the bytes are taken for: the exponents' top bits are never all ones.
const std::vector<char>& Template() {
  static const auto* bytes = [] {
    auto* made = new std::vector<char>(kPiece * kPieces);
    std::mt19937_64 random(1);
    for (size_t i = 0; i < made->size(); i += sizeof(uint64_t)) {
      const uint64_t word = random() & 0xbfff'bfff'bfff'bfffull;
      std::memcpy(made->data() + i, &word, sizeof(word));
    }
    return made;
  }();
  return *bytes;
}

// The first 16 bytes of a piece.
void Stamp(uint64_t seed, uint64_t piece, char* dst) {
  const uint64_t stamp[2] = {(seed * 0x9e3779b97f4a7c15ull) & 0xbfff'bfff'bfff'bfffull, piece & 0xbfff'ffff'ffffull};
  std::memcpy(dst, stamp, sizeof(stamp));
}

}  // namespace

Memory::Memory(size_t bytes, bool fresh) : size_(bytes) {
  void* mapped = ::mmap(nullptr, std::max<size_t>(bytes, 1), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | (fresh ? 0 : MAP_POPULATE), -1, 0);
  if (mapped == MAP_FAILED) {
    std::perror("cannot get the benchmark's memory");
    std::exit(1);
  }
  data_ = static_cast<char*>(mapped);
}

Memory::~Memory() { ::munmap(data_, std::max<size_t>(size_, 1)); }

void FillPayload(absl::Span<char> dst, uint64_t seed, uint64_t offset) {
  const std::vector<char>& pattern = Template();
  for (size_t at = 0; at < dst.size(); at += kPiece) {
    const uint64_t piece = (offset + at) / kPiece;
    const size_t length = std::min(kPiece, dst.size() - at);
    char stamped[16];
    Stamp(seed, piece, stamped);
    std::memcpy(dst.data() + at, pattern.data() + (piece % kPieces) * kPiece, length);
    std::memcpy(dst.data() + at, stamped, std::min(length, sizeof(stamped)));
  }
}

bool IsPayload(absl::string_view bytes, uint64_t seed, uint64_t offset) {
  std::vector<char> expected(kPiece);
  for (size_t at = 0; at < bytes.size(); at += kPiece) {
    const size_t length = std::min(kPiece, bytes.size() - at);
    FillPayload({expected.data(), length}, seed, offset + at);
    if (std::memcmp(bytes.data() + at, expected.data(), length) != 0) return false;
  }
  return true;
}

}  // namespace cairn::benchmark
