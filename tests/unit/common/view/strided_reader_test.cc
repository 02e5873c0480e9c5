#include "common/view/strided_reader.h"

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

// A storage in memory that counts what is asked of it.
struct Storage {
  explicit Storage(uint64_t size) : bytes(size, '\0') {
    std::mt19937_64 random(3);
    for (char& byte : bytes) byte = static_cast<char>(random());
  }
  StorageRead Read() {
    return [this](uint64_t offset, absl::Span<char> dst) -> absl::Status {
      if (offset > bytes.size() || dst.size() > bytes.size() - offset) {
        return absl::OutOfRangeError(absl::StrCat(offset, "+", dst.size(), " of ", bytes.size()));
      }
      if (fails_from <= reads++) return absl::DataLossError("broken storage");
      read_bytes += dst.size();
      largest = std::max<uint64_t>(largest, dst.size());
      std::memcpy(dst.data(), bytes.data() + offset, dst.size());
      return absl::OkStatus();
    };
  }
  std::string bytes;
  uint64_t reads = 0, read_bytes = 0, largest = 0;
  uint64_t fails_from = ~uint64_t{0};
};

std::string Expected(const Storage& storage, const StridedView& view) {
  std::string out;
  const uint64_t count = ViewBytes(view) / view.element_size;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t rest = i, element = static_cast<uint64_t>(view.offset);
    for (size_t d = view.shape.size(); d-- > 0;) {
      element += rest % static_cast<uint64_t>(view.shape[d]) * static_cast<uint64_t>(view.strides[d]);
      rest /= static_cast<uint64_t>(view.shape[d]);
    }
    out += storage.bytes.substr(element * view.element_size, view.element_size);
  }
  return out;
}

// Front to back, `window` bytes at a time.
std::string ReadAll(StridedReader& reader, uint64_t window) {
  std::string out(reader.size(), '\0');
  for (uint64_t offset = 0; offset < out.size(); offset += window) {
    const uint64_t length = std::min(window, out.size() - offset);
    CAIRN_EXPECT_OK(reader.ReadAt(offset, absl::MakeSpan(out.data() + offset, length)));
  }
  return out;
}

StridedView RandomView(std::mt19937_64& random, uint64_t* storage_elements) {
  constexpr uint32_t kSizes[] = {1, 2, 3, 4, 8, 16};
  StridedView view;
  view.element_size = kSizes[random() % std::size(kSizes)];
  const size_t rank = random() % 6;
  int64_t budget = 6000;
  std::vector<size_t> order;
  for (size_t d = 0; d < rank; ++d) {
    int64_t extent = 1 + static_cast<int64_t>(random() % 40);
    if (random() % 50 == 0) extent = 0;
    extent = std::min(extent, std::max<int64_t>(budget, 1));
    if (extent > 0) budget /= extent;
    view.shape.push_back(extent);
    order.insert(order.begin() + static_cast<ptrdiff_t>(random() % (order.size() + 1)), d);
  }
  // Dense strides in a random order of dimensions, then gaps, repetition and overlaps here and there.
  view.strides.resize(rank);
  int64_t stride = 1;
  for (const size_t d : order) {
    if (random() % 5 == 0) stride += static_cast<int64_t>(random() % 30);
    view.strides[d] = random() % 8 == 0 ? 0 : random() % 12 == 0 ? std::max<int64_t>(stride / 2, 1) : stride;
    stride *= std::max<int64_t>(view.shape[d], 1);
  }
  view.offset = static_cast<int64_t>(random() % 9);
  int64_t end = view.offset + 1;
  for (size_t d = 0; d < rank; ++d) end += std::max<int64_t>(view.shape[d] - 1, 0) * view.strides[d];
  *storage_elements = static_cast<uint64_t>(end) + random() % 3;
  return view;
}

TEST(StridedReader, AnyRangeOfAnyViewIsWhatTheDefinitionSays) {
  std::mt19937_64 random(20240611);
  for (int round = 0; round < 400; ++round) {
    uint64_t elements = 0;
    const StridedView view = RandomView(random, &elements);
    SCOPED_TRACE(absl::StrCat("round ", round, ": ", view.ToString(), ", elements of ", view.element_size));
    Storage storage(elements * view.element_size);
    const std::string expected = Expected(storage, view);
    const StridedReadOptions options{.scratch_bytes = uint64_t{1} << (8 + random() % 14)};
    auto reader = StridedReader::Create(view, storage.bytes.size(), storage.Read(), options);
    CAIRN_ASSERT_OK(reader.status());
    ASSERT_EQ((*reader)->size(), expected.size());
    ASSERT_EQ(ReadAll(**reader, 1 + random() % 5000), expected);
    for (int i = 0; i < 20; ++i) {
      const uint64_t first = random() % (expected.size() + 1), length = random() % (expected.size() - first + 1);
      std::string out(length, '#');
      CAIRN_ASSERT_OK((*reader)->ReadAt(first, absl::MakeSpan(out.data(), out.size())));
      ASSERT_EQ(out, expected.substr(first, length)) << "from " << first;
    }
  }
}

