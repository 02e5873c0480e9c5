// What the checks cost one processor: every byte of a chunk has a CRC-32C, which both ends compute, and every extent a
// digest, which the daemon computes. There is no switch that turns them off.
#include <algorithm>
#include <cstdio>

#include "CLI/CLI.hpp"
#include "common/base/crc32c.h"
#include "common/base/digest.h"
#include "nlohmann/json.hpp"
#include "tests/benchmark/programs/fail.h"
#include "tests/benchmark/programs/payload.h"
#include "tests/benchmark/programs/stopwatch.h"

namespace cairn::benchmark {
namespace {

int Main(int argc, char** argv) {
  CLI::App app("CRC-32C and digest over memory that no cache holds, 1 MiB at a time");
  uint64_t bytes = uint64_t{512} << 20;
  app.add_option("--bytes", bytes)->transform(CLI::AsSizeValue(false));
  CLI11_PARSE(app, argc, argv);
  constexpr size_t kExtent = 1 << 20;
  const size_t extents = std::max<size_t>(1, bytes / kExtent);
  Memory memory(extents * kExtent);
  FillPayload(memory.span(), 1);
  const auto measure = [&](auto of) {
    const Stopwatch watch;
    unsigned sum = 0;
    for (size_t i = 0; i < extents; ++i) sum += of(memory.view().substr(i * kExtent, kExtent));
    const double seconds = watch.Read()["cpu_seconds"];
    if (sum == 1) std::fputs("", stderr);  // So that nothing is optimised away.
    return seconds / static_cast<double>(extents * kExtent) * 1e9;
  };
  const double crc = measure([](absl::string_view extent) { return Crc32c(extent); });
  const double digest = measure([](absl::string_view extent) {
    return static_cast<unsigned>(DigestOf(extent, DigestAlgorithm::kXxh3).AsBytes()[0]);
  });
  std::printf("%s\n", nlohmann::json{{"crc32c", crc}, {"digest", digest}}.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace cairn::benchmark

int main(int argc, char** argv) { return cairn::benchmark::Main(argc, argv); }
