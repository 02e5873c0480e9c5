#include "common/diff/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "common/diff/element_values.h"

namespace cairn {
namespace {

constexpr size_t kBlock = 1024;

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
  const size_t parts = diff_internal::ValuesPerElement(target_dtype);
  const size_t base_size = static_cast<size_t>(BitWidth(base_dtype)) / 8 / parts;
  const size_t target_size = static_cast<size_t>(BitWidth(target_dtype)) / 8 / parts;
  const size_t count = target.size() / target_size;
  std::array<double, kBlock> from, to;
  for (size_t done = 0; done < count;) {
    const size_t length = std::min(kBlock, count - done);
    const absl::string_view b = base.substr(done * base_size, length * base_size);
    const absl::string_view t = target.substr(done * target_size, length * target_size);
    diff_internal::LoadValues(base_dtype, b, from.data());
    diff_internal::LoadValues(target_dtype, t, to.data());
    if (one_dtype) {
      if (b != t) {
        for (size_t i = 0; i < length; ++i) {
          changed += std::memcmp(b.data() + i * base_size, t.data() + i * base_size, base_size) != 0;
        }
      }
    } else {
      for (size_t i = 0; i < length; ++i) changed += from[i] != to[i] && !(std::isnan(from[i]) && std::isnan(to[i]));
    }
    AddValues(from.data(), to.data(), length, tolerance);
    done += length;
  }
}

void TensorStatistics::AddValues(const double* base, const double* target, uint64_t count, const Tolerance& tolerance) {
  elements += count;
  // Zero times what is not finite is NaN.
  double odd = 0;
  for (uint64_t i = 0; i < count; ++i) odd += base[i] * 0.0 + target[i] * 0.0;
  const bool all_finite = odd == 0;
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
