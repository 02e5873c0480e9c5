#include "tests/attacks/litgpt_attacks.h"
#include "tests/attacks/write_seeds.h"
#include "tests/testing/memory_folder.h"

// `write_litgpt_seeds DIR`: the first corpus of litgpt_fuzz.
int main(int argc, char** argv) {
  struct Seed {
    std::string name;
    std::string bytes;
  };
  std::vector<Seed> seeds;
  for (const cairn::testing::LitAttack& attack : cairn::testing::LitGptAttacks()) seeds.push_back({attack.name, cairn::testing::PackFiles(attack.files)});
  return cairn::testing::WriteSeeds(argc, argv, seeds);
}
