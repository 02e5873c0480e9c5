#include "client/cpp/src/put_window.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace cairn::client {

absl::StatusOr<bool> PutWindow::Add(std::unique_ptr<UploadEntry> entry, SavedShards& saved) {
  CAIRN_ASSIGN_OR_RETURN(const uint64_t more, saved.CatchUp(*entry));
  if (more > 0) {
    counters_.Change([more](PutProgress& progress) {
      progress.skipped_bytes += more;
      progress.durable_bytes += more;
    });
  }
  if (entry->finished_earlier && entry->complete) {
    CountEntry();
    return false;
  }
  entries_.push_back(std::move(entry));
  return true;
}

void PutWindow::Push(Buffer bytes) {
  retained_ += bytes.size();
  entries_.back()->Push(std::move(bytes));
}

void PutWindow::CompleteLast() {
  entries_.back()->complete = true;
  if (!entries_.back()->finished_earlier) return;
  CountEntry();
  entries_.pop_back();
}

std::optional<PutWindow::Part> PutWindow::Next() const {
  if (next_ == entries_.size()) return std::nullopt;
  UploadEntry& entry = *entries_[next_];
  // A whole chunk, or what is left at the end.
  const uint64_t whole = limits_.chunk_bytes - entry.sent % limits_.chunk_bytes;
  const uint64_t have = entry.available() - entry.sent;
  const uint64_t bytes = entry.complete || have >= whole ? std::min(have, whole) : 0;
  if (bytes == 0 && !entry.complete) return std::nullopt;
  return Part{&entry, bytes, !entry.declared, entry.complete && entry.sent + bytes == entry.total()};
}

bool PutWindow::HasRoom(uint64_t bytes) const {
  return unacknowledged_ + bytes <= limits_.max_unacknowledged && next_ < limits_.max_entries;
}

void PutWindow::MarkSent(const Part& part, uint64_t wire_bytes) {
  if (part.declare) {
    part.entry->declared = true;
    part.entry->stream_index = declared_++;
  }
  part.entry->sent += part.bytes;
  unacknowledged_ += part.bytes;
  if (part.finish) ++next_;
  if (part.bytes == 0) return;
  counters_.Change([&](PutProgress& progress) {
    progress.sent_bytes += wire_bytes;
    progress.sent_raw_bytes += part.bytes;
  });
}

bool PutWindow::WantsFlush() const {
  return !flush_pending_ && (unacknowledged_ > limits_.max_unacknowledged / 4 * 3 ||
                             std::min(retained_, unacknowledged_) > limits_.max_retained / 4 * 3 ||
                             next_ > limits_.max_entries / 4 * 3);
}

absl::StatusOr<uint64_t> PutWindow::Acknowledge(const v1::PutTensorResponse& answer) {
  flush_pending_ = false;
  uint64_t more = 0, whole = 0;
  bool sane = answer.durable_entries() <= FinishedOnCall();
  for (; sane && next_ > 0 && entries_.front()->stream_index < answer.durable_entries(); ++whole) {
    more += SetDurable(*entries_.front(), entries_.front()->total());
    entries_.pop_front();
    --next_;
  }
  if (sane && !entries_.empty() && entries_.front()->declared &&
      entries_.front()->stream_index == answer.durable_entries()) {
    sane = answer.durable_offset() <= entries_.front()->sent;
    if (sane) more += SetDurable(*entries_.front(), answer.durable_offset());
  }
  unacknowledged_ -= more;
  const uint64_t deduplicated = answer.deduplicated_bytes() - std::min(deduplicated_, answer.deduplicated_bytes());
  counters_.Change([&](PutProgress& progress) {
    progress.durable_bytes += more;
    progress.durable_entries += whole;
    if (sane) progress.deduplicated_bytes += deduplicated;
  });
  if (!sane) {
    return absl::InternalError(absl::StrCat("the daemon acknowledged ", answer.durable_entries(), " entries and ",
                                            answer.durable_offset(), " bytes as durable, more than were sent"));
  }
  deduplicated_ = answer.deduplicated_bytes();
  return more;
}

UploadEntry* PutWindow::Find(absl::string_view path, absl::string_view box) {
  for (const std::unique_ptr<UploadEntry>& entry : entries_) {
    if (entry->box().has_value() && entry->entry().path.ToString() == path && entry->box()->ToString() == box) return entry.get();
  }
  return nullptr;
}

absl::StatusOr<uint64_t> PutWindow::Restart(SavedShards& saved) {
  next_ = 0;
  declared_ = 0;
  deduplicated_ = 0;
  unacknowledged_ = 0;
  flush_pending_ = false;
  uint64_t more = 0;
  std::deque<std::unique_ptr<UploadEntry>> left;
  for (std::unique_ptr<UploadEntry>& entry : entries_) {
    entry->declared = false;
    CAIRN_ASSIGN_OR_RETURN(const uint64_t found, saved.CatchUp(*entry));
    more += found;
    // What the daemon has of an entry may be more than was pushed of it so far.
    if (entry->pushed()) retained_ -= std::min(retained_, found);
    if (entry->finished_earlier && entry->complete) {
      CountEntry();
    } else {
      left.push_back(std::move(entry));
    }
  }
  entries_ = std::move(left);
  counters_.Change([more](PutProgress& progress) { progress.durable_bytes += more; });
  return more;
}

uint64_t PutWindow::FinishedOnCall() const {
  if (entries_.empty() || !entries_.front()->declared) return declared_;
  return entries_.front()->stream_index + next_;
}

uint64_t PutWindow::SetDurable(UploadEntry& entry, uint64_t durable) {
  const uint64_t more = entry.SetDurable(durable);
  if (entry.pushed()) retained_ -= more;
  return more;
}

void PutWindow::CountEntry() {
  counters_.Change([](PutProgress& progress) { ++progress.durable_entries; });
}

}  // namespace cairn::client
