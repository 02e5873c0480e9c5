#include "client/cpp/src/entry_appender.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cairn::client {
namespace {

// Pieces from this size on are sent from where they lie.
constexpr size_t kGatherBelow = 16 << 10;

}  // namespace

void EntryAppender::Begin(const UploadEntry* entry) {
  entry_ = entry;
  position_ = 0;
  gathered_.clear();
}

absl::StatusOr<bool> EntryAppender::Append(Buffer bytes) {
  if (entry_ == nullptr) return absl::FailedPreconditionError("bytes were appended before an entry was started");
  if (bytes.size() > entry_->total() - position_) {
    return absl::OutOfRangeError(absl::StrCat(entry_->ShownName(), ": bytes up to ", position_ + bytes.size(),
                                              " were appended, but it has ", entry_->total()));
  }
  if (bytes.size() < kGatherBelow) {
    if (gathered_.empty()) {
      gathered_.reserve(std::min<uint64_t>(chunk_bytes_ + kGatherBelow, entry_->total() - position_));
    }
    gathered_.append(bytes.data(), bytes.size());
    position_ += bytes.size();
    if (gathered_.size() < chunk_bytes_) return false;
    PushGathered();
  } else {
    PushGathered();
    position_ += bytes.size();
    Push(std::move(bytes));
  }
  return true;
}

absl::Status EntryAppender::Finish() {
  if (entry_ == nullptr) return absl::FailedPreconditionError("no entry was started");
  if (position_ != entry_->total()) {
    return absl::InvalidArgumentError(absl::StrCat(entry_->ShownName(), ": finished after ", position_, " of ",
                                                   entry_->total(), " bytes"));
  }
  PushGathered();
  entry_ = nullptr;
  window_.CompleteLast();
  return absl::OkStatus();
}

void EntryAppender::PushGathered() {
  if (gathered_.empty()) return;
  Push(Buffer::FromString(std::exchange(gathered_, std::string())));
}

void EntryAppender::Push(Buffer bytes) {
  if (entry_->available() >= position_) return;
  const uint64_t fresh = std::min<uint64_t>(bytes.size(), position_ - entry_->available());
  window_.Push(bytes.Slice(bytes.size() - fresh, fresh));
}

}  // namespace cairn::client
