#pragma once

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace cairn {

// How the elements of a tensor come about: offset + scale * x, where x is nothing, a number uniform in (0, 1), or a quantile of
// the standard normal distribution, of one of `parts` parts of its probabilities from `first_part` on (normal_quantile.h).
struct Fill {
  enum class Kind : uint8_t { kConstant, kUniform, kNormal };
  Kind kind = Kind::kConstant;
  double offset = 0;
  double scale = 0;
  uint64_t first_part = 0;
  uint64_t parts = uint64_t{1} << 52;
};

// The random numbers of one tensor: a counter, 128 bits in all of which say whose it is.
struct SeedStream {
  std::array<uint32_t, 2> key{};
  std::array<uint32_t, 2> counter{};  // The upper half.

  // Depends on the seed and the name alone.
  static SeedStream Of(uint64_t seed, absl::string_view name);
};

// Elements [first, first + values.size()) of the tensor. An element depends on the stream and its own number alone.
void FillElements(const Fill& fill, const SeedStream& stream, uint64_t first, absl::Span<double> values);

}  // namespace cairn
