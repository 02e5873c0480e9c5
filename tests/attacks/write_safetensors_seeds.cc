#include <fstream>
#include <iostream>
#include <string>

#include "tests/attacks/safetensors_attacks.h"

// Writes the hostile files, and a good one, as the first corpus of safetensors_fuzz: `write_safetensors_seeds
// DIR`.
int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: write_safetensors_seeds DIR\n";
    return 2;
  }
  const auto write = [&](const std::string& name, const std::string& bytes) {
    std::ofstream file(std::string(argv[1]) + "/" + name, std::ios::binary);
    file << bytes;
    return file.good();
  };
  bool good = write(
      "good",
      cairn::testing::SafetensorsFile(
          R"({"__metadata__":{"format":"pt"},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", "ab"));
  for (const cairn::testing::SafetensorsAttack& attack : cairn::testing::SafetensorsAttacks()) {
    good = write(attack.name, attack.bytes) && good;
  }
  return good ? 0 : 1;
}
