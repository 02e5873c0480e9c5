#include "common/base/stream_copy.h"

#include <string>

#include "common/base/crc32c.h"
#include "gtest/gtest.h"

namespace cairn {
namespace {

std::string Bytes(size_t size) {
  std::string bytes;
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i * 131 + i / 251));
  return bytes;
}

TEST(StreamCopy, CopiesExactlyTheBytesWhateverTheAlignment) {
  const std::string source = Bytes(100'000);
  for (const size_t size : {0, 1, 15, 63, 64, 65, 127, 128, 1000, 16383, 16384, 16385, 50'000}) {
    for (const size_t from : {0, 1, 17, 64}) {
      for (const size_t to : {0, 1, 16, 63}) {
        const absl::string_view bytes = absl::string_view(source).substr(from, size);
        std::string expected(size + 200, '#');
        expected.replace(to, size, bytes.data(), size);
        std::string copied(size + 200, '#'), checked(size + 200, '#');
        StreamCopy(copied.data() + to, bytes);
        EXPECT_EQ(StreamCopyCrc32c(checked.data() + to, 7, bytes), ExtendCrc32c(7, bytes));
        ASSERT_EQ(copied, expected) << size << " " << from << " " << to;
        ASSERT_EQ(checked, expected) << size << " " << from << " " << to;
      }
    }
  }
}

}  // namespace
}  // namespace cairn
