#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/delta/delta.h"
#include "tests/attacks/cairndiff_attacks.h"
#include "tests/attacks/write_seeds.h"

namespace {

struct Seed {
  std::string name;
  std::string bytes;
};

// As delta_fuzz cuts its input: unit (a power of two), where the base ends (in 255ths), base, delta.
Seed SeedOf(std::string name, unsigned unit_bits, const std::string& base, const std::string& delta) {
  const size_t whole = base.size() + delta.size();
  const size_t cut = whole == 0 ? 0 : (base.size() * 255 + whole - 1) / whole;
  return {std::move(name), std::string(1, static_cast<char>(unit_bits)) + static_cast<char>(cut) + base + delta};
}

}  // namespace

// `write_delta_seeds DIR`: the first corpus of delta_fuzz: hostile deltas, and good ones of all modes and units.
int main(int argc, char** argv) {
  std::vector<Seed> seeds;
  for (const cairn::testing::DeltaAttack& attack : cairn::testing::DeltaAttacks()) {
    seeds.push_back(SeedOf(attack.name, 1, cairn::testing::CairnDiffAttackBase(), attack.delta));
  }
  cairn::DeltaEncoder encoder;
  for (unsigned bits = 0; bits < 4; ++bits) {
    for (const size_t step : {1, 7, 64, 255}) {
      std::string base, target;
      for (size_t i = 0; i < 512; ++i) base.push_back(static_cast<char>(i * i >> 3));
      target = base;
      for (size_t i = 0; i < target.size(); i += step) target[i] = static_cast<char>(target[i] + 1 + static_cast<char>(i * 37 >> 2));
      std::string delta;
      if (!encoder.Encode(base, target, size_t{1} << bits, &delta).ok()) return 1;
      seeds.push_back(SeedOf(absl::StrCat("good_", bits, "_", step), bits, base, delta));
    }
  }
  return cairn::testing::WriteSeeds(argc, argv, seeds);
}
