#include "common/view/strided_reader.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/view/gather.h"
#include "common/view/tile.h"

namespace cairn {
namespace {

// Runs of this length are read where they lie, in whatever order they come.
constexpr uint64_t kLongRunBytes = 32u << 10;
constexpr uint64_t kMinScratchBytes = 4096;
constexpr uint64_t kMaxStagingBytes = 256u << 10;
// A read of so few elements, away from the last one, is somebody who looks at some values: no tile for them.
constexpr uint64_t kFewElements = 64;

absl::Status CheckRange(uint64_t offset, uint64_t length, uint64_t size) {
  if (offset <= size && length <= size - offset) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat("bytes [", offset, ", ", offset, "+", length, ") of a view of ", size));
}

// Row-major order is the storage's order, without overlaps.
bool IsOrdered(const StridedView& view) {
  uint64_t span = 1;
  for (size_t i = view.shape.size(); i-- > 0;) {
    const uint64_t stride = static_cast<uint64_t>(view.strides[i]);
    if (stride < span) return false;
    span += (static_cast<uint64_t>(view.shape[i]) - 1) * stride;
  }
  return true;
}

// The storage's element at a flat row-major index.
uint64_t StorageElement(const StridedView& view, uint64_t index) {
  uint64_t element = static_cast<uint64_t>(view.offset);
  for (size_t i = view.shape.size(); i-- > 0;) {
    const uint64_t extent = static_cast<uint64_t>(view.shape[i]);
    element += index % extent * static_cast<uint64_t>(view.strides[i]);
    index /= extent;
  }
  return element;
}

class EmptyReader final : public StridedReader {
 public:
  uint64_t size() const override { return 0; }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) override { return CheckRange(offset, dst.size(), 0); }
};

// Reads runs straight into the caller's memory. The view is coalesced, and its last dimension dense.
class RunReader final : public StridedReader {
 public:
  RunReader(StridedView view, StorageRead read, uint64_t scratch_bytes)
      : view_(std::move(view)),
        read_(std::move(read)),
        staging_bytes_(std::min(scratch_bytes, kMaxStagingBytes)),
        size_(ViewBytes(view_)),
        run_(static_cast<uint64_t>(view_.shape.back()) * view_.element_size) {
    const size_t rank = view_.shape.size();
    runs_ = rank > 1 ? static_cast<uint64_t>(view_.shape[rank - 2]) : 1;
    stride_ = rank > 1 ? static_cast<uint64_t>(view_.strides[rank - 2]) * view_.element_size : run_;
  }

  uint64_t size() const override { return size_; }

  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) override {
    CAIRN_RETURN_IF_ERROR(CheckRange(offset, dst.size(), size_));
    while (!dst.empty()) {
      const uint64_t in_run = offset % run_;
      const uint64_t from =
          StorageElement(view_, offset / view_.element_size) * view_.element_size + offset % view_.element_size;
      uint64_t done;
      if (in_run != 0 || dst.size() < run_) {
        done = std::min<uint64_t>(run_ - in_run, dst.size());
        CAIRN_RETURN_IF_ERROR(read_(from, dst.subspan(0, done)));
      } else {
        const uint64_t runs = std::min<uint64_t>(runs_ - offset / run_ % runs_, dst.size() / run_);
        done = runs * run_;
        if (runs > 1 && staging_.empty() && stride_ <= staging_bytes_ / 2) staging_.resize(staging_bytes_);
        CAIRN_RETURN_IF_ERROR(FetchRuns(from, run_, runs, stride_, read_, absl::MakeSpan(staging_), dst.data()));
      }
      offset += done;
      dst.remove_prefix(done);
    }
    return absl::OkStatus();
  }

 private:
  const StridedView view_;
  const StorageRead read_;
  const uint64_t staging_bytes_;
  const uint64_t size_;
  const uint64_t run_;   // Bytes of a run,
  uint64_t runs_ = 1;    // how many lie at a regular distance,
  uint64_t stride_ = 0;  // and that distance in bytes.
  std::vector<char> staging_;
};

// Reads the storage tile by tile. A tile is a run of the view's row-major order: some of dimension axis_, all of those
// after it, and one of each before it.
class TileReader final : public StridedReader {
 public:
  TileReader(StridedView view, StorageRead read, uint64_t scratch_bytes)
      : view_(std::move(view)), read_(std::move(read)), size_(ViewBytes(view_)) {
    staging_.resize(std::min(scratch_bytes / 8, kMaxStagingBytes));
    ChooseTile((scratch_bytes - staging_.size()) / view_.element_size);
  }

