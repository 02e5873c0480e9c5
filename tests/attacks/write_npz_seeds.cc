#include <fstream>
#include <iostream>
#include <string>

#include "tests/attacks/npz_attacks.h"
#include "tests/attacks/zip_attacks.h"
#include "tests/attacks/zip_files.h"

// Writes the hostile archives, and good ones, as the first corpus of npz_fuzz: `write_npz_seeds DIR`.
int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: write_npz_seeds DIR\n";
    return 2;
  }
  bool good = true;
  const auto write = [&](const std::string& name, const std::string& bytes) {
    std::ofstream file(std::string(argv[1]) + "/" + name, std::ios::binary);
    file << bytes;
    good = good && file.good();
  };
  const std::string array =
      cairn::testing::NpyFile("{'descr': '>f4', 'fortran_order': True, 'shape': (2, 1), }", "abcdefgh");
  write("good", cairn::testing::NpzOf(array));
  write("good_deflated", cairn::testing::HandmadeZip({cairn::testing::DeflatedEntry("a.npy", array)}));
  for (const auto& attack : cairn::testing::NpzAttacks()) write(attack.name, attack.bytes);
  for (const auto& attack : cairn::testing::ZipDirectoryAttacks()) write("zip_" + attack.name, attack.bytes);
  for (const auto& attack : cairn::testing::ZipEntryAttacks()) write("zip_" + attack.name, attack.bytes);
  return good ? 0 : 1;
}
