#include "common/format/dcp/chunk_grid.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"

namespace cairn {

absl::StatusOr<ChunkGrid> ChunkGrid::Create(absl::Span<const int64_t> shape, uint32_t element_size,
                                            absl::Span<const Box> chunks) {
  ChunkGrid grid;
  CAIRN_ASSIGN_OR_RETURN(const uint64_t elements, ElementCount(shape));
  const std::optional<uint64_t> bytes = CheckedMul(elements, uint64_t{element_size});
  if (!bytes.has_value() || *bytes > static_cast<uint64_t>(INT64_MAX)) {
    return absl::InvalidArgumentError(
        absl::StrCat("shape ", ShapeToString(shape), " has more bytes than can be counted"));
  }
  for (const Box& box : chunks) CAIRN_RETURN_IF_ERROR(CheckBox(box, shape));
  const Tiling tiling = CheckTiling(shape, chunks);
  if (tiling.verdict == Tiling::Verdict::kHole) {
    return absl::InvalidArgumentError(
        absl::StrCat("no chunk holds ", tiling.box.ToString(), " of shape ", ShapeToString(shape)));
  }
  if (tiling.verdict == Tiling::Verdict::kOverlap) {
    return absl::InvalidArgumentError(absl::StrCat("chunks ", chunks[tiling.first].ToString(), " and ",
                                                   chunks[tiling.second].ToString(), " overlap in ",
                                                   tiling.box.ToString()));
  }
  grid.byte_size_ = *bytes;
  grid.dims_.assign(shape.begin(), shape.end());
  grid.dims_.push_back(element_size);
  grid.inner_.resize(grid.dims_.size());
  uint64_t inner = 1;
  for (size_t d = grid.dims_.size(); d-- > 0;) {
    grid.inner_[d] = inner;
    inner *= static_cast<uint64_t>(std::max<int64_t>(1, grid.dims_[d]));
  }
  grid.chunks_ = chunks.size();
  grid.bounds_.reserve(chunks.size() * 2 * grid.dims_.size());
  for (const Box& box : chunks) {
    grid.bounds_.insert(grid.bounds_.end(), box.offset.begin(), box.offset.end());
    grid.bounds_.push_back(0);
    grid.bounds_.insert(grid.bounds_.end(), box.extent.begin(), box.extent.end());
    grid.bounds_.push_back(element_size);
  }
  grid.SortByBegin();
  return grid;
}

void ChunkGrid::SortByBegin() {
  if (chunks_ <= kFewChunks) return;
  by_begin_.resize(chunks_);
  for (size_t chunk = 0; chunk < chunks_; ++chunk) {
    const absl::Span<const int64_t> offset = Offset(chunk), extent = Extent(chunk);
    Reach& reach = by_begin_[chunk];
    reach = {0, 1, chunk};
    for (size_t d = 0; d < dims_.size(); ++d) {
      reach.begin += static_cast<uint64_t>(offset[d]) * inner_[d];
      reach.furthest_end += static_cast<uint64_t>(offset[d] + extent[d] - 1) * inner_[d];
    }
  }
  std::sort(by_begin_.begin(), by_begin_.end(), [](const Reach& a, const Reach& b) { return a.begin < b.begin; });
  for (size_t i = 1; i < chunks_; ++i) {
    by_begin_[i].furthest_end = std::max(by_begin_[i].furthest_end, by_begin_[i - 1].furthest_end);
  }
}

uint64_t ChunkGrid::chunk_bytes(size_t chunk) const {
  uint64_t bytes = 1;
  for (const int64_t extent : Extent(chunk)) bytes *= static_cast<uint64_t>(extent);
  return bytes;
}

uint64_t ChunkGrid::BytesBefore(size_t chunk, absl::Span<const int64_t> place) const {
  const absl::Span<const int64_t> offset = Offset(chunk), extent = Extent(chunk);
  uint64_t before = 0;
  uint64_t block = chunk_bytes(chunk);
  for (size_t d = 0; d < dims_.size(); ++d) {
    block /= static_cast<uint64_t>(extent[d]);
    if (place[d] < offset[d]) return before;
    const int64_t index = place[d] - offset[d];
    if (index >= extent[d]) return before + static_cast<uint64_t>(extent[d]) * block;
    before += static_cast<uint64_t>(index) * block;
  }
  return before;
}

absl::Status ChunkGrid::CopyRange(size_t chunk, uint64_t begin, uint64_t end, uint64_t tensor_begin,
                                  absl::Span<char> dst, std::vector<char>* scratch, ReadChunk read) const {
  const absl::Span<const int64_t> offset = Offset(chunk), extent = Extent(chunk);
  // Below dimension `cut` the chunk is as wide as the tensor: its bytes lie together in both.
  size_t cut = dims_.size() - 1;
  while (cut > 0 && extent[cut] == dims_[cut]) --cut;
  const uint64_t run = static_cast<uint64_t>(extent[cut]) * inner_[cut];

  // Counts through the runs, and where each begins in the tensor.
  std::vector<int64_t> index(cut);
  uint64_t at = static_cast<uint64_t>(offset[cut]) * inner_[cut];
  uint64_t row = begin / run;
  for (size_t d = cut; d-- > 0;) {
    index[d] = static_cast<int64_t>(row % static_cast<uint64_t>(extent[d]));
    row /= static_cast<uint64_t>(extent[d]);
    at += static_cast<uint64_t>(offset[d] + index[d]) * inner_[d];
  }
  const auto next_run = [&] {
    for (size_t d = cut; d-- > 0;) {
      at += inner_[d];
      if (++index[d] < extent[d]) return;
      at -= static_cast<uint64_t>(extent[d]) * inner_[d];
      index[d] = 0;
    }
  };

  uint64_t within = begin % run;
  while (begin < end) {
    const uint64_t left = std::min(run - within, end - begin);
    if (left == end - begin || run >= kDirectRun) {
      CAIRN_RETURN_IF_ERROR(read(chunk, begin, dst.subspan(at + within - tensor_begin, left)));
      begin += left;
      within = 0;
      next_run();
      continue;
    }
    const size_t size = std::min<uint64_t>(kWindow, end - begin);
    if (scratch->size() < size) scratch->resize(size);
    CAIRN_RETURN_IF_ERROR(read(chunk, begin, absl::MakeSpan(*scratch).first(size)));
    for (size_t done = 0; done < size;) {
      const size_t part = std::min<uint64_t>(run - within, size - done);
      std::memcpy(dst.data() + (at + within - tensor_begin), scratch->data() + done, part);
      done += part;
      within += part;
      if (within == run) {
        within = 0;
        next_run();
      }
    }
    begin += size;
  }
  return absl::OkStatus();
}

absl::Status ChunkGrid::ReadAt(uint64_t offset, absl::Span<char> dst, std::vector<char>* scratch,
                               ReadChunk read) const {
  if (dst.empty()) return absl::OkStatus();
  // The first dimension takes what is left: behind the last byte that is its far end.
  const auto place_of = [&](uint64_t byte) {
    std::vector<int64_t> place(dims_.size());
    for (size_t d = 0; d < dims_.size(); ++d) {
      place[d] = static_cast<int64_t>(byte / inner_[d]);
      byte %= inner_[d];
    }
    return place;
  };
  const std::vector<int64_t> first = place_of(offset), last = place_of(offset + dst.size());
  const auto copy = [&](size_t chunk) {
    const uint64_t begin = BytesBefore(chunk, first), end = BytesBefore(chunk, last);
    return begin < end ? CopyRange(chunk, begin, end, offset, dst, scratch, read) : absl::OkStatus();
  };
  if (by_begin_.empty()) {
    for (size_t chunk = 0; chunk < chunks_; ++chunk) CAIRN_RETURN_IF_ERROR(copy(chunk));
    return absl::OkStatus();
  }
  auto reach = std::upper_bound(by_begin_.begin(), by_begin_.end(), offset,
                                [](uint64_t at, const Reach& one) { return at < one.furthest_end; });
  for (; reach != by_begin_.end() && reach->begin < offset + dst.size(); ++reach) {
    CAIRN_RETURN_IF_ERROR(copy(reach->chunk));
  }
  return absl::OkStatus();
}

}  // namespace cairn
