#pragma once

#include <cstdint>
#include <string>

namespace cairn::testing {

// Bytes that only this seed gives.
inline std::string PatternBytes(uint64_t size, uint64_t seed) {
  std::string bytes(size, '\0');
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (char& byte : bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<char>(state >> 56);
  }
  return bytes;
}

}  // namespace cairn::testing
