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

class BasedBytes final : public EntryBytes {
 public:
  BasedBytes(std::shared_ptr<EntryBytes> bytes, std::shared_ptr<EntryBytes> base)
      : bytes_(std::move(bytes)), base_(std::move(base)) {}

  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) override { return bytes_->ReadAt(offset, dst); }
  Buffer Borrow(uint64_t offset, uint64_t length) override { return bytes_->Borrow(offset, length); }
  EntryBytes* base() override { return base_.get(); }

 private:
  const std::shared_ptr<EntryBytes> bytes_;
  const std::shared_ptr<EntryBytes> base_;
};

}  // namespace

std::shared_ptr<EntryBytes> EntryBytes::WithBase(std::shared_ptr<EntryBytes> bytes, std::shared_ptr<EntryBytes> base) {
  return std::make_shared<BasedBytes>(std::move(bytes), std::move(base));
}

std::shared_ptr<EntryBytes> EntryBytes::Of(Buffer bytes) { return std::make_shared<BorrowedBytes>(std::move(bytes)); }

}  // namespace cairn::client
