#pragma once

#include <string>
#include <vector>

namespace cairn::testing {

// A file that no reader may take for a good exact diff, and what the refusal must say.
struct CairnDiffAttack {
  std::string name;
  std::string bytes;
  std::string message;     // In the refusal. Empty: the diff is good.
  bool in_pieces = false;  // Header and index are those of a diff: what recovers from it refuses it.
};

// Every trick that we know, one file each. Small, whatever they claim to be. All are for the base that has one tensor "w"
// of uint8 [64] with these bytes, and nothing else.
std::vector<CairnDiffAttack> CairnDiffAttacks();
std::string CairnDiffAttackBase();

// Deltas for that base that no encoder writes, and what refuses them.
struct DeltaAttack {
  std::string name;
  std::string delta;
  std::string message;
};
std::vector<DeltaAttack> DeltaAttacks();

}  // namespace cairn::testing
