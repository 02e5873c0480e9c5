// Casts of one thread against a copy with the same memory traffic: a loop that reads and writes the same numbers of bytes
// and does nothing else. The argument is the bytes of both sides together; "bytes_per_second" counts both.
//
//   cast_benchmark --benchmark_format=json
//
// A cast is named "cast/float32/bfloat16/BYTES", its copy "copy/4to2/BYTES"; both report the processor's time.

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "common/cast/cast.h"
#include "tests/benchmark/micro/copy_kernels.h"

namespace cairn {
namespace {

// The first level of the cache, the second, a window of the pipeline, and what no cache holds.
constexpr int64_t kSizes[] = {32 << 10, 1 << 20, 6 << 20, 320 << 20};

// Pages that are there before the clock starts, in large ones where the system has them: a window of the pipeline is used
// again and again.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes) {
    void* const pages = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) std::abort();
    ::madvise(pages, bytes_, MADV_HUGEPAGE);
    std::memset(pages, 0, bytes_);
    data_ = static_cast<char*>(pages);
  }
  ~Buffer() { ::munmap(data_, bytes_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  char* data() const { return data_; }

 private:
  const size_t bytes_;
  char* data_;
};

size_t ItemBytes(Dtype dtype) { return static_cast<size_t>(BitWidth(dtype)) / 8; }

size_t Count(const benchmark::State& state, size_t from_bytes, size_t to_bytes) {
  return static_cast<size_t>(state.range(0)) / (from_bytes + to_bytes) / 64 * 64;
}

// Weights as they are: a normal distribution of standard deviation 0.02, in the dtype that is cast from.
void FillWithWeights(Dtype dtype, char* data, size_t count) {
  constexpr size_t kBlock = 1 << 16;
  std::vector<float> weights(kBlock);
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 0.02f);
  for (float& weight : weights) weight = normal(random);
  const absl::string_view bytes(reinterpret_cast<const char*>(weights.data()), 4 * kBlock);
  for (size_t i = 0; i < count; i += kBlock) {
    const size_t block = std::min(kBlock, count - i);
    const absl::Status status = CastElements(Dtype::kFloat32, bytes.substr(0, 4 * block), dtype,
                                             absl::MakeSpan(data + i * ItemBytes(dtype), block * ItemBytes(dtype)));
    if (!status.ok()) std::abort();
  }
}

void Cast(benchmark::State& state, Dtype from, Dtype to) {
  const size_t count = Count(state, ItemBytes(from), ItemBytes(to));
  const Buffer src(count * ItemBytes(from)), dst(count * ItemBytes(to));
  FillWithWeights(from, src.data(), count);
  const absl::string_view source(src.data(), count * ItemBytes(from));
  const absl::Span<char> target(dst.data(), count * ItemBytes(to));
  for (auto _ : state) {
    benchmark::DoNotOptimize(CastElements(from, source, to, target).ok());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(source.size() + target.size()));
}

void Copy(benchmark::State& state, size_t from_bytes, size_t to_bytes) {
  const size_t count = Count(state, from_bytes, to_bytes);
  const Buffer src(count * from_bytes), dst(count * to_bytes);
  for (auto _ : state) {
    CopyUnevenly(src.data(), count * from_bytes, dst.data(), count * to_bytes);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(count * (from_bytes + to_bytes)));
}

void Register() {
  using enum Dtype;
  const std::vector<Dtype> narrow = {kBfloat16,       kFloat16,            kFloat8E4M3Fn, kFloat8E5M2, kFloat8E4M3Fnuz,
                                     kFloat8E5M2Fnuz, kFloat8E4M3B11Fnuz};
  std::vector<std::pair<Dtype, Dtype>> pairs;
  for (const Dtype dtype : narrow) pairs.emplace_back(kFloat32, dtype);
  for (const Dtype dtype : narrow) pairs.emplace_back(dtype, kFloat32);
  pairs.insert(pairs.end(), {{kBfloat16, kFloat16}, {kFloat16, kBfloat16}, {kBfloat16, kFloat8E4M3Fn}, {kFloat8E4M3Fn, kBfloat16}});
  for (const int64_t bytes : kSizes) {
    for (const auto& [from, to] : {std::pair<size_t, size_t>(4, 2), {2, 4}, {4, 1}, {1, 4}, {2, 2}, {2, 1}, {1, 2}}) {
      benchmark::RegisterBenchmark(absl::StrCat("copy/", from, "to", to).c_str(), Copy, from, to)->Arg(bytes);
    }
    for (const auto& [from, to] : pairs) {
      benchmark::RegisterBenchmark(absl::StrCat("cast/", std::string(DtypeName(from)), "/", std::string(DtypeName(to))).c_str(),
                                   Cast, from, to)
          ->Arg(bytes);
    }
  }
}

}  // namespace
}  // namespace cairn

int main(int argc, char** argv) {
  cairn::Register();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
