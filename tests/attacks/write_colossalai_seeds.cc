#include "tests/attacks/colossalai_attacks.h"
#include "tests/attacks/write_seeds.h"

// `write_colossalai_seeds DIR`: the first corpus of colossalai_fuzz.
int main(int argc, char** argv) { return cairn::testing::WriteSeeds(argc, argv, cairn::testing::ColossalAiFileAttacks()); }
