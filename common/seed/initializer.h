#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/seed/fill.h"

namespace cairn {

// What an initialisation may depend on besides its own numbers.
struct InitializedTensor {
  absl::Span<const int64_t> shape;
  std::optional<int64_t> layers;  // Of the model.
  std::optional<int64_t> layer;   // Which of them the tensor belongs to, from 0.
};

// A rule of initialisation: "normal(std=0.02, depth=model)". README.md lists them all.
class Initializer {
 public:
  // INVALID_ARGUMENT, with what there is, for an unknown function or argument, or a number that is none.
  static absl::StatusOr<Initializer> Parse(absl::string_view text);

  const std::string& text() const { return text_; }
  // INVALID_ARGUMENT where the tensor has no fan-in or no layer and the rule needs one, and for an interval that the
  // distribution practically never meets.
  absl::StatusOr<Fill> For(const InitializedTensor& tensor) const;

 private:
  double Number(const std::string& name, double otherwise) const;
  bool Has(const std::string& name) const { return numbers_.contains(name); }
  absl::Status Bad(absl::string_view what) const;
  absl::StatusOr<double> StandardDeviation(const InitializedTensor& tensor) const;
  absl::StatusOr<double> DepthDivisor(const InitializedTensor& tensor) const;
  absl::StatusOr<Fill> Truncated(double deviation) const;

  std::string text_;
  std::string function_;
  std::map<std::string, double> numbers_;
  std::string depth_;  // "", "model" or "layer".
};

}  // namespace cairn
