#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace cairn::testing {

// A leaf that no reader of a format with Flax leaves may take for a good one, and what the refusal must say.
struct FlaxLeafAttack {
  std::string name;
  std::string leaf;
  std::string message;
};

// Every trick that we know with one leaf.
std::vector<FlaxLeafAttack> FlaxLeafAttacks();

// Pieces of such files, right or wrong.

// A msgpack str of up to 31 bytes, the array that is a key of a streaming file, a bin and an ext with a length of 32 bits.
std::string PackedStr(absl::string_view text);
std::string PackedKey(const std::vector<std::string>& segments);
std::string PackedBin(absl::string_view bytes);
std::string PackedExt(int8_t type, absl::string_view body);
// An ext of type 1; extents below 128.
std::string PackedArray(absl::string_view dtype, const std::vector<uint8_t>& shape, absl::string_view payload);
// The map that stands for an array above 2^30 bytes, of these two maps.
std::string PackedChunkedArray(absl::string_view shape, absl::string_view chunks);

}  // namespace cairn::testing
