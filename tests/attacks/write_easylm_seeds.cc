#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "tests/attacks/easylm_attacks.h"

// Writes the hostile files as the first corpus of easylm_fuzz: `write_easylm_seeds DIR`. The good ones lie in
// tests/golden/easylm.
int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: write_easylm_seeds DIR\n";
    return 2;
  }
  for (const cairn::testing::EasyLmAttack& attack : cairn::testing::EasyLmAttacks()) {
    std::ofstream file(std::filesystem::path(argv[1]) / attack.name, std::ios::binary);
    file << attack.bytes;
    if (!file.flush()) {
      std::cerr << "cannot write " << attack.name << " in " << argv[1] << "\n";
      return 1;
    }
  }
  return 0;
}
