#include "server/engine/stored_reader.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace cairn {

StoredReader::StoredReader(std::shared_ptr<const OpenCheckpoint> checkpoint, ObjectStore& store,
                           const DownloadOptions& options)
    : checkpoint_(std::move(checkpoint)), extents_(store, options.cache_bytes) {
  index_.metadata = checkpoint_->manifest->metadata;
  index_.entries.reserve(checkpoint_->manifest->entries.size());
  for (const StoredEntry& stored : checkpoint_->manifest->entries) index_.entries.push_back(stored.entry);
}

absl::Status StoredReader::ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) {
  const StoredEntry& stored = checkpoint_->manifest->entries[entry];
  if (open_entry_ != entry) {
    open_entry_.reset();
    CAIRN_ASSIGN_OR_RETURN(open_, EntryBytes::Open(*checkpoint_->manifest, stored, std::nullopt, std::nullopt, extents_));
    open_entry_ = entry;
  }
  if (offset > open_->size() || dst.size() > open_->size() - offset) {
    return absl::OutOfRangeError(absl::StrCat("\"", stored.entry.path.ToString(), "\": bytes [", offset, ", ", offset, "+",
                                              dst.size(), ") of ", open_->size()));
  }
  while (!dst.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const Buffer piece, open_->ReadSome(offset, dst.size()));
    std::memcpy(dst.data(), piece.data(), piece.size());
    offset += piece.size();
    dst.remove_prefix(piece.size());
  }
  return absl::OkStatus();
}

}  // namespace cairn
