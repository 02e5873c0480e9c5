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

// Small entries are read together with their neighbours even by a download that has no memory for reading ahead.
constexpr uint64_t kWindowWithoutMemory = 256u << 10;
constexpr size_t kMaxOpened = 1024;
// Smaller ones travel faster than what says where they are.
constexpr uint32_t kMinFileRange = 256u << 10;

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
                                                         DownloadOptions options, ThreadPool* readers) {
  auto download = std::unique_ptr<Download>(new Download(std::move(checkpoint), store, options, readers));
  download->float_dtype_ = request.float_dtype;
  download->files_ = request.files;
  download->chunk_bytes_ = std::max<uint32_t>(request.chunk_bytes, 1);
  if (request.float_dtype.has_value() && !IsFloat(*request.float_dtype)) {
    return absl::InvalidArgumentError(absl::StrCat("float_dtype ", DtypeName(*request.float_dtype), " is no float dtype"));
  }
  CAIRN_RETURN_IF_ERROR(download->Resolve(request));

  // Opening every entry once finds each bad box or cast before anything is sent, and counts the bytes.
  uint64_t bytes_of_start = 0;
  for (size_t i = 0; i < download->items_.size(); ++i) {
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<EntryBytes> bytes, download->OpenItem(i));
    download->total_bytes_ += bytes->size();
    if (i == request.start_entry) bytes_of_start = bytes->size();
  }
  if (request.start_entry > download->items_.size() || request.start_offset > bytes_of_start) {
    return absl::OutOfRangeError(absl::StrCat("resume at entry ", request.start_entry, ", offset ", request.start_offset,
                                              ": the answer has ", download->items_.size(), " entries, and this one ",
                                              bytes_of_start, " bytes"));
  }
  download->next_item_ = download->ahead_item_ = request.start_entry;
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
  // One shard is read front to back: what was read last is enough.
  extents_.set_cache_bytes(wanted == 0 ? 0 : options_.cache_bytes + extra_.bytes());
}

absl::StatusOr<std::unique_ptr<EntryBytes>> Download::OpenItem(size_t item) {
  const Manifest& manifest = *checkpoint_->manifest;
  return EntryBytes::Open(manifest, manifest.entries[items_[item].entry], items_[item].box, float_dtype_, extents_);
}

// How far ahead to read: as far as there is memory that nobody else needs.
uint64_t Download::AheadWindow() {
  if (options_.budget == nullptr || readers_ == nullptr) return kWindowWithoutMemory;
  if (ahead_memory_ != nullptr && options_.budget->HasWaiters()) ahead_memory_.reset();
  if (ahead_memory_ == nullptr) {
    // The other half is for streams that have nothing yet.
    ByteBudget::Reservation memory = options_.budget->TryAcquire(options_.read_ahead_bytes, options_.budget->limit() / 2);
    if (memory.bytes() == 0) return kWindowWithoutMemory;
    ahead_memory_ = std::make_shared<const ByteBudget::Reservation>(std::move(memory));
  }
  return ahead_memory_->bytes();
}

// Announces what is asked for next, a good piece at a time: neighbours are read together.
void Download::LookAhead() {
  const uint64_t position = finished_bytes_ + opened_.front()->StoredOffset(next_offset_);
  if (ahead_position_ < position || ahead_item_ < next_item_) {
    ahead_item_ = next_item_;
    ahead_offset_ = position - finished_bytes_;
    ahead_position_ = position;
  }
  if (ahead_item_ == items_.size() || ahead_position_ > position + refill_below_) return;
  const uint64_t window = AheadWindow();
  refill_below_ = window - window / 4;
  while (ahead_position_ < position + window && extents_.ahead_bytes() < window && ahead_item_ < items_.size() &&
         ahead_item_ - next_item_ < kMaxOpened) {
    if (ahead_item_ == next_item_ + opened_.size()) {
      absl::StatusOr<std::unique_ptr<EntryBytes>> opened = OpenItem(ahead_item_);
      if (!opened.ok()) break;  // Next() will say so.
      opened_.push_back(*std::move(opened));
    }
    EntryBytes& bytes = *opened_[ahead_item_ - next_item_];
    if (ahead_offset_ >= bytes.stored_size()) {
      ++ahead_item_;
      ahead_offset_ = 0;
      continue;
    }
    const std::optional<EntryBytes::Step> step = bytes.StepAt(ahead_offset_, chunk_bytes_);
    if (!step.has_value()) break;
    // Without memory of its own only small ones are read ahead, with their neighbours.
    if (files_ != nullptr && IsBestReadAsFile(*step)) {
      as_file_.push_back(ahead_position_);
    } else if (step->extent->raw_bytes < window) {
      extents_.WillRead(*checkpoint_->manifest, *step->extent, step->whole);
    }
    ahead_offset_ += step->length;
    ahead_position_ += step->length;
  }
  extents_.StartAhead(ahead_memory_ == nullptr ? nullptr : readers_, ahead_memory_);
}

