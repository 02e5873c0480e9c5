#include "tests/attacks/lightning_attacks.h"
#include "tests/attacks/write_seeds.h"
#include "tests/testing/memory_folder.h"

// `write_lightning_seeds DIR`: the first corpus of lightning_fuzz.
int main(int argc, char** argv) {
  using cairn::testing::LitAttack;
  struct Seed {
    std::string name;
    std::string bytes;
  };
  std::vector<Seed> seeds;
  for (const LitAttack& attack : cairn::testing::LightningAttacks()) seeds.push_back({attack.name, cairn::testing::PackFiles(attack.files)});
  for (const LitAttack& attack : cairn::testing::LightningWeightsAttacks()) {
    seeds.push_back({"weights_" + attack.name, cairn::testing::PackFiles(attack.files)});
  }
  return cairn::testing::WriteSeeds(argc, argv, seeds);
}
