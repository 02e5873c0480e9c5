#include "common/net/read_ahead.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace cairn {
namespace {

constexpr absl::Duration kLookEvery = absl::Milliseconds(100);
constexpr size_t kMostReadings = 64;  // Before those of files that nobody has open are forgotten.

}  // namespace

struct ReadAhead::Segment {
  uint64_t begin = 0;
  uint64_t end = 0;
  std::unique_ptr<char[]> bytes;
  bool done = false;
  bool dropped = false;  // Nobody finds it any more.
  absl::Status status;
  uint64_t used = 0;
};

struct ReadAhead::Reading {
  std::shared_ptr<const RangeFile> file;  // So that its address stays its own.
  Segments segments;                      // By where they begin; they do not overlap.
  uint64_t expected = 0;                  // Where a reader that goes on reads next.
  uint64_t run = 0;                       // Bytes that were read front to back until now.
};

ReadAhead::ReadAhead(ReadAheadOptions options) : options_(std::move(options)), pool_("fetch", options_.requests + 1) {}

ReadAhead::~ReadAhead() = default;

std::shared_ptr<ReadAhead::Segment> ReadAhead::Find(Reading& reading, uint64_t offset) {
  auto after = reading.segments.upper_bound(offset);
  if (after == reading.segments.begin()) return nullptr;
  const std::shared_ptr<Segment>& segment = std::prev(after)->second;
  return offset < segment->end ? segment : nullptr;
}

std::shared_ptr<ReadAhead::Segment> ReadAhead::Ask(const std::shared_ptr<const RangeFile>& file, Reading& reading, uint64_t offset, uint64_t length) {
  auto segment = std::make_shared<Segment>();
  segment->begin = offset;
  segment->end = std::min(file->size(), offset + std::min(length, options_.block_bytes));
  if (const auto next = reading.segments.upper_bound(offset); next != reading.segments.end()) segment->end = std::min(segment->end, next->first);
  segment->used = ++clock_;
  reading.segments[offset] = segment;
  ++pending_;
  pool_.Schedule([this, file, segment]() mutable {
    const uint64_t size = segment->end - segment->begin;
    std::unique_ptr<char[]> bytes(new char[size]);
    absl::Status status = file->Fetch(segment->begin, absl::MakeSpan(bytes.get(), size));
    absl::MutexLock lock(&mu_);
    --pending_;
    segment->bytes = std::move(bytes);
    segment->status = std::move(status);
    segment->done = true;
    if (!segment->dropped) held_ += size;
    MakeRoom();
    segment.reset();  // With the lock held: afterwards its readers alone have it, and the status that they copy.
  });
  return segment;
}

void ReadAhead::AskAhead(const std::shared_ptr<const RangeFile>& file, Reading& reading, uint64_t from) {
  // As much as was read in one go until now, so that at most half of what is fetched is fetched in vain.
  const uint64_t reach = std::min(reading.run, options_.block_bytes * static_cast<uint64_t>(options_.requests));
  const uint64_t end = std::min(file->size(), from + reach);
  uint64_t offset = from;
  while (offset < end && pending_ < options_.requests) {
    if (const std::shared_ptr<Segment> there = Find(reading, offset); there != nullptr) {
      offset = there->end;
    } else {
      // Of a whole block where the reader is fast enough to get there, so that requests stay few.
      if (end - offset < std::min(options_.block_bytes / 2, file->size() - offset)) return;
      offset = Ask(file, reading, offset, options_.block_bytes)->end;
    }
  }
}

void ReadAhead::Drop(Reading& reading, const std::shared_ptr<Segment>& segment) {
  if (segment->dropped) return;
  segment->dropped = true;
  reading.segments.erase(segment->begin);
  if (segment->done) held_ -= segment->end - segment->begin;
}

void ReadAhead::MakeRoom() {
  while (held_ > options_.memory_bytes) {
    Reading* in = nullptr;
    std::shared_ptr<Segment> oldest;
    for (const auto& [file, reading] : readings_) {
      for (const auto& [begin, segment] : reading->segments) {
        if (!segment->done || (oldest != nullptr && oldest->used < segment->used)) continue;
        oldest = segment;
        in = reading.get();
      }
    }
    if (oldest == nullptr) return;
    Drop(*in, oldest);
  }
}

void ReadAhead::ForgetClosed() {
  if (readings_.size() < kMostReadings) return;
  for (auto it = readings_.begin(); it != readings_.end();) {
    const bool closed = it->second != nullptr && it->second->segments.empty() && it->second->file.use_count() == 1;
    it = closed ? readings_.erase(it) : std::next(it);
  }
}

absl::Status ReadAhead::Read(const std::shared_ptr<const RangeFile>& file, uint64_t offset, absl::Span<char> dst) {
  if (offset > file->size() || dst.size() > file->size() - offset) {
    return absl::OutOfRangeError(absl::StrCat(file->name(), ": bytes [", offset, ", ", offset, "+", dst.size(), ") of ", file->size()));
  }
  absl::MutexLock lock(&mu_);
  std::unique_ptr<Reading>& slot = readings_[file.get()];
  if (slot == nullptr) {
    ForgetClosed();
    slot = std::make_unique<Reading>();
    slot->file = file;
  }
  Reading& reading = *slot;
  // A gap that is smaller than the least request costs less than to begin anew.
  const bool goes_on = offset >= reading.expected && offset - reading.expected <= options_.least_bytes && reading.run > 0;
  if (!goes_on) reading.run = 0;
  reading.expected = offset + dst.size();
  while (!dst.empty()) {
    std::shared_ptr<Segment> segment = Find(reading, offset);
    if (segment == nullptr) {
      const uint64_t least = goes_on ? std::clamp(reading.run, options_.least_bytes, options_.block_bytes) : options_.least_bytes;
      segment = Ask(file, reading, offset, std::max<uint64_t>(least, dst.size()));
    }
    segment->used = ++clock_;
    if (goes_on) AskAhead(file, reading, segment->end);
    while (!mu_.AwaitWithTimeout(absl::Condition(&segment->done), options_.interrupted ? kLookEvery : absl::InfiniteDuration())) {
      if (options_.interrupted()) return absl::CancelledError("cancelled by the caller");
    }
    if (!segment->status.ok()) {
      Drop(reading, segment);
      return segment->status;
    }
    const uint64_t count = std::min<uint64_t>(dst.size(), segment->end - offset);
    // Unlocked copies would be faster with many readers; there is one for each checkpoint.
    std::memcpy(dst.data(), segment->bytes.get() + (offset - segment->begin), count);
    dst.remove_prefix(count);
    offset += count;
    reading.run += count;
    // Whoever reads front to back does not come back.
    if (goes_on && offset == segment->end && segment->end - segment->begin >= options_.block_bytes / 2) Drop(reading, segment);
  }
  return absl::OkStatus();
}

}  // namespace cairn