// Whole extents that lie in the store as they are, and that the store would read as anybody else does.
bool Download::IsBestReadAsFile(const EntryBytes::Step& step) const {
  const Extent& extent = *step.extent;
  return step.whole && extent.encoding == ExtentEncoding::kRaw && extent.raw_bytes >= kMinFileRange &&
         extent.digest.algorithm() == DigestAlgorithm::kXxh3 &&
         !store_.WillRead(checkpoint_->manifest->objects[extent.object], extent.offset, extent.stored_bytes);
}

std::optional<uint32_t> Download::FileNumber(uint32_t object) {
  const auto [found, is_new] = file_numbers_.try_emplace(object, static_cast<uint32_t>(file_numbers_.size()));
  if (!is_new) return found->second;
  const absl::StatusOr<UniqueFd> file = store_.OpenAsFile(checkpoint_->manifest->objects[object]);
  if (file.ok() && files_->Give(found->second, file->get())) return found->second;
  files_ = nullptr;
  as_file_.clear();
  return std::nullopt;
}

std::optional<Download::FileRange> Download::NextFileRange() {
  EntryBytes& open = *opened_.front();
  const uint64_t position = finished_bytes_ + open.StoredOffset(next_offset_);
  while (!as_file_.empty() && as_file_.front() < position) as_file_.pop_front();
  if (as_file_.empty() || as_file_.front() != position) return std::nullopt;
  as_file_.pop_front();
  const std::optional<EntryBytes::Step> step = open.StepAt(next_offset_, chunk_bytes_);
  if (!step.has_value()) return std::nullopt;
  const std::optional<uint32_t> file = FileNumber(step->extent->object);
  if (!file.has_value()) return std::nullopt;
  return FileRange{next_offset_, step->extent->raw_bytes, *file, step->extent->offset, step->extent->digest};
}

absl::StatusOr<std::optional<Download::Piece>> Download::Next() {
  if (next_item_ == items_.size()) return std::optional<Piece>();
  const StoredEntry& stored = checkpoint_->manifest->entries[items_[next_item_].entry];
  if (opened_.empty()) {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<EntryBytes> opened, OpenItem(next_item_));
    opened_.push_back(std::move(opened));
  }
  LookAhead();
  EntryBytes& open = *opened_.front();
  Piece piece;
  if (!in_item_) {
    in_item_ = true;
    SizeCacheFor(stored);
    piece.start = &stored.entry;
    piece.box = open.box();
  }
  piece.dtype = open.dtype();
  piece.bytes = open.size();
  piece.offset = next_offset_;
  while (next_offset_ < open.size() && piece.ranges.size() < kMaxFileRanges) {
    if (!piece.ranges.empty()) LookAhead();
    const std::optional<FileRange> range = NextFileRange();
    if (!range.has_value()) break;
    next_offset_ += range->bytes;
    piece.ranges.push_back(*range);
  }
  if (next_offset_ < open.size() && piece.ranges.empty()) {
    CAIRN_ASSIGN_OR_RETURN(piece.data, open.ReadSome(next_offset_, chunk_bytes_, &piece.crc32c));
    next_offset_ += piece.data.size();
  }
  if (next_offset_ == open.size()) {
    piece.finish = true;
    finished_bytes_ += open.stored_size();
    opened_.pop_front();
    in_item_ = false;
    ++next_item_;
    next_offset_ = 0;
  }
  return std::optional<Piece>(std::move(piece));
}

}  // namespace cairn
