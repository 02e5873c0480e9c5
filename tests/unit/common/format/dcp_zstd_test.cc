#include <zstd.h>

#include <memory>
#include <string>

#include "common/format/dcp/zstd_source.h"
#include "common/io/memory_io.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/dcp_files.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

std::string Content(size_t size) {
  std::string bytes(size, '\0');
  uint64_t state = 1;
  for (char& byte : bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<char>(state >> 60);
  }
  return bytes;
}

absl::StatusOr<std::unique_ptr<ByteSource>> Open(std::string compressed, uint64_t max_bytes = 1 << 30) {
  return OpenZstdSource(std::make_shared<MemorySource>(std::move(compressed), "item"), max_bytes);
}

TEST(ZstdSource, ReadsAnyRangeInAnyOrder) {
  for (const size_t size : {0u, 1u, 1000u, 65536u, 300'000u, 1'000'000u}) {
    const std::string content = Content(size);
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto source, Open(ZstdOf(content)));
    ASSERT_EQ(source->size(), size);
    for (const size_t offset : {size_t{0}, size / 2, size / 3, size - size / 7, size, size / 2}) {
      std::string read(std::min<size_t>(size - offset, 5000), '\0');
      CAIRN_ASSERT_OK(source->ReadAt(offset, absl::MakeSpan(read)));
      EXPECT_TRUE(read == content.substr(offset, read.size())) << size << " " << offset;
    }
    std::string all(size, '\0');
    CAIRN_ASSERT_OK(source->ReadAt(0, absl::MakeSpan(all)));
    EXPECT_TRUE(all == content);
    char byte;
    EXPECT_THAT(source->ReadAt(size, absl::MakeSpan(&byte, 1)), StatusIs(absl::StatusCode::kOutOfRange));
  }
}

TEST(ZstdSource, ReadsFramesThatFollowEachOther) {
  const std::string one = Content(100'000), two = Content(500'000);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto source, Open(ZstdOf(one) + ZstdOf("") + ZstdOf(two)));
  std::string all(source->size(), '\0');
  CAIRN_ASSERT_OK(source->ReadAt(0, absl::MakeSpan(all)));
  EXPECT_TRUE(all == one + two);
}

TEST(ZstdSource, RefusesDamageWhereverItIs) {
  const std::string good = ZstdOf(Content(1000));
  for (size_t size = 1; size < good.size(); ++size) EXPECT_FALSE(Open(good.substr(0, size)).ok()) << size;
  EXPECT_THAT(Open(good + "garbage"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("item: damaged zstd")));
  EXPECT_THAT(Open("garbage"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("item: damaged zstd")));
}

TEST(ZstdSource, StopsAtMoreThanItMayHold) {
  const std::string bomb = ZstdOf(std::string(64 << 20, '\0'));
  EXPECT_LT(bomb.size(), 10'000u);
  EXPECT_THAT(Open(bomb, 1000),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than the expected 1000 bytes")));
}

TEST(ZstdSource, RefusesFramesThatAskForMuchMemory) {
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 27);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  const std::string content = Content(10'000);
  std::string frame(ZSTD_compressBound(content.size()), '\0');
  // The size is not known beforehand, so that the window is as large as was asked for.
  ZSTD_inBuffer in = {content.data(), content.size(), 0};
  ZSTD_outBuffer out = {frame.data(), frame.size(), 0};
  ZSTD_compressStream2(context, &out, &in, ZSTD_e_continue);
  ZSTD_compressStream2(context, &out, &in, ZSTD_e_end);
  ZSTD_freeCCtx(context);
  frame.resize(out.pos);
  EXPECT_THAT(Open(frame), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("too much memory")));
}

}  // namespace
}  // namespace cairn::testing
