#include "server/store/io_vector.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace cairn {
namespace {

TEST(RemoveWritten, LeavesExactlyWhatIsNotWrittenYet) {
  std::string text = "abcdefghij";
  for (size_t bytes = 0; bytes <= text.size(); ++bytes) {
    std::vector<iovec> vector = {{text.data(), 3}, {text.data() + 3, 1}, {text.data() + 4, 6}};
    std::string left;
    for (const iovec& piece : RemoveWritten(absl::MakeSpan(vector), bytes)) {
      EXPECT_GT(piece.iov_len, 0u);
      left.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    }
    EXPECT_EQ(left, text.substr(bytes));
  }
}

}  // namespace
}  // namespace cairn
