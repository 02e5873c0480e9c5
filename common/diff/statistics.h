#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "common/tensor/dtype.h"

namespace cairn {

// |target - base| <= absolute + relative * |base| is close enough.
struct Tolerance {
  double absolute = 0;
  double relative = 0;
  bool operator==(const Tolerance&) const = default;
};

// How the elements of two tensors differ, summed up: plain numbers, that may have come from elsewhere.
struct TensorSummary {
  bool has_values = true;  // False for packed dtypes: compared byte by byte, without numbers.
  uint64_t elements = 0;
  uint64_t changed = 0;  // Other bits; of two dtypes: other numbers.
  uint64_t outside = 0;  // Not close enough.
  uint64_t base_nan = 0, base_infinite = 0, target_nan = 0, target_infinite = 0;
  double max_absolute = 0, max_relative = 0;
  double mean_absolute = 0, mean_relative = 0;  // Relative: of elements whose base is not zero, as is max_relative.
  double norm = 0, base_norm = 0;               // L2, of target - base and of the base.
  double cosine = 1;                            // 1 if both are zero, 0 if one is.
  // norm / base_norm; infinite if the base is all zeros and the target is not.
  double RelativeNorm() const;
  bool operator==(const TensorSummary&) const = default;
};

// How the elements of two tensors differ. A complex number counts as its two parts.
//
// Numbers are compared in float64. Where either side is NaN or infinite there is no difference to sum up: such elements
// are counted, and left out of what follows. Two NaNs, and two infinities of one sign, count as close.
class TensorStatistics {
 public:
  // As many elements on both sides; dtypes may differ. Packed dtypes are compared byte by byte and have no numbers.
  void Add(Dtype base_dtype, absl::string_view base, Dtype target_dtype, absl::string_view target,
           const Tolerance& tolerance);
  // The same numbers as Add() of these bytes on both sides gives, to the last bit, with less work.
  void AddEqual(Dtype dtype, absl::string_view bytes);
  void Merge(const TensorStatistics& other);

  bool has_values = true;
  uint64_t elements = 0;
  uint64_t changed = 0;  // Other bits; of two dtypes: other numbers.
  uint64_t outside = 0;  // Not close enough.
  uint64_t base_nan = 0, base_infinite = 0, target_nan = 0, target_infinite = 0;
  double max_absolute = 0, max_relative = 0;

  TensorSummary Summary() const;

 private:
  double Cosine() const;
  void AddValues(const double* base, const double* target, uint64_t count, const Tolerance& tolerance);
  void AddOdd(double base, double target);
  // Of one block, and of kTogether whole ones.
  void AddEqualBlock(Dtype dtype, absl::string_view bytes);
  void AddEqualBlocks(Dtype dtype, absl::string_view bytes);

  uint64_t finite_ = 0, with_relative_ = 0;
  double sum_absolute_ = 0, sum_relative_ = 0, sum_squares_ = 0;
  double base_squares_ = 0, target_squares_ = 0, products_ = 0;
};

}  // namespace cairn
