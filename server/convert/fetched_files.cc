#include "server/convert/fetched_files.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/io/file_name.h"
#include "server/convert/fetched_tree.h"

namespace cairn {
namespace {

// Borders of ranges, so that small reads beside each other become one.
constexpr uint64_t kAlignment = 64u << 10;
// A gap that still counts as going front to back: headers between tensors.
constexpr uint64_t kGap = 64u << 10;

}  // namespace

absl::StatusOr<std::shared_ptr<FetchedFiles>> FetchedFiles::Create(std::vector<FetchableFile> files, FetchedFilesOptions options, Ask ask) {
  std::shared_ptr<FetchedFiles> fetched(new FetchedFiles(std::move(files), std::move(options), std::move(ask)));
  CAIRN_RETURN_IF_ERROR(fetched->TakeNames());
  return fetched;
}

absl::Status FetchedFiles::TakeNames() {
  bool lone = false, folder = false;
  for (uint32_t i = 0; i < files_.size(); ++i) {
    const FetchableFile& file = files_[i];
    if (!file.name.empty()) CAIRN_RETURN_IF_ERROR(CheckFileName(options_.name, file.name));
    (file.name.empty() ? lone : folder) |= !file.beside;
    if (!(file.beside ? beside_ : names_).emplace(file.name, i).second || (file.beside && file.name.empty())) {
      return absl::InvalidArgumentError(absl::StrCat(options_.name, ": the file \"", file.name, "\" is listed twice"));
    }
  }
  if ((lone && folder) || (!lone && !beside_.empty())) {
    return absl::InvalidArgumentError(absl::StrCat(options_.name, ": expected one file without a name, or files of a folder, found both"));
  }
  return absl::OkStatus();
}

std::shared_ptr<const SourceTree> FetchedFiles::Tree() const {
  if (names_.count("") != 0) return std::make_shared<FetchedFile>(shared_from_this(), names_.at(""), options_.name);
  return std::make_shared<FetchedFolder>(shared_from_this(), names_, "", options_.name);
}

absl::Status FetchedFiles::Answer(uint64_t id, uint64_t offset, std::vector<Buffer> pieces) {
  absl::MutexLock lock(&mu_);
  const auto found = asked_.find(id);
  if (found == asked_.end()) return absl::InvalidArgumentError(absl::StrCat("bytes for read ", id, ", which was not asked for"));
  Range& range = *found->second;
  if (const uint64_t bytes = TotalSize(pieces); offset != range.what.offset || bytes != range.what.length) {
    return absl::InvalidArgumentError(absl::StrCat(options_.name, ": file \"", files_[range.what.file].name, "\": expected ", range.what.length,
                                                   " bytes at offset ", range.what.offset, " as the answer to read ", id, ", found ", bytes,
                                                   " bytes at offset ", offset));
  }
  range.pieces = std::move(pieces);
  range.answered = true;
  asked_.erase(found);
  return absl::OkStatus();
}

void FetchedFiles::Fail(absl::Status status) {
  absl::MutexLock lock(&mu_);
  if (failure_.ok()) failure_ = std::move(status);
}

absl::Status FetchedFiles::status() const {
  absl::MutexLock lock(&mu_);
  return failure_;
}

size_t FetchedFiles::asked() const {
  absl::MutexLock lock(&mu_);
  return asked_.size();
}

absl::Status FetchedFiles::Read(uint32_t file, uint64_t offset, absl::Span<char> dst) const {
  const uint64_t size = files_[file].size;
  if (offset > size || dst.size() > size - offset) {
    return absl::OutOfRangeError(absl::StrCat(options_.name, ": file \"", files_[file].name, "\": bytes [", offset, ", ", offset, "+",
                                              dst.size(), ") of ", size));
  }
  if (dst.empty()) return absl::OkStatus();
  uint64_t want = offset + dst.size();
  {
    absl::MutexLock lock(&mu_);
    Reading& reading = reading_[file];
    const bool onward = offset >= reading.next && offset - reading.next <= kGap;
    reading.ahead = onward ? std::min<uint64_t>(std::max<uint64_t>(2 * reading.ahead, dst.size()), options_.window_bytes / 2) : 0;
    reading.next = want;
    want += std::min(reading.ahead, size - want);
  }
  while (!dst.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<Range> range, Await(file, offset, want));
    uint64_t skip = offset - range->what.offset;
    uint64_t copied = 0;
    for (const Buffer& piece : range->pieces) {
      if (skip >= piece.size()) {
        skip -= piece.size();
        continue;
      }
      const size_t bytes = std::min<size_t>(piece.size() - skip, dst.size());
      std::memcpy(dst.data(), piece.data() + skip, bytes);
      dst.remove_prefix(bytes);
      copied += bytes;
      skip = 0;
      if (dst.empty()) break;
    }
    offset += copied;
    if (offset == range->what.offset + range->what.length) {
      absl::MutexLock lock(&mu_);
      range->used_up = true;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<FetchedFiles::Range>> FetchedFiles::Await(uint32_t file, uint64_t offset, uint64_t end) const {
  std::shared_ptr<Range> range;
  while (range == nullptr) {
    std::vector<FetchedRange> missing;
    {
      absl::MutexLock lock(&mu_);
      if (!failure_.ok()) return failure_;
      missing = Missing(file, offset, end);
      range = Find(file, offset);
      if (range == nullptr) {
        // All of the window is on its way for other readers.
        const auto fewer = [this, asked = asked_.size()]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
          return asked_.size() < asked || !failure_.ok();
        };
        mu_.Await(absl::Condition(&fewer));
      }
    }
    if (!missing.empty()) ask_(std::move(missing));
  }
  absl::MutexLock lock(&mu_);
  const auto ready = [this, &range]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return range->answered || !failure_.ok(); };
  mu_.Await(absl::Condition(&ready));
  if (!range->answered) return failure_;
  return range;
}

std::shared_ptr<FetchedFiles::Range> FetchedFiles::Find(uint32_t file, uint64_t offset) const {
  auto after = ranges_.upper_bound({file, offset});
  if (after == ranges_.begin()) return nullptr;
  const std::shared_ptr<Range>& range = std::prev(after)->second;
  if (range->what.file != file || offset - range->what.offset >= range->what.length) return nullptr;
  return range;
}

std::vector<FetchedRange> FetchedFiles::Missing(uint32_t file, uint64_t offset, uint64_t end) const {
  const uint64_t alignment = std::min<uint64_t>(kAlignment, options_.range_bytes);
  const uint64_t size = files_[file].size;
  const uint64_t stop = end > size - std::min(size, alignment) ? size : (end + alignment - 1) / alignment * alignment;
  std::vector<FetchedRange> missing;
  for (uint64_t at = offset; at < stop;) {
    if (const std::shared_ptr<Range> there = Find(file, at); there != nullptr) {
      at = there->what.offset + there->what.length;
      continue;
    }
    // From the border before it, but not into the range that ends there; up to the next one.
    uint64_t begin = at / alignment * alignment;
    uint64_t limit = stop;
    const auto next = ranges_.upper_bound({file, at});
    if (next != ranges_.end() && next->first.first == file) limit = std::min(limit, next->first.second);
    if (next != ranges_.begin()) {
      const FetchedRange& before = std::prev(next)->second->what;
      if (before.file == file) begin = std::max(begin, before.offset + before.length);
    }
    const uint32_t length = static_cast<uint32_t>(std::min<uint64_t>(limit - begin, options_.range_bytes));
    if (!MakeRoom(length, file, offset, at)) break;
    auto range = std::make_shared<Range>();
    range->what = {++last_id_, file, begin, length};
    ranges_.emplace(std::pair(file, begin), range);
    asked_.emplace(range->what.id, range);
    held_ += length;
    missing.push_back(range->what);
    at = begin + length;
  }
  return missing;
}

// Throws away what was read to its end, then what was asked for first; never what is under way, or what [begin, end) of
// the file needs. Where nothing is under way, and that range is empty, there is always room.
bool FetchedFiles::MakeRoom(uint64_t bytes, uint32_t file, uint64_t begin, uint64_t end) const {
  while (held_ > 0 && held_ + bytes > options_.window_bytes) {
    auto victim = ranges_.end();
    for (auto it = ranges_.begin(); it != ranges_.end(); ++it) {
      const Range& range = *it->second;
      if (!range.answered) continue;
      if (range.what.file == file && range.what.offset < end && range.what.offset + range.what.length > begin) continue;
      const auto rank = [](const Range& r) { return std::pair(!r.used_up, r.what.id); };
      if (victim == ranges_.end() || rank(range) < rank(*victim->second)) victim = it;
    }
    if (victim == ranges_.end()) return false;
    held_ -= victim->second->what.length;
    ranges_.erase(victim);
  }
  return true;
}

}  // namespace cairn
