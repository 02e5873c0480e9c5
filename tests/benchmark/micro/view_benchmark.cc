// Processor seconds per GB of reading strided views front to back from a file in the page cache.
//
//   view_benchmark FILE [ROWS COLUMNS]     (the file is made; float32, 8192 x 8192 unless given)
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/io/posix_file.h"
#include "common/view/strided_reader.h"

namespace cairn {
namespace {

double ProcessorSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

bool MakeFile(const std::string& path, uint64_t bytes) {
  const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
  if (fd < 0) return false;
  std::vector<char> block(1 << 20);
  for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<char>(i * 2654435761u >> 13);
  for (uint64_t done = 0; done < bytes; done += block.size()) {
    if (::write(fd, block.data(), std::min<uint64_t>(block.size(), bytes - done)) < 0) return false;
  }
  return ::close(fd) == 0;
}

int Main(int argc, char** argv) {
  if (argc < 2) return 2;
  const std::string path = argv[1];
  const int64_t rows = argc > 3 ? std::atoll(argv[2]) : 8192, columns = argc > 3 ? std::atoll(argv[3]) : 8192;
  const uint64_t bytes = static_cast<uint64_t>(rows * columns) * 4;
  if (!MakeFile(path, bytes)) return 1;
  auto source = OpenFileSource(path);
  if (!source.ok()) return 1;

  const auto measure = [&](const char* what, const StridedView& view, uint64_t scratch) {
    uint64_t reads = 0, read_bytes = 0;
    auto reader = StridedReader::Create(view, bytes,
                                        [&](uint64_t offset, absl::Span<char> dst) {
                                          ++reads;
                                          read_bytes += dst.size();
                                          return (*source)->ReadAt(offset, dst);
                                        },
                                        {.scratch_bytes = scratch});
    std::vector<char> window(4 << 20);
    double best = 1e9;
    for (int round = 0; round < 3; ++round) {
      reads = read_bytes = 0;
      const double start = ProcessorSeconds();
      for (uint64_t offset = 0; offset < (*reader)->size(); offset += window.size()) {
        const uint64_t length = std::min<uint64_t>(window.size(), (*reader)->size() - offset);
        if (!(*reader)->ReadAt(offset, absl::MakeSpan(window.data(), length)).ok()) std::abort();
      }
      best = std::min(best, ProcessorSeconds() - start);
    }
    const double gigabytes = static_cast<double>((*reader)->size()) / 1e9;
    std::printf("%-44s scratch %4llu MiB  %6.3f processor s/GB  %9llu reads  %5.2f x the view's bytes\n", what,
                static_cast<unsigned long long>(scratch >> 20), best / gigabytes,
                static_cast<unsigned long long>(reads),
                static_cast<double>(read_bytes) / static_cast<double>((*reader)->size()));
  };
  const uint64_t mib = 1 << 20;
  measure("contiguous", StridedView::RowMajor({rows, columns}, 4), 16 * mib);
  for (const uint64_t scratch : {16 * mib, 64 * mib, 256 * mib}) {
    measure("transposed, float32", {{columns, rows}, {1, columns}, 0, 4}, scratch);
  }
  measure("transposed, bfloat16", {{columns * 2, rows}, {1, columns * 2}, 0, 2}, 16 * mib);
  measure("transposed, one byte", {{columns * 4, rows}, {1, columns * 4}, 0, 1}, 16 * mib);
  measure("transposed, 16 bytes", {{columns / 4, rows}, {1, columns / 4}, 0, 16}, 16 * mib);
  measure("left half of each row", {{rows, columns / 2}, {columns, 1}, 0, 4}, 16 * mib);
  measure("64 of each 128 columns", {{rows * columns / 128, 64}, {128, 1}, 0, 4}, 16 * mib);
  measure("every other element", {{rows, columns / 2}, {columns, 2}, 0, 4}, 16 * mib);
  // Rows of heads: 128 rows each, halves interleaved (rotary order), and q, k, v regrouped.
  measure("rows in rotary order", {{rows / 128, 64, 2, columns}, {128 * columns, columns, 64 * columns, 1}, 0, 4},
          16 * mib);
  measure("rotary order and transposed",
          {{columns, rows / 128, 64, 2}, {1, 128 * columns, columns, 64 * columns}, 0, 4}, 16 * mib);
  const int64_t groups = rows / (128 * 4);
  measure("groups of 4 x 128 rows regrouped",
          {{4, groups, 128, columns}, {128 * columns, 512 * columns, columns, 1}, 0, 4}, 16 * mib);
  return 0;
}

}  // namespace
}  // namespace cairn

int main(int argc, char** argv) { return cairn::Main(argc, argv); }
