#include "tests/attacks/dcp_attacks.h"
#include "tests/attacks/write_seeds.h"
#include "tests/testing/memory_folder.h"

namespace {

struct Seed {
  std::string name;
  std::string bytes;
};

}  // namespace

// `write_dcp_seeds DIR`: the first corpus of dcp_fuzz.
int main(int argc, char** argv) {
  constexpr size_t kMostBytes = 1u << 16;
  std::vector<Seed> seeds;
  for (const cairn::testing::DcpAttack& attack : cairn::testing::DcpAttacks()) {
    std::string packed = cairn::testing::PackFiles(attack.files);
    if (packed.size() <= kMostBytes) seeds.push_back({attack.name, std::move(packed)});
  }
  return cairn::testing::WriteSeeds(argc, argv, seeds);
}
