#include "common/format/llama/llama_joined.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/llama/llama_names.h"

namespace cairn {
namespace {

constexpr uint64_t kBlockBytes = 4u << 20;
constexpr uint64_t kCompareBytes = 256u << 10;

}  // namespace

absl::Status LlamaJoined::ReadAt(uint64_t offset, absl::Span<char> dst) {
  const uint64_t row_bytes = pieces_.row_bytes();
  // Large pieces, or one row alone: straight into the caller's memory.
  if (pieces_.rows == 1 || pieces_.slices == 1 || row_bytes > kBlockBytes) {
    while (!dst.empty()) {
      const uint64_t in_row = offset % row_bytes;
      const uint64_t slice = in_row / pieces_.piece_bytes;
      const uint64_t in_piece = in_row % pieces_.piece_bytes;
      uint64_t length = std::min<uint64_t>(dst.size(), pieces_.piece_bytes - in_piece);
      if (pieces_.slices == 1) length = dst.size();
      CAIRN_RETURN_IF_ERROR(ReadSlice(slice, offset / row_bytes * pieces_.piece_bytes + in_piece, dst.first(length)));
      offset += length;
      dst.remove_prefix(length);
    }
    return absl::OkStatus();
  }
  while (!dst.empty()) {
    const uint64_t row = offset / row_bytes;
    if (block_rows_ == 0 || row < block_row_ || row >= block_row_ + block_rows_) CAIRN_RETURN_IF_ERROR(MakeBlock(row));
    const uint64_t skip = offset - block_row_ * row_bytes;
    const uint64_t length = std::min<uint64_t>(dst.size(), block_rows_ * row_bytes - skip);
    std::memcpy(dst.data(), block_.data() + skip, length);
    offset += length;
    dst.remove_prefix(length);
  }
  return absl::OkStatus();
}

absl::Status LlamaJoined::MakeBlock(uint64_t row) {
  const uint64_t row_bytes = pieces_.row_bytes();
  const uint64_t rows = std::min(std::max<uint64_t>(kBlockBytes / row_bytes, 1), pieces_.rows - row);
  block_rows_ = 0;  // What a failed read leaves is no block.
  block_.resize(rows * row_bytes);
  staging_.resize(rows * pieces_.piece_bytes);
  for (uint64_t slice = 0; slice < pieces_.slices; ++slice) {
    CAIRN_RETURN_IF_ERROR(ReadSlice(slice, row * pieces_.piece_bytes, absl::MakeSpan(staging_)));
    char* to = block_.data() + slice * pieces_.piece_bytes;
    for (uint64_t i = 0; i < rows; ++i) std::memcpy(to + i * row_bytes, staging_.data() + i * pieces_.piece_bytes, pieces_.piece_bytes);
  }
  block_row_ = row;
  block_rows_ = rows;
  return absl::OkStatus();
}

absl::Status LlamaJoined::ReadSlice(uint64_t slice, uint64_t offset, absl::Span<char> dst) {
  const size_t first = slice * pieces_.copies;
  CAIRN_RETURN_IF_ERROR(read_(first, offset, dst));
  for (size_t part = first + 1; part < first + pieces_.copies; ++part) {
    for (uint64_t at = 0; at < dst.size(); at += kCompareBytes) {
      copy_.resize(std::min<uint64_t>(kCompareBytes, dst.size() - at));
      CAIRN_RETURN_IF_ERROR(read_(part, offset + at, absl::MakeSpan(copy_)));
      const auto [mine, other] = std::mismatch(copy_.begin(), copy_.end(), dst.begin() + static_cast<ptrdiff_t>(at));
      if (mine == copy_.end()) continue;
      return absl::InvalidArgumentError(absl::StrCat("byte ", offset + at + static_cast<uint64_t>(mine - copy_.begin()), " differs between ",
                                                     LlamaPartName(first), " and ", LlamaPartName(part),
                                                     ", expected copies of the same tensor: parts of two models, or damage"));
    }
  }
  return absl::OkStatus();
}

}  // namespace cairn
