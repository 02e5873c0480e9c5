#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/format/format.h"

namespace cairn {

// The element operations of an arithmetic diff, as NumPy and ml_dtypes do them on the arrays of EasyLM's diff_checkpoint: in
// the dtype that both promote to (16-bit and smaller floats through float32, one rounding back), integers modulo their
// size. Bit for bit the same, NaNs included, but for the sum of two NaNs, of which NumPy takes now one and now the other.

// The dtype of target - base and base + diff; nothing where there is none: Booleans, packed and 2- and 4-bit types, an integer
// with anything else than itself.
std::optional<Dtype> ArithmeticDtype(Dtype a, Dtype b);

enum class ArithmeticOperation {
  kDifference,  // second - first: the diff of a base and a target.
  kSum,         // first + second: the target of a base and a diff.
};

struct ArithmeticOptions {
  ArithmeticOperation operation = ArithmeticOperation::kDifference;
  std::optional<Dtype> float_dtype;  // What results of bfloat16, float16, float32 and float64 are cast to. Nothing: as they are.
};

// The result as a reader. Of a difference also how much of the second would not come back from it.
//
// Both must have the same tensors, of the same shapes, and the same values; numbers among the values are computed, too. Assets
// are those of the second.
class ArithmeticReader final : public CheckpointReader {
 public:
  // FAILED_PRECONDITION, with the first of them, for trees that do not match; INVALID_ARGUMENT for entries that cannot be
  // computed. Both arguments must outlive it.
  static absl::StatusOr<std::unique_ptr<ArithmeticReader>> Open(CheckpointReader& first, CheckpointReader& second,
                                                                const ArithmeticOptions& options);

  const CheckpointIndex& index() const override { return index_; }
  absl::Status ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) override;
  absl::Status WillRead(absl::Span<const EntryRange> ranges) override;

  // Of a difference, of what has been read so far, each element once if entries are read front to back: elements of the
  // second, and those of them that first + difference, cast to the second's dtype, gives with other bits.
  uint64_t elements() const { return elements_; }
  uint64_t inexact() const { return inexact_; }

 private:
  struct Operands {
    std::optional<size_t> first;
    size_t second = 0;
    Dtype computed = Dtype::kInvalid;
    uint64_t counted = 0;  // Elements that have been looked at for inexact().
  };

  ArithmeticReader(CheckpointReader& first, CheckpointReader& second, const ArithmeticOptions& options)
      : first_(first), second_(second), options_(options) {}

  absl::Status MatchTrees();
  absl::StatusOr<Entry> ResultOf(const Entry& first, const Entry& second, Operands* operands) const;
  absl::Status Compute(Operands& operands, const Entry& result, uint64_t element, uint64_t count, absl::Span<char> dst);

  CheckpointReader& first_;
  CheckpointReader& second_;
  const ArithmeticOptions options_;
  CheckpointIndex index_;
  std::vector<Operands> operands_;  // By entry.
  std::vector<char> from_first_, from_second_, piece_, back_;
  uint64_t elements_ = 0, inexact_ = 0;
};

namespace diff_internal {
// One operation on whole elements; `result` is `computed` cast to `result_dtype` as NumPy casts. For tests too.
absl::Status ComputeElements(ArithmeticOperation operation, Dtype first_dtype, absl::Span<const char> first,
                             Dtype second_dtype, absl::Span<const char> second, Dtype result_dtype,
                             absl::Span<char> result);
}  // namespace diff_internal

}  // namespace cairn
