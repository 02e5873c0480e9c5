#include "tests/attacks/flax_attacks.h"
#include "tests/attacks/write_seeds.h"

int main(int argc, char** argv) {
  return cairn::testing::WriteSeeds(argc, argv, cairn::testing::FlaxAttacks());
}
