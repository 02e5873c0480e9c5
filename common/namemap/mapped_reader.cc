#include "common/namemap/mapped_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/view/strided_reader.h"

namespace cairn {
namespace {

constexpr uint64_t kMinPieceScratch = 256u << 10;

}  // namespace

// Reads a tensor that consists of pieces, run by run: a run is what one piece gives before the next one begins.
class MappedReader::PiecedTensor {
 public:
  PiecedTensor(CheckpointReader& source, const VirtualTensor& tensor, uint64_t scratch_bytes)
      : source_(source),
        tensor_(tensor),
        factors_(tensor.factors()),
        element_size_(static_cast<uint64_t>(BitWidth(tensor.dtype())) / 8),
        readers_(tensor.pieces().size()) {
    // Pieces meet along the factors before `whole_from_`; those from there on every piece has in full.
    whole_from_ = factors_.size();
    while (whole_from_ > 0 && HasWhole(whole_from_ - 1)) --whole_from_;
    for (size_t i = whole_from_; i < factors_.size(); ++i) inner_ *= static_cast<uint64_t>(factors_[i]);
    // Where pieces follow each other, one is read at a time.
    one_by_one_ = whole_from_ <= 1;
    scratch_bytes_ =
        one_by_one_ ? scratch_bytes : std::max(scratch_bytes / std::max<size_t>(readers_.size(), 1), kMinPieceScratch);
  }

  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) {
    while (!dst.empty()) {
      const uint64_t element = offset / element_size_;
      size_t piece = 0;
      uint64_t local = 0, available = 0;
      CAIRN_RETURN_IF_ERROR(Locate(element, &piece, &local, &available));
      const uint64_t cut = offset % element_size_;
      const uint64_t length = std::min<uint64_t>(dst.size(), available * element_size_ - cut);
      CAIRN_ASSIGN_OR_RETURN(StridedReader* const reader, ReaderOf(piece));
      CAIRN_RETURN_IF_ERROR(reader->ReadAt(local * element_size_ + cut, dst.subspan(0, length)));
      offset += length;
      dst.remove_prefix(length);
    }
    return absl::OkStatus();
  }

 private:
  bool HasWhole(size_t factor) const {
    return std::all_of(tensor_.pieces().begin(), tensor_.pieces().end(),
                       [&](const VirtualTensor::Piece& piece) { return piece.box.extent[factor] == factors_[factor]; });
  }

  // The piece that has an element of the tensor's row-major order, which of the piece's elements it is, and how many
  // follow in both orders.
  absl::Status Locate(uint64_t element, size_t* piece, uint64_t* local, uint64_t* available) {
    position_.assign(whole_from_, 0);
    uint64_t rest = element / inner_;
    for (size_t i = whole_from_; i-- > 0;) {
      position_[i] = static_cast<int64_t>(rest % static_cast<uint64_t>(factors_[i]));
      rest /= static_cast<uint64_t>(factors_[i]);
    }
    const size_t count = tensor_.pieces().size();
    for (size_t tried = 0; tried < count; ++tried) {
      const size_t candidate = (last_piece_ + tried) % count;
      const Box& box = tensor_.pieces()[candidate].box;
      if (!Contains(box)) continue;
      uint64_t row = 0;
      for (size_t i = 0; i < whole_from_; ++i) {
        row = row * static_cast<uint64_t>(box.extent[i]) + static_cast<uint64_t>(position_[i] - box.offset[i]);
      }
      const uint64_t rows = whole_from_ == 0
                                ? 1
                                : static_cast<uint64_t>(box.offset[whole_from_ - 1] + box.extent[whole_from_ - 1] -
                                                        position_[whole_from_ - 1]);
      *piece = last_piece_ = candidate;
      *local = row * inner_ + element % inner_;
      *available = rows * inner_ - element % inner_;
      return absl::OkStatus();
    }
    return absl::InternalError(absl::StrCat("no piece holds element ", element));
  }

  bool Contains(const Box& box) const {
    for (size_t i = 0; i < whole_from_; ++i) {
      if (position_[i] < box.offset[i] || position_[i] >= box.offset[i] + box.extent[i]) return false;
    }
    return true;
  }

  absl::StatusOr<StridedReader*> ReaderOf(size_t index) {
    if (readers_[index] != nullptr) return readers_[index].get();
    if (one_by_one_) {
      for (std::unique_ptr<StridedReader>& reader : readers_) reader.reset();
    }
    const VirtualTensor::Piece& piece = tensor_.pieces()[index];
    const StridedView view{piece.box.extent, piece.strides, piece.offset, static_cast<uint32_t>(element_size_)};
    const size_t entry = piece.source_entry;
    CAIRN_ASSIGN_OR_RETURN(readers_[index], StridedReader::Create(view, source_.index().entries[entry].byte_size,
                                                                  [this, entry](uint64_t offset, absl::Span<char> dst) {
                                                                    return source_.ReadAt(entry, offset, dst);
                                                                  },
                                                                  {.scratch_bytes = scratch_bytes_}));
    return readers_[index].get();
  }

  CheckpointReader& source_;
  const VirtualTensor& tensor_;
  const std::vector<int64_t> factors_;
  const uint64_t element_size_;
  size_t whole_from_ = 0;
  uint64_t inner_ = 1;
  bool one_by_one_ = false;
  uint64_t scratch_bytes_ = 0;
  size_t last_piece_ = 0;
  std::vector<int64_t> position_;
  std::vector<std::unique_ptr<StridedReader>> readers_;  // Per piece; null until it is read.
};

MappedReader::MappedReader(CheckpointReader& source, const MappedPlan& plan, MappedReadOptions options)
    : source_(source), plan_(plan), options_(options) {}

MappedReader::~MappedReader() = default;

absl::Status MappedReader::ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) {
  const Entry& target = plan_.target.entries[entry];
  if (offset > target.byte_size || dst.size() > target.byte_size - offset) {
    return absl::OutOfRangeError(absl::StrCat("entry \"", target.path.ToString(), "\": bytes [", offset, ", ", offset,
                                              "+", dst.size(), ") of ", target.byte_size));
  }
  if (dst.empty()) return absl::OkStatus();
  const MappedPlan::Origin& origin = plan_.origins[entry];
  if (origin.asset.has_value()) return source_.ReadAt(*origin.asset, offset, dst);
  if (!origin.tensor.has_value()) return absl::InternalError("an alias has no bytes");
  if (origin.tensor->IsWhole()) return source_.ReadAt(origin.tensor->pieces()[0].source_entry, offset, dst);
  if (current_ == nullptr || current_entry_ != entry) {
    current_ = nullptr;  // Its memory first.
    current_ = std::make_unique<PiecedTensor>(source_, *origin.tensor, options_.scratch_bytes);
    current_entry_ = entry;
  }
  return Annotate(current_->ReadAt(offset, dst), absl::StrCat("entry \"", target.path.ToString(), "\""));
}

absl::Status MappedReader::WillRead(absl::Span<const EntryRange> ranges) {
  std::vector<EntryRange> renamed;
  for (const EntryRange& range : ranges) {
    const MappedPlan::Origin& origin = plan_.origins[range.entry];
    if (origin.asset.has_value()) {
      renamed.push_back({*origin.asset, range.offset, range.length});
    } else if (origin.tensor.has_value() && origin.tensor->IsWhole() && !origin.tensor->pieces().empty()) {
      renamed.push_back({origin.tensor->pieces()[0].source_entry, range.offset, range.length});
    }
  }
  return source_.WillRead(renamed);
}

}  // namespace cairn
