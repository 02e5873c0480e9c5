#include "tests/attacks/cairndiff_attacks.h"
#include "tests/attacks/write_seeds.h"

// `write_cairndiff_seeds DIR`: the first corpus of cairndiff_fuzz.
int main(int argc, char** argv) { return cairn::testing::WriteSeeds(argc, argv, cairn::testing::CairnDiffAttacks()); }
