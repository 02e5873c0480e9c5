#pragma once

#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

namespace cairn::testing {

// The main() of a program that writes hostile files (things with name and bytes) as the first corpus of a fuzzer:
// `PROGRAM DIR`.
template <class Attack>
int WriteSeeds(int argc, char** argv, const std::vector<Attack>& attacks) {
  if (argc != 2) {
    std::cerr << "usage: " << argv[0] << " DIR\n";
    return 2;
  }
  for (const Attack& attack : attacks) {
    std::ofstream file(std::filesystem::path(argv[1]) / attack.name, std::ios::binary);
    file << attack.bytes;
    if (!file.flush()) {
      std::cerr << "cannot write " << attack.name << " in " << argv[1] << "\n";
      return 1;
    }
  }
  return 0;
}

}  // namespace cairn::testing