TEST(StridedReader, AContiguousViewIsReadWithOneCallPerCallWithoutCopies) {
  Storage storage(1 << 20);
  auto reader = StridedReader::Create(StridedView::RowMajor({512, 500}, 4, 100), storage.bytes.size(), storage.Read());
  CAIRN_ASSERT_OK(reader.status());
  EXPECT_EQ(ReadAll(**reader, 100'000), storage.bytes.substr(400, 512 * 500 * 4));
  EXPECT_EQ(storage.reads, 11u);
  EXPECT_EQ(storage.read_bytes, 512u * 500 * 4);
}

TEST(StridedReader, ATransposedMatrixLargerThanTheMemoryIsReadOnceInLongPieces) {
  constexpr int64_t kRows = 1024, kColumns = 1024;
  Storage storage(kRows * kColumns * 4);
  auto reader = StridedReader::Create({{kColumns, kRows}, {1, kColumns}, 0, 4}, storage.bytes.size(), storage.Read(),
                                      {.scratch_bytes = 1 << 20});
  CAIRN_ASSERT_OK(reader.status());
  EXPECT_EQ(ReadAll(**reader, 10'000), Expected(storage, {{kColumns, kRows}, {1, kColumns}, 0, 4}));
  // Each tile reads its columns of every row, through the gaps where that spares calls.
  EXPECT_LE(storage.read_bytes, 5 * storage.bytes.size());
  EXPECT_LE(storage.reads, 5u * kRows);
}

TEST(StridedReader, ATransposedMatrixWithLongRowsIsReadOnceWithoutGaps) {
  constexpr int64_t kRows = 256, kColumns = 8192;
  Storage storage(kRows * kColumns * 4);
  auto reader = StridedReader::Create({{kColumns, kRows}, {1, kColumns}, 0, 4}, storage.bytes.size(), storage.Read(),
                                      {.scratch_bytes = 1 << 20});
  CAIRN_ASSERT_OK(reader.status());
  ReadAll(**reader, 1 << 16);
  EXPECT_EQ(storage.read_bytes, storage.bytes.size());
  EXPECT_LE(storage.reads, 10u * kRows);
}

TEST(StridedReader, AMatrixThatFitsIsReadAtOnceWhateverItsOrder) {
  Storage storage(64 * 64 * 8);
  auto reader = StridedReader::Create({{64, 64}, {1, 64}, 0, 8}, storage.bytes.size(), storage.Read());
  CAIRN_ASSERT_OK(reader.status());
  ReadAll(**reader, 100);
  EXPECT_EQ(storage.reads, 1u);
}

TEST(StridedReader, ShortRunsWithShortGapsAreReadTogether) {
  Storage storage(4096 * 64);
  auto reader = StridedReader::Create({{4096, 10}, {16, 1}, 3, 4}, storage.bytes.size(), storage.Read());
  CAIRN_ASSERT_OK(reader.status());
  ReadAll(**reader, 1 << 20);
  EXPECT_LE(storage.reads, 4u);
}

TEST(StridedReader, ARowThatRepeatsIsNotReadForEachRepetition) {
  Storage storage(1000);
  auto reader = StridedReader::Create({{5000, 250}, {0, 1}, 0, 4}, storage.bytes.size(), storage.Read());
  CAIRN_ASSERT_OK(reader.status());
  const std::string bytes = ReadAll(**reader, 1 << 16);
  EXPECT_EQ(bytes.substr(4999 * 1000), storage.bytes);
  EXPECT_EQ(storage.reads, 1u);
}

TEST(StridedReader, LookingAtSomeValuesReadsNoTile) {
  Storage storage(1 << 20);
  auto reader = StridedReader::Create({{512, 512}, {1, 512}, 0, 4}, storage.bytes.size(), storage.Read());
  CAIRN_ASSERT_OK(reader.status());
  std::string out(16, '\0');
  CAIRN_ASSERT_OK((*reader)->ReadAt(4096, absl::MakeSpan(out.data(), out.size())));
  EXPECT_EQ(storage.read_bytes, 16u);
}

TEST(StridedReader, ARangeThatLeavesTheViewIsRefused) {
  Storage storage(4000);
  auto reader = StridedReader::Create({{10, 100}, {1, 10}, 0, 4}, storage.bytes.size(), storage.Read());
  CAIRN_ASSERT_OK(reader.status());
  std::string out(2, ' ');
  EXPECT_THAT((*reader)->ReadAt(3999, absl::MakeSpan(out.data(), out.size())),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("[3999, 3999+2) of a view of 4000")));
  CAIRN_EXPECT_OK((*reader)->ReadAt(4000, {}));
}

TEST(StridedReader, AFailedReadLeavesNoStaleTileBehind) {
  Storage storage(1 << 16);
  const StridedView view{{64, 64}, {1, 64}, 0, 16};
  auto reader = StridedReader::Create(view, storage.bytes.size(), storage.Read(), {.scratch_bytes = 8192});
  CAIRN_ASSERT_OK(reader.status());
  std::string out(view.shape[0] * view.shape[1] * 16, '\0');
  storage.fails_from = 3;
  EXPECT_THAT((*reader)->ReadAt(0, absl::MakeSpan(out.data(), out.size())), StatusIs(absl::StatusCode::kDataLoss));
  storage.fails_from = ~uint64_t{0};
  CAIRN_ASSERT_OK((*reader)->ReadAt(0, absl::MakeSpan(out.data(), out.size())));
  EXPECT_EQ(out, Expected(storage, view));
}

TEST(StridedReader, AViewThatLeavesItsStorageIsRefused) {
  Storage storage(99);
  EXPECT_THAT(StridedReader::Create(StridedView::RowMajor({25}, 4), storage.bytes.size(), storage.Read()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("storage of 24 elements")));
}

}  // namespace
}  // namespace cairn
