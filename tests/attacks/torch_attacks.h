#pragma once

#include <string>
#include <vector>

namespace cairn::testing {

// A file that claims to be one of torch.save, and what refuses it.
struct TorchAttack {
  std::string name;
  std::string bytes;
  std::string message;  // In the refusal. Empty: the file is good, and only what reads it must be careful.
};

// Zip archives whose pickles describe tensors that are none, and legacy files whose lengths lie.
std::vector<TorchAttack> TorchAttacks();

// A zip file of torch.save with that pickle and one storage "0" of `storage`.
std::string TorchZip(const std::string& pickle, const std::string& storage);

}  // namespace cairn::testing
