#include "common/diff/statistics.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "common/diff/element_values.h"

namespace cairn {
namespace {

constexpr size_t kBlock = 1024;    // Values of which the sums are made before they are added to those of the tensor.
constexpr size_t kTogether = 4;    // Blocks whose sums are made side by side,
constexpr size_t kStep = 256;      // and how much of each at a time: it stays in the processor's cache.

size_t BytesPerValue(Dtype dtype) { return static_cast<size_t>(BitWidth(dtype)) / 8 / diff_internal::ValuesPerElement(dtype); }

// Twice the bits of a number, without its sign: 0 for zeros, and kOdd or more for what is not finite.
uint64_t Magnitude(double value) { return std::bit_cast<uint64_t>(value) << 1; }
constexpr uint64_t kOdd = uint64_t{0x7ff} << 53;

bool AllFinite(const double* values, uint64_t count) {
  uint64_t largest = 0;
  for (uint64_t i = 0; i < count; ++i) largest = std::max(largest, Magnitude(values[i]));
  return largest < kOdd;
}

}  // namespace

void TensorStatistics::Add(Dtype base_dtype, absl::string_view base, Dtype target_dtype, absl::string_view target,
                           const Tolerance& tolerance) {
  const bool one_dtype = base_dtype == target_dtype;
  if (!diff_internal::HasValues(base_dtype) || !diff_internal::HasValues(target_dtype)) {
    has_values = false;
    elements += target.size();
    uint64_t others = 0;
    for (size_t i = 0; i < target.size() && i < base.size(); ++i) others += base[i] != target[i];
    changed += others;
    outside += others;
    return;
  }
  const size_t base_size = BytesPerValue(base_dtype);
  const size_t target_size = BytesPerValue(target_dtype);
  const size_t count = target.size() / target_size;
  std::array<double, kBlock> from, to;
  for (size_t done = 0; done < count;) {
    const size_t length = std::min(kBlock, count - done);
    const absl::string_view b = base.substr(done * base_size, length * base_size);
    const absl::string_view t = target.substr(done * target_size, length * target_size);
    done += length;
    if (one_dtype && b == t) {
      AddEqualBlock(target_dtype, t);
      continue;
    }
    diff_internal::LoadValues(base_dtype, b, from.data());
    diff_internal::LoadValues(target_dtype, t, to.data());
    if (one_dtype) {
      for (size_t i = 0; i < length; ++i) {
        changed += std::memcmp(b.data() + i * base_size, t.data() + i * base_size, base_size) != 0;
      }
    } else {
      for (size_t i = 0; i < length; ++i) changed += from[i] != to[i] && !(std::isnan(from[i]) && std::isnan(to[i]));
    }
    AddValues(from.data(), to.data(), length, tolerance);
  }
}

void TensorStatistics::AddEqual(Dtype dtype, absl::string_view bytes) {
  if (!diff_internal::HasValues(dtype)) {
    has_values = false;
    elements += bytes.size();
    return;
  }
  const size_t block = kBlock * BytesPerValue(dtype);
  while (bytes.size() >= kTogether * block) {
    AddEqualBlocks(dtype, bytes.substr(0, kTogether * block));
    bytes.remove_prefix(kTogether * block);
  }
  while (!bytes.empty()) {
    AddEqualBlock(dtype, bytes.substr(0, block));
    bytes.remove_prefix(std::min(block, bytes.size()));
  }
}

void TensorStatistics::AddEqualBlock(Dtype dtype, absl::string_view bytes) {
  std::array<double, kBlock> values;
  diff_internal::LoadValues(dtype, bytes, values.data());
  const size_t count = bytes.size() / BytesPerValue(dtype);
  double squares = 0;
  uint64_t others_than_zero = 0;
  for (size_t i = 0; i < count; ++i) {
    squares += values[i] * values[i];
    others_than_zero += Magnitude(values[i]) != 0;
  }
  // Some are not finite, or so large that their squares are not: let those be told apart there.
  if (!std::isfinite(squares)) return AddValues(values.data(), values.data(), count, Tolerance());
  elements += count;
  finite_ += count;
  with_relative_ += others_than_zero;
  base_squares_ += squares;
  target_squares_ += squares;
  products_ += squares;
}

// A sum has an order, and so each addition waits for the one before it. Four sums wait at the same time.
void TensorStatistics::AddEqualBlocks(Dtype dtype, absl::string_view bytes) {
  const size_t size = BytesPerValue(dtype);
  std::array<double, kTogether * kStep> values;
  double first = 0, second = 0, third = 0, fourth = 0;
  uint64_t others_than_zero = 0;
  for (size_t at = 0; at < kBlock; at += kStep) {
    for (size_t block = 0; block < kTogether; ++block) {
      diff_internal::LoadValues(dtype, bytes.substr((block * kBlock + at) * size, kStep * size), values.data() + block * kStep);
    }
    for (size_t i = 0; i < kStep; ++i) {
      const double a = values[i], b = values[kStep + i], c = values[2 * kStep + i], d = values[3 * kStep + i];
      first += a * a;
      second += b * b;
      third += c * c;
      fourth += d * d;
      others_than_zero += (Magnitude(a) != 0) + (Magnitude(b) != 0) + (Magnitude(c) != 0) + (Magnitude(d) != 0);
    }
  }
  const std::array<double, kTogether> squares = {first, second, third, fourth};
  if (!std::all_of(squares.begin(), squares.end(), [](double sum) { return std::isfinite(sum); })) {
    for (size_t block = 0; block < kTogether; ++block) AddEqualBlock(dtype, bytes.substr(block * kBlock * size, kBlock * size));
    return;
  }
  elements += kTogether * kBlock;
  finite_ += kTogether * kBlock;
  with_relative_ += others_than_zero;
  for (const double sum : squares) {
    base_squares_ += sum;
    target_squares_ += sum;
    products_ += sum;
  }
}

void TensorStatistics::AddValues(const double* base, const double* target, uint64_t count, const Tolerance& tolerance) {
  elements += count;
  const bool all_finite = AllFinite(base, count) && AllFinite(target, count);
  // Block by block, so that sums of billions of elements lose no small ones.
  double absolute = 0, relative = 0, squares = 0, base_squares = 0, target_squares = 0, products = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const double b = base[i], t = target[i];
    if (!all_finite && !(std::isfinite(b) && std::isfinite(t))) {
      AddOdd(b, t);
      continue;
    }
    const double distance = std::fabs(t - b), size = std::fabs(b);
    ++finite_;
    absolute += distance;
    squares += distance * distance;
    base_squares += b * b;
    target_squares += t * t;
    products += b * t;
    max_absolute = std::max(max_absolute, distance);
    outside += distance > tolerance.absolute + tolerance.relative * size;
    if (size > 0) {
      ++with_relative_;
      if (distance > 0) {
        const double share = distance / size;
        relative += share;
        max_relative = std::max(max_relative, share);
      }
    }
  }
  sum_absolute_ += absolute;
  sum_relative_ += relative;
  sum_squares_ += squares;
  base_squares_ += base_squares;
  target_squares_ += target_squares;
  products_ += products;
}

