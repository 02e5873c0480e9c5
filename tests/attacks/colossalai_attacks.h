#pragma once

#include <string>
#include <utility>
#include <vector>

namespace cairn::testing {

// A safetensors file of optimizer states with pickles inside, and what refuses it.
struct ColossalAiFileAttack {
  std::string name;
  std::string bytes;
  std::string message;  // In the refusal. Empty: the file is good, and only what reads it must be careful.
};
std::vector<ColossalAiFileAttack> ColossalAiFileAttacks();

// A folder whose index, shards and groups contradict each other.
struct ColossalAiFolderAttack {
  std::string name;
  std::vector<std::pair<std::string, std::string>> files;  // Name and bytes; a name that ends in '/' is an empty folder.
  std::string message;
};
std::vector<ColossalAiFolderAttack> ColossalAiFolderAttacks();

}  // namespace cairn::testing
