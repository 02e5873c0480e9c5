#include "common/tensor/shape.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr uint64_t kMaxInt64 = std::numeric_limits<int64_t>::max();

}  // namespace

std::string ShapeToString(absl::Span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

absl::StatusOr<uint64_t> ElementCount(absl::Span<const int64_t> shape) {
  if (shape.size() > kMaxRank) {
    return absl::InvalidArgumentError(
        absl::StrCat("shape of rank ", shape.size(), ": expected at most ", kMaxRank, " dimensions"));
  }
  bool empty = false;
  uint64_t count = 1;
  for (int64_t extent : shape) {
    if (extent < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("shape ", ShapeToString(shape), ": negative extent ", extent));
    }
    if (extent == 0) {
      empty = true;
      continue;
    }
    const auto product = CheckedMul(count, static_cast<uint64_t>(extent));
    if (!product.has_value() || *product > kMaxInt64) {
      return absl::InvalidArgumentError(absl::StrCat(
          "shape ", ShapeToString(shape), ": more elements than a signed 64-bit integer can count"));
    }
    count = *product;
  }
  return empty ? 0 : count;
}

absl::StatusOr<uint64_t> ByteSize(Dtype dtype, absl::Span<const int64_t> shape) {
  const uint64_t bits = BitWidth(dtype);
  if (bits == 0) {
    return absl::InvalidArgumentError(absl::StrCat("invalid dtype, number ", static_cast<int>(dtype)));
  }
  CAIRN_ASSIGN_OR_RETURN(const uint64_t count, ElementCount(shape));
  const bool whole_bytes = bits % 8 == 0;
  const auto product = CheckedMul(count, whole_bytes ? bits / 8 : bits);
  if (!product.has_value() || *product > kMaxInt64) {
    return absl::InvalidArgumentError(absl::StrCat(DtypeName(dtype), ShapeToString(shape),
                                                   ": more bytes than a signed 64-bit integer can count"));
  }
  if (whole_bytes) return *product;
  if (*product % 8 != 0) {
    return absl::InvalidArgumentError(absl::StrCat(DtypeName(dtype), ShapeToString(shape), ": ", count,
                                                   " elements of ", bits, " bits do not fill the last byte"));
  }
  return *product / 8;
}

Box Box::Whole(absl::Span<const int64_t> shape) {
  return Box{std::vector<int64_t>(shape.size(), 0), Shape(shape.begin(), shape.end())};
}

std::string Box::ToString() const {
  std::string text = "[";
  for (size_t d = 0; d < offset.size() && d < extent.size(); ++d) {
    absl::StrAppend(&text, d == 0 ? "" : ", ", offset[d], ":");
    int64_t end;  // Messages about boxes that nobody has checked are made here as well.
    if (__builtin_add_overflow(offset[d], extent[d], &end)) {
      absl::StrAppend(&text, offset[d], "+", extent[d]);
    } else {
      absl::StrAppend(&text, end);
    }
  }
  return text + "]";
}

absl::Status CheckBox(const Box& box, absl::Span<const int64_t> shape) {
  if (box.offset.size() != shape.size() || box.extent.size() != shape.size()) {
    return absl::InvalidArgumentError(absl::StrCat("box with offset ", ShapeToString(box.offset),
                                                   " and extent ", ShapeToString(box.extent),
                                                   ": expected the rank of shape ", ShapeToString(shape)));
  }
  for (size_t d = 0; d < shape.size(); ++d) {
    const int64_t offset = box.offset[d], extent = box.extent[d];
    if (offset < 0 || extent < 0 || offset > shape[d] || extent > shape[d] - offset) {
      return absl::InvalidArgumentError(absl::StrCat(
          "box with offset ", ShapeToString(box.offset), " and extent ", ShapeToString(box.extent),
          " leaves shape ", ShapeToString(shape), " in dimension ", d));
    }
  }
  return absl::OkStatus();
}

bool Intersect(const Box& a, const Box& b, Box* common) {
  const size_t rank = a.offset.size();
  Box box{std::vector<int64_t>(rank), Shape(rank)};
  for (size_t d = 0; d < rank; ++d) {
    const int64_t begin = std::max(a.offset[d], b.offset[d]);
    const int64_t end = std::min(a.offset[d] + a.extent[d], b.offset[d] + b.extent[d]);
    if (begin >= end) return false;
    box.offset[d] = begin;
    box.extent[d] = end - begin;
  }
  *common = std::move(box);
  return true;
}

}  // namespace cairn
