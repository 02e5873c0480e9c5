#include "common/seed/fill.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/seed/normal_quantile.h"
#include "common/seed/philox.h"

namespace cairn {
namespace {

uint32_t WordAt(absl::string_view bytes, size_t offset) {
  uint32_t word = 0;
  for (size_t i = 4; i-- > 0;) word = word << 8 | static_cast<uint8_t>(bytes[offset + i]);
  return word;
}

// Two elements have one block of the generator, 64 bits each.
void FillProbabilities(const Fill& fill, const SeedStream& stream, uint64_t first, absl::Span<double> values) {
  size_t done = 0;
  while (done < values.size()) {
    const uint64_t element = first + done, block = element / 2;
    const std::array<uint32_t, 4> words = Philox4x32(
        {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), stream.counter[0], stream.counter[1]}, stream.key);
    for (size_t half = element % 2; half < 2 && done < values.size(); ++half, ++done) {
      const uint64_t random = uint64_t{words[2 * half + 1]} << 32 | words[2 * half];
      const auto part = static_cast<uint64_t>(static_cast<unsigned __int128>(random) * fill.parts >> 64);
      values[done] = ProbabilityOf(fill.first_part + part);
    }
  }
}

}  // namespace

SeedStream SeedStream::Of(uint64_t seed, absl::string_view name) {
  const Digest digest = DigestOf(absl::StrCat("cairn seed 1\n", seed, "\n", name), DigestAlgorithm::kSha256);
  const absl::string_view bytes = digest.AsBytes();
  return {{WordAt(bytes, 0), WordAt(bytes, 4)}, {WordAt(bytes, 8), WordAt(bytes, 12)}};
}

void FillElements(const Fill& fill, const SeedStream& stream, uint64_t first, absl::Span<double> values) {
  if (fill.kind == Fill::Kind::kConstant) {
    std::fill(values.begin(), values.end(), fill.offset);
    return;
  }
  FillProbabilities(fill, stream, first, values);
  if (fill.kind == Fill::Kind::kNormal) NormalQuantiles(values);
  for (double& value : values) value = fill.offset + fill.scale * value;
}

}  // namespace cairn
