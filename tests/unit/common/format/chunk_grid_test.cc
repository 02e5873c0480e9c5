#include "common/format/dcp/chunk_grid.h"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

std::string Bytes(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31 + i / 251);
  return bytes;
}

// What of a row-major tensor is in a box.
std::string Part(const std::string& tensor, const Shape& shape, uint32_t element, const Box& box) {
  std::string part;
  std::vector<int64_t> index(shape.size());
  for (;;) {
    int64_t at = 0;
    for (size_t d = 0; d < shape.size(); ++d) at = at * shape[d] + box.offset[d] + index[d];
    part += tensor.substr(static_cast<size_t>(at) * element, element);
    size_t d = shape.size();
    while (d > 0 && ++index[d - 1] == box.extent[d - 1]) index[--d] = 0;
    if (d == 0) return part;
  }
}

void ExpectAssembles(const Shape& shape, uint32_t element, const std::vector<Box>& boxes,
                     const std::vector<size_t>& windows) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const ChunkGrid grid, ChunkGrid::Create(shape, element, boxes));
  const std::string tensor = Bytes(grid.byte_size());
  std::vector<std::string> parts;
  for (const Box& box : boxes) parts.push_back(Part(tensor, shape, element, box));
  std::vector<char> scratch;
  for (const size_t window : windows) {
    std::string read(tensor.size(), '\0');
    for (size_t at = 0; at < read.size(); at += window) {
      const absl::Span<char> dst = absl::MakeSpan(read).subspan(at, std::min(window, read.size() - at));
      CAIRN_ASSERT_OK(grid.ReadAt(at, dst, &scratch, [&](size_t chunk, uint64_t offset, absl::Span<char> part) {
        EXPECT_LE(offset + part.size(), parts[chunk].size());
        std::memcpy(part.data(), parts[chunk].data() + offset, part.size());
        return absl::OkStatus();
      }));
    }
    EXPECT_TRUE(read == tensor) << window;
  }
}

TEST(ChunkGrid, AssemblesAnyCutFromAnyWindow) {
  const std::vector<size_t> windows = {1, 2, 5, 64, 100'000'000};
  ExpectAssembles({}, 4, {Box::Whole({})}, windows);
  ExpectAssembles({7}, 3, {{{0}, {2}}, {{2}, {5}}}, windows);
  ExpectAssembles({4, 6}, 2, {{{0, 0}, {4, 1}}, {{0, 1}, {4, 3}}, {{0, 4}, {4, 2}}}, windows);
  ExpectAssembles({3, 4, 5}, 1,
                  {{{0, 0, 0}, {2, 4, 5}}, {{2, 0, 0}, {1, 1, 5}}, {{2, 1, 0}, {1, 3, 2}}, {{2, 1, 2}, {1, 3, 3}}},
                  windows);
  ExpectAssembles({2, 2, 2, 2}, 8, {{{0, 0, 0, 0}, {2, 2, 2, 1}}, {{0, 0, 0, 1}, {2, 2, 2, 1}}}, windows);
}

TEST(ChunkGrid, AssemblesRunsLongAndShort) {
  // Rows of 80 KiB go straight to their place, columns of 4 bytes through the window, of which there are several.
  ExpectAssembles({3, 40'000}, 4, {{{0, 0}, {3, 20'000}}, {{0, 20'000}, {3, 20'000}}}, {1000, 1 << 20, 100'000'000});
  ExpectAssembles({400'000, 2}, 4, {{{0, 0}, {400'000, 1}}, {{0, 1}, {400'000, 1}}}, {4097, 1 << 20, 100'000'000});
}

TEST(ChunkGrid, AssemblesManyChunksInAnyOrder) {
  // Bands of rows, each cut in columns of its own; the chunks come in no order.
  std::vector<Box> boxes;
  for (int64_t band = 0; band < 12; ++band) {
    const int64_t columns = 1 + band % 4;
    for (int64_t c = 0; c < columns; ++c) {
      boxes.push_back({{band * 5, c * 12 / columns, 0}, {5, (c + 1) * 12 / columns - c * 12 / columns, 3}});
    }
  }
  std::mt19937 random(1);
  std::shuffle(boxes.begin(), boxes.end(), random);
  ExpectAssembles({60, 12, 3}, 2, boxes, {1, 7, 72, 1000, 100'000'000});
  std::vector<Box> columns;
  for (int64_t c = 0; c < 40; ++c) columns.push_back({{0, 39 - c}, {7, 1}});
  ExpectAssembles({7, 40}, 4, columns, {1, 3, 160, 100'000'000});
}

TEST(ChunkGrid, AWindowLooksAtTheChunksThatItTouches) {
  // 100,000 chunks and as many windows: minutes if each looked at all of them.
  constexpr int64_t kChunks = 100'000;
  std::vector<Box> boxes;
  for (int64_t i = 0; i < kChunks; ++i) boxes.push_back({{i * 4, 0}, {4, 2}});
  CAIRN_ASSERT_OK_AND_ASSIGN(const ChunkGrid grid, ChunkGrid::Create({4 * kChunks, 2}, 1, boxes));
  std::vector<char> scratch, dst(8);
  size_t reads = 0;
  const std::clock_t before = std::clock();
  for (uint64_t at = 0; at < grid.byte_size(); at += 8) {
    CAIRN_ASSERT_OK(grid.ReadAt(at, absl::MakeSpan(dst), &scratch, [&](size_t chunk, uint64_t offset, absl::Span<char> part) {
      reads += chunk == at / 8 && offset == 0 && part.size() == 8;
      return absl::OkStatus();
    }));
  }
  EXPECT_EQ(reads, size_t{kChunks});
  EXPECT_LT(std::clock() - before, 20 * CLOCKS_PER_SEC);
}

TEST(ChunkGrid, RefusesWhatIsNoCover) {
  EXPECT_THAT(ChunkGrid::Create({4}, 4, std::vector<Box>{{{0}, {3}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no chunk holds [3:4]")));
  EXPECT_THAT(ChunkGrid::Create({4}, 4, std::vector<Box>{{{0}, {3}}, {{2}, {2}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("overlap in [2:3]")));
  EXPECT_THAT(ChunkGrid::Create({4}, 4, std::vector<Box>{{{2}, {3}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("leaves shape")));
  EXPECT_THAT(ChunkGrid::Create({INT64_MAX}, 4, std::vector<Box>{{{0}, {INT64_MAX}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more bytes")));
}

}  // namespace
}  // namespace cairn::testing
