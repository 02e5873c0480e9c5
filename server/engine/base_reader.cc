#include "server/engine/base_reader.h"

#include <cstring>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"

namespace cairn {

BaseReader::BaseReader(std::shared_ptr<const OpenCheckpoint> checkpoint, ObjectStore& store, uint64_t cache_bytes)
    : checkpoint_(std::move(checkpoint)), store_(store), cache_bytes_(cache_bytes) {}

std::optional<size_t> BaseReader::Find(const KeyPath& path) {
  const std::vector<StoredEntry>& entries = checkpoint_->manifest->entries;
  const auto is_it = [&](size_t i) { return entries[i].entry.kind == EntryKind::kTensor && entries[i].entry.path == path; };
  for (size_t i = next_; i < entries.size() && i < next_ + 2; ++i) {
    if (is_it(i)) return i;
  }
  if (tensors_.empty()) {
    for (size_t i = 0; i < entries.size(); ++i) {
      if (entries[i].entry.kind == EntryKind::kTensor) tensors_.try_emplace(entries[i].entry.path, i);
    }
  }
  const auto found = tensors_.find(path);
  if (found == tensors_.end()) return std::nullopt;
  return found->second;
}

bool BaseReader::Select(const KeyPath& path, const Shape& shape, const Box& box, Dtype dtype,
                        std::optional<Dtype> float_dtype) {
  if (selected_.has_value()) {
    const Entry& now = checkpoint_->manifest->entries[selected_->entry].entry;
    if (open_ != nullptr && now.path == path && now.shape == shape && selected_->box == box &&
        selected_->float_dtype == float_dtype && open_->dtype() == dtype) {
      return true;
    }
  }
  selected_.reset();
  open_.reset();
  const std::optional<size_t> entry = Find(path);
  if (!entry.has_value()) return false;
  next_ = *entry;
  if (checkpoint_->manifest->entries[*entry].entry.shape != shape) return false;
  selected_ = Selected{*entry, box, float_dtype};
  if (OpenSelected().ok() && open_->dtype() == dtype) return true;
  selected_.reset();
  open_.reset();
  return false;
}

absl::Status BaseReader::OpenSelected() {
  if (extents_ == nullptr) extents_ = std::make_unique<ExtentReader>(store_, cache_bytes_);
  const Manifest& manifest = *checkpoint_->manifest;
  CAIRN_ASSIGN_OR_RETURN(open_, EntryBytes::Open(manifest, manifest.entries[selected_->entry], selected_->box,
                                                 selected_->float_dtype, *extents_));
  return absl::OkStatus();
}

absl::Status BaseReader::Read(uint64_t offset, absl::Span<char> dst) {
  if (!selected_.has_value()) return absl::InternalError("bytes of a base were wanted before a box of it was selected");
  if (open_ == nullptr) CAIRN_RETURN_IF_ERROR(OpenSelected());
  if (offset > open_->size() || dst.size() > open_->size() - offset) {
    return absl::InternalError("bytes of a base were wanted that lie behind its end");
  }
  while (!dst.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const Buffer piece, open_->ReadSome(offset, dst.size()));
    std::memcpy(dst.data(), piece.data(), piece.size());
    offset += piece.size();
    dst.remove_prefix(piece.size());
  }
  return absl::OkStatus();
}

void BaseReader::Rest() {
  open_.reset();
  extents_.reset();
}

}  // namespace cairn
