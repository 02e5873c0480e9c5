#include "common/convert/convert.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/cast/cast.h"

namespace cairn {
namespace {

bool HasBytes(const Entry& entry) {
  return entry.kind == EntryKind::kTensor || entry.kind == EntryKind::kAsset;
}

// Names the entry, unless whoever failed did so.
absl::Status AtEntry(const absl::Status& status, const Entry& entry) {
  if (status.ok() || absl::IsCancelled(status)) return status;
  const std::string path = entry.path.ToString();
  // A short path ("w") is part of most messages by chance; a quoted one is not.
  constexpr size_t kTellingLength = 8;
  if (absl::StrContains(status.message(), absl::StrCat("\"", path, "\"")) ||
      (path.size() >= kTellingLength && absl::StrContains(status.message(), path))) {
    return status;
  }
  return Annotate(status, absl::StrCat("entry \"", path, "\""));
}

class Conversion {
 public:
  Conversion(CheckpointReader& reader, const ConvertPlan& plan, CheckpointWriter& writer,
             const ConvertOptions& options)
      : reader_(reader), plan_(plan), writer_(writer), options_(options) {}

  absl::Status Run() {
    CAIRN_RETURN_IF_ERROR(options_.cancellation.Check());
    CAIRN_ASSIGN_OR_RETURN(const std::vector<size_t> order, writer_.Begin(plan_.target));
    CAIRN_RETURN_IF_ERROR(CheckOrder(order));
    CAIRN_RETURN_IF_ERROR(Announce(order));
    progress_.bytes_total = plan_.target.TotalBytes();
    progress_.entries_total = plan_.target.entries.size();
    // Values and aliases are written from the index.
    progress_.entries_done = progress_.entries_total - order.size();
    Report();
    for (const size_t i : order) {
      CAIRN_RETURN_IF_ERROR(AtEntry(CopyEntry(i), plan_.target.entries[i]));
      ++progress_.entries_done;
      Report();
    }
    CAIRN_RETURN_IF_ERROR(options_.cancellation.Check());
    return writer_.Finish();
  }

 private:
  // A writer that forgets an entry would lose it silently, unless it was told to drop what it cannot hold.
  absl::Status CheckOrder(const std::vector<size_t>& order) const {
    std::vector<bool> seen(plan_.target.entries.size());
    for (const size_t i : order) {
      if (i >= seen.size() || seen[i] || !HasBytes(plan_.target.entries[i])) {
        return absl::InternalError(absl::StrCat("the writer asks for entry ", i, " of ", seen.size(),
                                                ", which is unknown, asked for before or without bytes"));
      }
      seen[i] = true;
    }
    for (size_t i = 0; i < seen.size(); ++i) {
      if (HasBytes(plan_.target.entries[i]) && !seen[i] && !options_.may_drop) {
        return absl::InternalError(absl::StrCat("the writer does not ask for entry \"",
                                                plan_.target.entries[i].path.ToString(), "\""));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Announce(const std::vector<size_t>& order) {
    const std::vector<Entry>& sources = reader_.index().entries;
    std::vector<EntryRange> ranges;
    ranges.reserve(order.size());
    for (const size_t i : order) {
      const size_t source = plan_.steps[i].source_entry;
      if (sources[source].byte_size > 0) ranges.push_back({source, 0, sources[source].byte_size});
    }
    return reader_.WillRead(ranges);
  }

  absl::Status CopyEntry(size_t i) {
    const Entry& entry = plan_.target.entries[i];
    CAIRN_RETURN_IF_ERROR(options_.cancellation.Check());
    CAIRN_ASSIGN_OR_RETURN(const uint64_t start, writer_.StartEntry(i));
    if (start > entry.byte_size) {
      return absl::InternalError(
          absl::StrCat("the target wants bytes from offset ", start, " of an entry of ", entry.byte_size));
    }
    progress_.bytes_done += start;
    progress_.bytes_skipped += start;
    const ConvertPlan::Step& step = plan_.steps[i];
    CAIRN_RETURN_IF_ERROR(step.from == step.to ? CopyBytes(step, start, entry.byte_size)
                                               : CastBytes(step, start, entry.byte_size));
    return writer_.FinishEntry();
  }

  absl::Status CopyBytes(const ConvertPlan::Step& step, uint64_t offset, uint64_t end) {
    const uint64_t window = std::max<uint64_t>(options_.window_bytes, 1);
    while (offset < end) {
      CAIRN_RETURN_IF_ERROR(options_.cancellation.Check());
      const uint64_t length = std::min(window, end - offset);
      const absl::Span<char> bytes = Window(source_window_, length);
      CAIRN_RETURN_IF_ERROR(reader_.ReadAt(step.source_entry, offset, bytes));
      CAIRN_RETURN_IF_ERROR(Deliver(absl::string_view(bytes.data(), bytes.size())));
      offset += length;
    }
    return absl::OkStatus();
  }

  // `offset` and `end` are the target's. A resumed target may have stopped within an element: it is cast
  // again, and only its missing bytes are sent.
  absl::Status CastBytes(const ConvertPlan::Step& step, uint64_t offset, uint64_t end) {
    const uint64_t from_size = static_cast<uint64_t>(BitWidth(step.from)) / 8;
    const uint64_t to_size = static_cast<uint64_t>(BitWidth(step.to)) / 8;
    const uint64_t window = std::max<uint64_t>(options_.window_bytes / std::max(from_size, to_size), 1);
    uint64_t element = offset / to_size;
    uint64_t skip = offset % to_size;
    const uint64_t elements = end / to_size;
    while (element < elements) {
      CAIRN_RETURN_IF_ERROR(options_.cancellation.Check());
      const uint64_t count = std::min(window, elements - element);
      const absl::Span<char> from = Window(source_window_, count * from_size);
      const absl::Span<char> to = Window(target_window_, count * to_size);
      CAIRN_RETURN_IF_ERROR(reader_.ReadAt(step.source_entry, element * from_size, from));
      CAIRN_RETURN_IF_ERROR(
          CastElements(step.from, absl::string_view(from.data(), from.size()), step.to, to));
      absl::string_view bytes(to.data(), to.size());
      bytes.remove_prefix(skip);
      skip = 0;
      CAIRN_RETURN_IF_ERROR(Deliver(bytes));
      element += count;
    }
    return absl::OkStatus();
  }

  absl::Status Deliver(absl::string_view bytes) {
    CAIRN_RETURN_IF_ERROR(writer_.Append(bytes));
    progress_.bytes_done += bytes.size();
    Report();
    return absl::OkStatus();
  }

  void Report() const {
    if (options_.progress) options_.progress(progress_);
  }

  // The front of a window that grows up to the configured size and is used again.
  static absl::Span<char> Window(std::vector<char>& window, uint64_t length) {
    if (window.size() < length) window.resize(length);
    return absl::MakeSpan(window.data(), length);
  }

  CheckpointReader& reader_;
  const ConvertPlan& plan_;
  CheckpointWriter& writer_;
  const ConvertOptions& options_;
  ConvertProgress progress_;
  std::vector<char> source_window_;
  std::vector<char> target_window_;
};

}  // namespace

absl::Status RunConvert(CheckpointReader& reader, const ConvertPlan& plan, CheckpointWriter& writer,
                        const ConvertOptions& options) {
  return Conversion(reader, plan, writer, options).Run();
}

}  // namespace cairn
