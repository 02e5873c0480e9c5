#pragma once

#include <cstddef>

namespace cairn::delta_internal {

// `count` units of `unit` bytes at any address. What is written never overlaps what is read, unless it is said.

// out = a XOR b; returns how many units are not zero.
size_t XorUnits(const char* a, const char* b, size_t unit, size_t count, char* out);

// Units as planes of `count` bytes one behind the other, each unit turned left by one bit first (DELTA.md).
void SplitPlanes(const char* units, size_t unit, size_t count, char* planes);
// The inverse; XORs the units with `base` on the way out if it is not null (it may be `units`).
void MergePlanes(const char* planes, const char* base, size_t unit, size_t count, char* units);

}  // namespace cairn::delta_internal
