#pragma once

#include <cstdint>

#include "absl/types/span.h"

namespace cairn {

// Probabilities are the middles of 2^52 equal parts of [0, 1]: (part + 0.5) / 2^52. Exact in a double, and never 0 or 1.
inline constexpr uint64_t kProbabilityParts = uint64_t{1} << 52;

// The middle of a part.
inline double ProbabilityOf(uint64_t part) {
  return (static_cast<double>(part) + 0.5) / static_cast<double>(kProbabilityParts);
}

// In place: probabilities in (0, 1) become quantiles of the standard normal distribution (Wichura's AS 241, about 16 digits).
// Made of additions, multiplications, divisions and square roots of doubles alone, in a fixed order: the same bits on any
// machine that follows IEEE 754. The mathematical functions of C libraries promise no such thing.
void NormalQuantiles(absl::Span<double> probabilities);

// The first part whose quantile is at least `z`; kProbabilityParts if there is none.
uint64_t FirstPartFrom(double z);

}  // namespace cairn
