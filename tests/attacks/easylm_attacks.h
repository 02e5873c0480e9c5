#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace cairn::testing {

// A file that no reader may take for a good one, and what the refusal must say.
struct EasyLmAttack {
  std::string name;
  std::string bytes;
  std::string message;
};

// Every trick that we know, one file each. Small, whatever they claim to be.
std::vector<EasyLmAttack> EasyLmAttacks();

// Pieces of such files, right or wrong.

// A msgpack str of up to 31 bytes, the array that is a key, a bin and an ext with a length of 32 bits.
std::string PackedStr(absl::string_view text);
std::string PackedKey(const std::vector<std::string>& segments);
std::string PackedBin(absl::string_view bytes);
std::string PackedExt(int8_t type, absl::string_view body);
// An ext of type 1; extents below 128.
std::string PackedArray(absl::string_view dtype, const std::vector<uint8_t>& shape, absl::string_view payload);
// One object of a streaming file.
std::string EasyLmObjectBytes(const std::vector<std::string>& key, absl::string_view value);

}  // namespace cairn::testing