  uint64_t size() const override { return size_; }

  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) override {
    CAIRN_RETURN_IF_ERROR(CheckRange(offset, dst.size(), size_));
    const uint64_t element_size = view_.element_size;
    const bool sequential = offset == expected_;
    expected_ = offset + dst.size();
    while (!dst.empty()) {
      const uint64_t element = offset / element_size, skip = offset % element_size;
      // An element that is cut at either end goes over `cut_`.
      const bool cut = skip != 0 || dst.size() < element_size;
      uint64_t count = cut ? 1 : dst.size() / element_size;
      char* to = cut ? Cut() : dst.data();
      if (!sequential && !InTile(element) && count <= kFewElements) {
        count = 1;
        CAIRN_RETURN_IF_ERROR(read_(StorageElement(view_, element) * element_size, absl::MakeSpan(to, element_size)));
      } else {
        CAIRN_RETURN_IF_ERROR(MoveTile(element));
        count = std::min(count, tile_first_ + tile_count_ - element);
        gather_->Copy(memory_.data(), element - tile_first_, count, to);
      }
      uint64_t done = count * element_size;
      if (cut) {
        done = std::min<uint64_t>(element_size - skip, dst.size());
        std::memcpy(dst.data(), to + skip, done);
      }
      offset += done;
      dst.remove_prefix(done);
    }
    return absl::OkStatus();
  }

 private:
  char* Cut() {
    cut_.resize(view_.element_size);
    return cut_.data();
  }

  std::vector<int64_t> TileExtents(uint64_t along_axis) const {
    std::vector<int64_t> extents(view_.shape);
    std::fill(extents.begin(), extents.begin() + static_cast<ptrdiff_t>(axis_), 1);
    extents[axis_] = static_cast<int64_t>(along_axis);
    return extents;
  }

  uint64_t MemoryElements(uint64_t along_axis) const {
    return LayOutTile(TileExtents(along_axis), view_.strides).memory_elements;
  }

  // The largest tile that fits; of equal size with its siblings, as far as that goes.
  void ChooseTile(uint64_t budget) {
    while (axis_ + 1 < view_.shape.size() && MemoryElements(1) > budget) ++axis_;
    const uint64_t extent = static_cast<uint64_t>(view_.shape[axis_]);
    uint64_t fits = 1, too_many = extent + 1;
    while (fits + 1 < too_many) {
      const uint64_t middle = fits + (too_many - fits) / 2;
      (MemoryElements(middle) <= budget ? fits : too_many) = middle;
    }
    const uint64_t tiles = (extent + fits - 1) / fits;
    along_axis_ = (extent + tiles - 1) / tiles;
    // Pieces of whole cache lines, where the tile's edge cuts lines.
    const uint64_t line = std::max<uint64_t>(64 / view_.element_size, 1);
    if (along_axis_ < extent && along_axis_ > line) {
      const uint64_t rounded = (along_axis_ + line - 1) / line * line;
      along_axis_ = rounded <= fits ? rounded : along_axis_ / line * line;
    }
    row_elements_ = 1;
    for (size_t i = axis_ + 1; i < view_.shape.size(); ++i) row_elements_ *= static_cast<uint64_t>(view_.shape[i]);
  }

  bool InTile(uint64_t element) const { return element >= tile_first_ && element - tile_first_ < tile_count_; }

  absl::Status MoveTile(uint64_t element) {
    if (InTile(element)) return absl::OkStatus();
    const uint64_t extent = static_cast<uint64_t>(view_.shape[axis_]);
    const uint64_t row = element / row_elements_;
    const uint64_t start = row % extent / along_axis_ * along_axis_;
    const uint64_t rows = std::min(along_axis_, extent - start);
    if (gather_ == nullptr || rows != tile_rows_) {
      const std::vector<int64_t> extents = TileExtents(rows);
      layout_ = LayOutTile(extents, view_.strides);
      gather_ = std::make_unique<Gather>(extents, layout_.strides, view_.element_size);
      tile_rows_ = rows;
    }
    tile_count_ = 0;  // Until it is whole: a failed read leaves no tile.
    tile_first_ = (row - row % extent + start) * row_elements_;
    if (memory_.size() < layout_.memory_elements * view_.element_size) {
      memory_.resize(layout_.memory_elements * view_.element_size);
    }
    CAIRN_RETURN_IF_ERROR(FetchTile(layout_, StorageElement(view_, tile_first_), view_.element_size, read_,
                                    absl::MakeSpan(staging_), memory_.data()));
    tile_count_ = rows * row_elements_;
    return absl::OkStatus();
  }

  const StridedView view_;  // Coalesced.
  const StorageRead read_;
  const uint64_t size_;
  size_t axis_ = 0;
  uint64_t along_axis_ = 1;    // How much of axis_ a tile has,
  uint64_t row_elements_ = 1;  // and elements per step along it.

  uint64_t expected_ = 0;  // Where the last read ended.
  uint64_t tile_first_ = 0, tile_count_ = 0, tile_rows_ = 0;
  TileLayout layout_;
  std::unique_ptr<Gather> gather_;
  std::vector<char> memory_;
  std::vector<char> staging_;
  std::vector<char> cut_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StridedReader>> StridedReader::Create(StridedView view, uint64_t storage_bytes,
                                                                     StorageRead read,
                                                                     const StridedReadOptions& options) {
  if (view.element_size == 0) return absl::InvalidArgumentError("expected elements of at least one byte, found 0");
  CAIRN_RETURN_IF_ERROR(CheckView(view, storage_bytes / view.element_size));
  if (ViewBytes(view) == 0) return std::make_unique<EmptyReader>();
  StridedView joined = Coalesced(view);
  if (joined.shape.empty()) {
    joined.shape = {1};
    joined.strides = {1};
  }
  const uint64_t scratch = std::max(options.scratch_bytes, kMinScratchBytes);
  const uint64_t run = static_cast<uint64_t>(joined.shape.back()) * joined.element_size;
  if (joined.strides.back() == 1 && (run >= kLongRunBytes || IsOrdered(joined))) {
    return std::make_unique<RunReader>(std::move(joined), std::move(read), scratch);
  }
  return std::make_unique<TileReader>(std::move(joined), std::move(read), scratch);
}

}  // namespace cairn
