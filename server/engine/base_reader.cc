#include "server/engine/base_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace cairn {

BaseReader::BaseReader(std::shared_ptr<const OpenCheckpoint> checkpoint, ObjectStore& store, const DownloadOptions& options)
    : checkpoint_(std::move(checkpoint)), store_(store), options_(options) {}

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

absl::Status BaseReader::Select(const KeyPath& path, const Shape& shape, const Box& box, Dtype dtype,
                                std::optional<Dtype> float_dtype) {
  const Manifest& manifest = *checkpoint_->manifest;
  if (selected_.has_value()) {
    const Entry& now = manifest.entries[selected_->entry].entry;
    if (now.path == path && now.shape == shape && selected_->box == box && selected_->float_dtype == float_dtype &&
        open_->dtype() == dtype) {
      return absl::OkStatus();
    }
  }
  selected_.reset();
  open_.reset();
  const auto none = [&] {
    return absl::NotFoundError(absl::StrCat("it has no such tensor of dtype ", DtypeName(dtype), " and shape ", ShapeToString(shape)));
  };
  const std::optional<size_t> entry = Find(path);
  if (!entry.has_value()) return none();
  next_ = *entry;
  if (manifest.entries[*entry].entry.shape != shape) return none();
  if (extents_ == nullptr) extents_ = std::make_unique<ExtentReader>(store_, options_.cache_bytes);
  absl::StatusOr<std::unique_ptr<EntryBytes>> opened =
      EntryBytes::Open(manifest, manifest.entries[*entry], box, float_dtype, *extents_);
  if (!opened.ok() || (*opened)->dtype() != dtype) return none();
  open_ = *std::move(opened);
  if (absl::Status room = MakeRoom(); !room.ok()) {
    open_.reset();
    return room;
  }
  selected_ = Selected{*entry, box, float_dtype};
  return absl::OkStatus();
}

// For what reading the selection comes back to: without it each row would cost a whole extent of every shard.
absl::Status BaseReader::MakeRoom() {
  const uint64_t wanted = open_->InterleavedBytes();
  const uint64_t extra = wanted - std::min(wanted, options_.cache_bytes);
  extents_->set_cache_bytes(options_.cache_bytes + extra);
  if (extra == extra_.bytes()) return absl::OkStatus();
  extra_.Release();
  if (extra == 0) return absl::OkStatus();
  if (options_.budget != nullptr && extra <= options_.max_extra_bytes) extra_ = options_.budget->TryAcquire(extra);
  if (extra_.bytes() == extra) return absl::OkStatus();
  extents_->set_cache_bytes(options_.cache_bytes);
  return absl::ResourceExhaustedError(absl::StrCat("it lies there in pieces between which reading goes to and fro, and for ", wanted,
                                                   " bytes of them there is no memory"));
}

absl::Status BaseReader::Read(uint64_t offset, absl::Span<char> dst) {
  if (open_ == nullptr) return absl::InternalError("bytes of a base were wanted before a box of it was selected");
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
  selected_.reset();
  open_.reset();
  extents_.reset();
  extra_.Release();
}

}  // namespace cairn
