#pragma once

#include <map>
#include <string>
#include <vector>

namespace cairn::testing {

// A folder that claims to be one of torch.distributed.checkpoint, and what refuses it.
struct DcpAttack {
  std::string name;
  std::map<std::string, std::string> files;
  std::string message;    // In the refusal.
  bool harmless = false;  // There is nothing to refuse: only what reads it must be careful.
};

// Metadata that lies about chunks, places and names, items that are not what it says, and pickles that would do harm.
std::vector<DcpAttack> DcpAttacks();

}  // namespace cairn::testing
