#include "tests/attacks/easylm_attacks.h"
#include "tests/attacks/write_seeds.h"

int main(int argc, char** argv) {
  return cairn::testing::WriteSeeds(argc, argv, cairn::testing::EasyLmAttacks());
}
