#include "client/transfer/held_checkpoint.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"

namespace cairn::transfer {
HeldCheckpoint::HeldCheckpoint(std::unique_ptr<CheckpointReader> reader, std::string separator)
    : reader_(std::move(reader)), separator_(std::move(separator)) {
  const std::vector<Entry>& entries = reader_->index().entries;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].kind == EntryKind::kTensor) tensors_.emplace(entries[i].path.ToString(), i);
  }
}

absl::StatusOr<bool> HeldCheckpoint::ReadAt(const client::GetEntry& entry, uint64_t offset, absl::Span<char> dst) {
  auto found = tensors_.find(entry.entry.path.ToString());
  if (found == tensors_.end()) found = tensors_.find(KeyPath::Of({entry.entry.path.Joined(separator_)}).ToString());
  if (found == tensors_.end() || !(entry.box == Box::Whole(entry.entry.shape))) return false;
  const Entry& held = reader_->index().entries[found->second];
  if (held.dtype != entry.entry.dtype || held.shape != entry.entry.shape) return false;
  if (absl::Status read = reader_->ReadAt(found->second, offset, dst); !read.ok()) {
    return Annotate(read, absl::StrCat("\"", held.path.ToString(), "\""));
  }
  return true;
}

}  // namespace cairn::transfer