void TensorStatistics::AddOdd(double base, double target) {
  base_nan += std::isnan(base);
  base_infinite += std::isinf(base);
  target_nan += std::isnan(target);
  target_infinite += std::isinf(target);
  const bool close = (std::isnan(base) && std::isnan(target)) || base == target;
  outside += !close;
}

void TensorStatistics::Merge(const TensorStatistics& other) {
  has_values = has_values && other.has_values;
  elements += other.elements;
  changed += other.changed;
  outside += other.outside;
  base_nan += other.base_nan;
  base_infinite += other.base_infinite;
  target_nan += other.target_nan;
  target_infinite += other.target_infinite;
  max_absolute = std::max(max_absolute, other.max_absolute);
  max_relative = std::max(max_relative, other.max_relative);
  finite_ += other.finite_;
  with_relative_ += other.with_relative_;
  sum_absolute_ += other.sum_absolute_;
  sum_relative_ += other.sum_relative_;
  sum_squares_ += other.sum_squares_;
  base_squares_ += other.base_squares_;
  target_squares_ += other.target_squares_;
  products_ += other.products_;
}

TensorSummary TensorStatistics::Summary() const {
  const auto mean = [](double sum, uint64_t count) { return count == 0 ? 0 : sum / static_cast<double>(count); };
  TensorSummary summary;
  summary.has_values = has_values;
  summary.elements = elements;
  summary.changed = changed;
  summary.outside = outside;
  summary.base_nan = base_nan;
  summary.base_infinite = base_infinite;
  summary.target_nan = target_nan;
  summary.target_infinite = target_infinite;
  summary.max_absolute = max_absolute;
  summary.max_relative = max_relative;
  summary.mean_absolute = mean(sum_absolute_, finite_);
  summary.mean_relative = mean(sum_relative_, with_relative_);
  summary.norm = std::sqrt(sum_squares_);
  summary.base_norm = std::sqrt(base_squares_);
  summary.cosine = Cosine();
  return summary;
}

double TensorStatistics::Cosine() const {
  if (base_squares_ == 0 && target_squares_ == 0) return 1;
  if (base_squares_ == 0 || target_squares_ == 0) return 0;
  return std::clamp(products_ / (std::sqrt(base_squares_) * std::sqrt(target_squares_)), -1.0, 1.0);
}

double TensorSummary::RelativeNorm() const {
  if (norm == 0) return 0;
  return base_norm == 0 ? std::numeric_limits<double>::infinity() : norm / base_norm;
}

}  // namespace cairn
