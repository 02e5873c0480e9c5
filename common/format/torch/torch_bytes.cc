#include "common/format/torch/torch_bytes.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr size_t kWindow = size_t{256} << 10;

}  // namespace

absl::StatusOr<std::unique_ptr<TorchBytes>> TorchBytes::Create(const TorchTensor& tensor, std::shared_ptr<const ByteSource> storage,
                                                               bool big_endian) {
  auto bytes = std::unique_ptr<TorchBytes>(new TorchBytes);
  bytes->storage_ = std::move(storage);
  bytes->dtype_ = tensor.dtype;
  bytes->element_ = tensor.view.element_size;
  const bool complex = tensor.dtype == Dtype::kComplex64 || tensor.dtype == Dtype::kComplex128;
  const uint32_t number = complex ? bytes->element_ / 2 : bytes->element_;
  bytes->swapped_ = big_endian ? number : 1;
  bytes->conjugated_ = tensor.conjugated;
  bytes->negated_ = tensor.negated;
  const ByteSource* const source = bytes->storage_.get();
  CAIRN_ASSIGN_OR_RETURN(bytes->reader_,
                         StridedReader::Create(tensor.view, tensor.storage_bytes,
                                               [source](uint64_t offset, absl::Span<char> dst) { return source->ReadAt(offset, dst); }));
  return bytes;
}

void TorchBytes::Translate(absl::Span<char> elements) const {
  for (size_t i = 0; swapped_ > 1 && i + swapped_ <= elements.size(); i += swapped_) {
    std::reverse(elements.begin() + static_cast<ptrdiff_t>(i), elements.begin() + static_cast<ptrdiff_t>(i + swapped_));
  }
  if (!conjugated_ && !negated_) return;
  // IEEE numbers change sign by their highest bit. Of a complex one, conjugation turns the second, negation both.
  const bool complex = dtype_ == Dtype::kComplex64 || dtype_ == Dtype::kComplex128;
  const size_t number = complex ? element_ / 2 : element_;
  for (size_t i = 0; i + number <= elements.size(); i += number) {
    const bool imaginary = complex && i / number % 2 == 1;
    if (negated_ != (conjugated_ && imaginary)) elements[i + number - 1] ^= static_cast<char>(0x80);
  }
}

absl::Status TorchBytes::ReadAt(uint64_t offset, absl::Span<char> dst) {
  if (swapped_ == 1 && !conjugated_ && !negated_) return reader_->ReadAt(offset, dst);
  if (offset > size() || dst.size() > size() - offset) return reader_->ReadAt(offset, dst);  // The error is its.
  while (!dst.empty()) {
    const uint64_t skip = offset % element_;
    const uint64_t length = std::min<uint64_t>(kWindow, (skip + dst.size() + element_ - 1) / element_ * element_);
    window_.resize(kWindow);
    const absl::Span<char> window = absl::MakeSpan(window_).first(length);
    CAIRN_RETURN_IF_ERROR(reader_->ReadAt(offset - skip, window));
    Translate(window);
    const size_t taken = std::min<size_t>(dst.size(), length - skip);
    std::memcpy(dst.data(), window.data() + skip, taken);
    dst.remove_prefix(taken);
    offset += taken;
  }
  return absl::OkStatus();
}

}  // namespace cairn
