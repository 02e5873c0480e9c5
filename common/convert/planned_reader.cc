#include "common/convert/planned_reader.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/cast/cast.h"

namespace cairn {
namespace {

constexpr uint64_t kWindowBytes = 1u << 20;
constexpr uint64_t kLargestElement = 16;

}  // namespace

absl::Status PlannedReader::ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) {
  const Entry& target = plan_.target.entries[entry];
  if (offset > target.byte_size || dst.size() > target.byte_size - offset) {
    return absl::OutOfRangeError(absl::StrCat("entry \"", target.path.ToString(), "\": bytes [", offset, ", ",
                                              offset, "+", dst.size(), ") of ", target.byte_size));
  }
  const ConvertPlan::Step& step = plan_.steps[entry];
  if (step.from == step.to) return source_.ReadAt(step.source_entry, offset, dst);
  return ReadCast(step, offset, dst);
}

absl::Status PlannedReader::WillRead(absl::Span<const EntryRange> ranges) {
  std::vector<EntryRange> source_ranges;
  source_ranges.reserve(ranges.size());
  for (const EntryRange& range : ranges) {
    const ConvertPlan::Step& step = plan_.steps[range.entry];
    EntryRange source{step.source_entry, range.offset, range.length};
    if (step.from != step.to) {
      const uint64_t from = static_cast<uint64_t>(BitWidth(step.from)) / 8,
                     to = static_cast<uint64_t>(BitWidth(step.to)) / 8;
      const uint64_t first = range.offset / to, last = (range.offset + range.length + to - 1) / to;
      source.offset = first * from;
      source.length = (last - first) * from;
    }
    source_ranges.push_back(source);
  }
  return source_.WillRead(source_ranges);
}

absl::Status PlannedReader::ReadCast(const ConvertPlan::Step& step, uint64_t offset, absl::Span<char> dst) {
  const uint64_t from_size = static_cast<uint64_t>(BitWidth(step.from)) / 8;
  const uint64_t to_size = static_cast<uint64_t>(BitWidth(step.to)) / 8;
  while (!dst.empty()) {
    const uint64_t element = offset / to_size;
    const uint64_t skip = offset % to_size;
    // Whole elements go straight into dst; one that is cut at either end goes over `piece`.
    std::array<char, kLargestElement> piece;
    const bool cut = skip != 0 || dst.size() < to_size;
    const uint64_t count =
        cut ? 1 : std::min<uint64_t>(dst.size() / to_size, std::max<uint64_t>(kWindowBytes / from_size, 1));
    if (window_.size() < count * from_size) window_.resize(count * from_size);
    const absl::Span<char> from = absl::MakeSpan(window_.data(), count * from_size);
    const absl::Span<char> to = cut ? absl::MakeSpan(piece.data(), to_size) : dst.subspan(0, count * to_size);
    CAIRN_RETURN_IF_ERROR(source_.ReadAt(step.source_entry, element * from_size, from));
    CAIRN_RETURN_IF_ERROR(CastElements(step.from, absl::string_view(from.data(), from.size()), step.to, to));
    uint64_t done = to.size();
    if (cut) {
      done = std::min<uint64_t>(to_size - skip, dst.size());
      std::memcpy(dst.data(), piece.data() + skip, done);
    }
    dst.remove_prefix(done);
    offset += done;
  }
  return absl::OkStatus();
}

}  // namespace cairn
