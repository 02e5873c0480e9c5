#include "common/pickle/pickle_input.h"

#include <algorithm>
#include <cstring>

#include "absl/types/span.h"

namespace cairn {
namespace {

constexpr size_t kWindowBytes = 256u << 10;

}  // namespace

PickleInput::PickleInput(const ByteSource& source, uint64_t offset)
    : source_(&source),
      begin_(offset),
      size_(source.size() - offset),
      buffer_(std::min<uint64_t>(size_, kWindowBytes)) {}

PickleInput::PickleInput(absl::string_view bytes)
    : size_(bytes.size()), window_(bytes.data()), window_size_(bytes.size()) {}

bool PickleInput::Fill(size_t size) {
  if (source_ == nullptr || size > left() || !status_.ok()) return false;
  const size_t kept = window_size_ - at_;
  if (kept != 0) std::memmove(buffer_.data(), window_ + at_, kept);
  window_begin_ += at_;
  at_ = 0;
  window_ = buffer_.data();
  const size_t wanted = static_cast<size_t>(std::min<uint64_t>(size_ - window_begin_, buffer_.size())) - kept;
  window_size_ = kept;
  status_ = source_->ReadAt(begin_ + window_begin_ + kept, absl::MakeSpan(buffer_.data() + kept, wanted));
  if (!status_.ok()) return false;
  window_size_ += wanted;
  return true;
}

bool PickleInput::Read(char* dst, size_t size) {
  if (size > left()) return false;
  const size_t here = std::min(size, window_size_ - at_);
  if (here != 0) std::memcpy(dst, window_ + at_, here);
  at_ += here;
  dst += here;
  size -= here;
  if (size == 0) return true;
  if (size <= kMaxTake) {
    const char* const taken = Take(size);
    if (taken != nullptr) std::memcpy(dst, taken, size);
    return taken != nullptr;
  }
  // The window is spent; what follows goes past it.
  if (!status_.ok()) return false;
  status_ = source_->ReadAt(begin_ + consumed(), absl::MakeSpan(dst, size));
  window_begin_ = consumed() + size;
  window_size_ = at_ = 0;
  return status_.ok();
}

std::optional<absl::string_view> PickleInput::Line(size_t max_size) {
  line_.clear();
  while (true) {
    const char* const here = window_ + at_;
    const size_t size = window_size_ - at_;
    const auto* const end = size == 0 ? nullptr : static_cast<const char*>(std::memchr(here, '\n', size));
    const size_t part = end == nullptr ? size : static_cast<size_t>(end - here);
    if (part > max_size - line_.size()) return std::nullopt;
    if (end != nullptr) {
      at_ += part + 1;
      if (line_.empty()) return absl::string_view(here, part);
      line_.append(here, part);
      return line_;
    }
    if (part != 0) line_.append(here, part);
    at_ = window_size_;
    if (!Fill(1)) return std::nullopt;
  }
}

}  // namespace cairn
