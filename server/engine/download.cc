#include "server/engine/download.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "common/tensor/selection.h"

namespace cairn {
namespace {

// Path -> number. Assets come second: a tensor of the same name wins.
absl::flat_hash_map<KeyPath, size_t> IndexByPath(const Manifest& manifest) {
  absl::flat_hash_map<KeyPath, size_t> index;
  index.reserve(manifest.entries.size());
  for (size_t i = 0; i < manifest.entries.size(); ++i) {
    const Entry& entry = manifest.entries[i].entry;
    if (entry.kind == EntryKind::kAsset) {
      index.try_emplace(entry.path, i);
    } else {
      index[entry.path] = i;
    }
  }
  return index;
}

absl::Status NoEntry(const CheckpointRow& row, const KeyPath& path) {
  return WithErrorInfo(absl::NotFoundError(absl::StrCat(row.name, "@", row.step, ": no entry \"", path.ToString(), "\"")),
                       {"ENTRY_NOT_FOUND", {{"path", path.ToString()}, {"ref", absl::StrCat(row.name, "@", row.step)}}});
}

}  // namespace

absl::StatusOr<std::unique_ptr<Download>> Download::Open(std::shared_ptr<const OpenCheckpoint> checkpoint,
                                                         ObjectStore& store, DownloadRequest request,
                                                         DownloadOptions options) {
  auto download = std::unique_ptr<Download>(new Download(std::move(checkpoint), store, options));
  download->float_dtype_ = request.float_dtype;
  download->chunk_bytes_ = std::max<uint32_t>(request.chunk_bytes, 1);
  if (request.float_dtype.has_value() && !IsFloat(*request.float_dtype)) {
    return absl::InvalidArgumentError(absl::StrCat("float_dtype ", DtypeName(*request.float_dtype), " is no float dtype"));
  }
  CAIRN_RETURN_IF_ERROR(download->Resolve(request));

  // Opening every entry once finds each bad box or cast before anything is sent, and counts the bytes.
  uint64_t bytes_of_start = 0;
  for (size_t i = 0; i < download->items_.size(); ++i) {
    const Item& item = download->items_[i];
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<EntryBytes> bytes,
                           EntryBytes::Open(*download->checkpoint_->manifest, download->checkpoint_->manifest->entries[item.entry],
                                            item.box, download->float_dtype_, download->extents_));
    download->total_bytes_ += bytes->size();
    if (i == request.start_entry) bytes_of_start = bytes->size();
  }
  if (request.start_entry > download->items_.size() || request.start_offset > bytes_of_start) {
    return absl::OutOfRangeError(absl::StrCat("resume at entry ", request.start_entry, ", offset ", request.start_offset,
                                              ": the answer has ", download->items_.size(), " entries, and this one ",
                                              bytes_of_start, " bytes"));
  }
  std::vector<size_t> whole;
  for (size_t i = request.start_entry; i < download->items_.size(); ++i) {
    if (!download->items_[i].box.has_value()) whole.push_back(download->items_[i].entry);
  }
  download->read_ahead_ = std::make_unique<ReadAhead>(*download->checkpoint_->manifest, store, options.read_ahead_bytes,
                                                      std::move(whole));
  download->next_item_ = request.start_entry;
  download->next_offset_ = request.start_offset;
  return download;
}

absl::Status Download::Resolve(const DownloadRequest& request) {
  const Manifest& manifest = *checkpoint_->manifest;
  const int ways = !request.select.empty() + !request.boxes.empty() + !request.paths.empty();
  if (ways > 1) return absl::InvalidArgumentError("only one of select, boxes and paths may be given");
  if (request.boxes.empty() && request.paths.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const Selection selection, Selection::Parse(request.select));
    for (size_t i = 0; i < manifest.entries.size(); ++i) {
      if (selection.Matches(manifest.entries[i].entry.path)) items_.push_back({i, std::nullopt});
    }
    if (selection.empty()) return absl::OkStatus();
    std::vector<const KeyPath*> paths;
    paths.reserve(manifest.entries.size());
    for (const StoredEntry& stored : manifest.entries) paths.push_back(&stored.entry.path);
    const std::vector<std::string> unmatched = selection.Unmatched(paths);
    if (unmatched.empty()) return absl::OkStatus();
    return absl::NotFoundError(absl::StrCat(checkpoint_->row.name, "@", checkpoint_->row.step, ": nothing matches ",
                                            absl::StrJoin(unmatched, ", "), "; list the entries to see their key paths"));
  }
  const absl::flat_hash_map<KeyPath, size_t> index = IndexByPath(manifest);
  for (const KeyPath& path : request.paths) {
    const auto found = index.find(path);
    if (found == index.end()) return NoEntry(checkpoint_->row, path);
    items_.push_back({found->second, std::nullopt});
  }
  for (const BoxRead& read : request.boxes) {
    auto found = index.find(read.path);
    if (found == index.end()) return NoEntry(checkpoint_->row, read.path);
    // A box of an alias is a box of the tensor that it names.
    if (read.box.has_value() && manifest.entries[found->second].entry.kind == EntryKind::kAlias) {
      found = index.find(manifest.entries[found->second].entry.target);
      if (found == index.end()) return NoEntry(checkpoint_->row, read.path);
    }
    if (read.box.has_value() && manifest.entries[found->second].entry.kind != EntryKind::kTensor) {
      return absl::InvalidArgumentError(absl::StrCat("entry \"", read.path.ToString(), "\" is no tensor and has no boxes"));
    }
    items_.push_back({found->second, read.box});
  }
  return absl::OkStatus();
}

// Rows that lie in many shards need an extent of each at hand, or every row reads them all again.
void Download::SizeCacheFor(const StoredEntry& stored) {
  uint64_t wanted = 0;
  if (stored.shards.size() > 1) {
    for (const StoredShard& shard : stored.shards) wanted += shard.extents.empty() ? 0 : shard.extents[0].raw_bytes;
  }
  extra_.Release();
  if (options_.budget != nullptr && wanted > options_.cache_bytes) {
    extra_ = options_.budget->TryAcquire(std::min(wanted, options_.max_extra_bytes));
  }
  extents_.set_cache_bytes(options_.cache_bytes + extra_.bytes());
}

absl::StatusOr<std::optional<Download::Piece>> Download::Next() {
  if (next_item_ == items_.size()) return std::optional<Piece>();
  const Item& item = items_[next_item_];
  const StoredEntry& stored = checkpoint_->manifest->entries[item.entry];
  Piece piece;
  if (open_ == nullptr) {
    SizeCacheFor(stored);
    CAIRN_ASSIGN_OR_RETURN(open_, EntryBytes::Open(*checkpoint_->manifest, stored, item.box, float_dtype_, extents_));
    piece.start = &stored.entry;
    piece.box = open_->box();
  }
  piece.dtype = open_->dtype();
  piece.bytes = open_->size();
  piece.offset = next_offset_;
  if (next_offset_ < open_->size()) {
    if (!item.box.has_value()) {
      // A cast entry is read as it is stored.
      read_ahead_->Reached(finished_bytes_ + open_->StoredOffset(next_offset_));
    }
    CAIRN_ASSIGN_OR_RETURN(piece.data, open_->ReadSome(next_offset_, chunk_bytes_));
    next_offset_ += piece.data.size();
  }
  if (next_offset_ == open_->size()) {
    piece.finish = true;
    if (!item.box.has_value()) finished_bytes_ += open_->StoredOffset(open_->size());
    open_.reset();
    ++next_item_;
    next_offset_ = 0;
  }
  return std::optional<Piece>(std::move(piece));
}

}  // namespace cairn
