#include <fstream>
#include <iostream>
#include <string>

#include "tests/attacks/pickle_attacks.h"

// Writes hostile pickles and good ones as the first corpus of pickle_fuzz: `write_pickle_seeds DIR`.
int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: write_pickle_seeds DIR\n";
    return 2;
  }
  const auto write = [&](const std::string& name, const std::string& bytes) {
    std::ofstream file(std::string(argv[1]) + "/" + name, std::ios::binary);
    file << bytes;
    return file.good();
  };
  bool good = true;
  for (const auto& [name, bytes] : cairn::testing::PickleSamples()) good = write(name, bytes) && good;
  for (const cairn::testing::PickleAttack& attack : cairn::testing::PickleAttacks()) {
    good = write(attack.name, attack.bytes) && good;
  }
  return good ? 0 : 1;
}
