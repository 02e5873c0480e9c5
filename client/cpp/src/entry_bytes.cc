#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cairn/connection.h"

namespace cairn::client {
namespace {

class BorrowedBytes final : public EntryBytes {
 public:
  explicit BorrowedBytes(Buffer bytes) : bytes_(std::move(bytes)) {}

  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) override {
    if (offset > bytes_.size() || dst.size() > bytes_.size() - offset) {
      return absl::OutOfRangeError(absl::StrCat("bytes ", offset, " to ", offset + dst.size(), " of a buffer of ",
                                                bytes_.size()));
    }
    if (!dst.empty()) std::memcpy(dst.data(), bytes_.data() + offset, dst.size());
    return absl::OkStatus();
  }

  Buffer Borrow(uint64_t offset, uint64_t length) override {
    if (offset > bytes_.size() || length > bytes_.size() - offset) return Buffer();
    return bytes_.Slice(offset, length);
  }

 private:
  const Buffer bytes_;
};

}  // namespace

std::shared_ptr<EntryBytes> EntryBytes::Of(Buffer bytes) { return std::make_shared<BorrowedBytes>(std::move(bytes)); }

}  // namespace cairn::client
