#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace cairn::testing {

// An archive that no reader of npz may take for a good one, and what the refusal must say.
struct NpzAttack {
  std::string name;
  std::string bytes;
  std::string message;
};

std::vector<NpzAttack> NpzAttacks();

// A .npy file of this header text and these data bytes, right or wrong.
std::string NpyFile(absl::string_view header, absl::string_view data = "", int version = 1);

// An npz of one array "a".
std::string NpzOf(const std::string& npy);

}  // namespace cairn::testing
