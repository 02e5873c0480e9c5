#include <benchmark/benchmark.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "common/base/digest.h"
#include "common/delta/delta.h"
#include "common/delta/delta_kernels.h"

// Rates of pieces of 1 MiB, in bytes of the target, in one thread; "ratio" is target bytes by delta bytes. 64 pieces, so that
// what is read comes out of memory and not out of a cache.
namespace {

constexpr size_t kPiece = 1u << 20;
constexpr size_t kPieces = 64;

std::string Weights(unsigned seed, size_t unit) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, 0.02f);
  std::string bytes(kPiece, '\0');
  for (size_t i = 0; i < kPiece; i += unit) {
    const float value = normal(random);
    std::memcpy(&bytes[i], reinterpret_cast<const char*>(&value) + 4 - unit, unit);
  }
  return bytes;
}

struct Pair {
  std::vector<std::string> base, target;
};

// `percent` of the units changed a little; above 100: another checkpoint.
Pair MakePair(int percent, size_t unit) {
  Pair pair;
  std::mt19937_64 random(7);
  for (size_t i = 0; i < kPieces; ++i) {
    pair.base.push_back(Weights(static_cast<unsigned>(i % 4), unit));
    pair.target.push_back(percent > 100 ? Weights(static_cast<unsigned>(100 + i % 4), unit) : pair.base.back());
    for (size_t at = 0; percent <= 100 && at < kPiece; at += unit) {
      if (static_cast<int>(random() % 100) < percent) pair.target.back()[at] ^= static_cast<char>(1 + random() % 7);
    }
  }
  return pair;
}

void SetRates(benchmark::State& state, size_t encoded) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kPiece));
  state.counters["ratio"] = static_cast<double>(kPiece) / static_cast<double>(encoded);
}

void BM_Encode(benchmark::State& state) {
  const auto unit = static_cast<size_t>(state.range(1));
  const Pair pair = MakePair(static_cast<int>(state.range(0)), unit);
  cairn::DeltaEncoder encoder;
  std::string delta;
  size_t i = 0;
  for (auto _ : state) {
    if (!encoder.Encode(pair.base[i], pair.target[i], unit, &delta).ok()) state.SkipWithError("encode");
    i = (i + 1) % kPieces;
  }
  SetRates(state, delta.size());
}

void BM_Apply(benchmark::State& state) {
  const auto unit = static_cast<size_t>(state.range(1));
  const Pair pair = MakePair(static_cast<int>(state.range(0)), unit);
  cairn::DeltaEncoder encoder;
  cairn::DeltaDecoder decoder;
  std::vector<std::string> deltas(kPieces);
  for (size_t i = 0; i < kPieces; ++i) encoder.Encode(pair.base[i], pair.target[i], unit, &deltas[i]).IgnoreError();
  std::string target(kPiece, '\0');
  size_t i = 0;
  for (auto _ : state) {
    if (!decoder.Apply(deltas[i], pair.base[i], absl::MakeSpan(target)).ok()) state.SkipWithError("apply");
    i = (i + 1) % kPieces;
  }
  SetRates(state, deltas[0].size());
}

void BM_Xor(benchmark::State& state) {
  const Pair pair = MakePair(50, 2);
  std::string out(kPiece, '\0');
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(cairn::delta_internal::XorUnits(pair.base[i].data(), pair.target[i].data(), 2, kPiece / 2, out.data()));
    i = (i + 1) % kPieces;
  }
  SetRates(state, kPiece);
}

void BM_Digest(benchmark::State& state) {
  const Pair pair = MakePair(0, 2);
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(cairn::DigestOf(pair.base[i], cairn::DigestAlgorithm::kXxh3));
    i = (i + 1) % kPieces;
  }
  SetRates(state, kPiece);
}

BENCHMARK(BM_Xor);
BENCHMARK(BM_Digest);
BENCHMARK(BM_Encode)->ArgNames({"changed_percent", "unit"})->ArgsProduct({{0, 1, 10, 100, 101}, {2, 4}});
BENCHMARK(BM_Apply)->ArgNames({"changed_percent", "unit"})->ArgsProduct({{0, 1, 10, 100, 101}, {2, 4}});

}  // namespace

BENCHMARK_MAIN();
