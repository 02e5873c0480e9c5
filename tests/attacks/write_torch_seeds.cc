#include "tests/attacks/torch_attacks.h"
#include "tests/attacks/write_seeds.h"

// `write_torch_seeds DIR`: the first corpus of torch_fuzz.
int main(int argc, char** argv) { return cairn::testing::WriteSeeds(argc, argv, cairn::testing::TorchAttacks()); }
