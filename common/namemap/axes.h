#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/namemap/symbols.h"
#include "common/tensor/shape.h"

namespace cairn {

// One axis: a symbol ("heads") or a number ("2").
struct AxisTerm {
  std::string symbol;  // Empty: a number.
  int64_t number = 0;

  bool operator==(const AxisTerm&) const = default;
  auto operator<=>(const AxisTerm&) const = default;
};
using AxisProduct = std::vector<AxisTerm>;

// One dimension of a tensor as a product of axes, outermost first. At most one dimension of a tensor is cut into parts
// that lie one after the other: outer * (parts[0] + parts[1] + ...) * inner.
struct DimAxes {
  AxisProduct outer;
  std::vector<AxisProduct> parts;
  bool stacked = false;  // The parts are tensors that a placeholder of their names counts; each is one step wide.
  AxisProduct inner;
};

// The dimensions of a tensor, as name maps write them: "(heads 2 half) hidden", "(q_rows | kv_rows | kv_rows) hidden",
// "(groups (per_group | 1 | 1) head_dim)", "{e} rows hidden". NAMEMAP.md has the rules.
struct Axes {
  // INVALID_ARGUMENT for what is none.
  static absl::StatusOr<Axes> Parse(absl::string_view text);

  // Parts that the tensor consists of; 1 if it is not cut. Not for stacked ones, whose number the names give.
  size_t part_count() const;
  bool stacked() const;
  // The axes of one part, dimension by dimension. A stacked part has none for the stacked axis.
  std::vector<AxisProduct> Part(size_t part) const;

  std::string text;
  std::vector<DimAxes> dims;
  std::optional<size_t> cut;      // The dimension that has parts.
  std::string stack_placeholder;  // "e" of "{e}".
};

// The product, or nothing if a symbol is unknown or negative, or the product is beyond int64.
std::optional<int64_t> Evaluate(const AxisProduct& product, const Symbols& symbols);
// The size of a dimension; `stack` is the number of stacked parts.
std::optional<int64_t> Evaluate(const DimAxes& dim, const Symbols& symbols, int64_t stack);

// A symbol that begins with '_' belongs to one tensor (and its counterparts): others may have another number for it.
bool IsLocalSymbol(absl::string_view symbol);

// Finds the one symbol of a dimension that is not known from the dimension's size. False if there is nothing to find:
// none or several are unknown, it is local though `local` is false, or no number fits.
bool SolveFor(const DimAxes& dim, int64_t size, int64_t stack, bool local, Symbols& symbols);

// Symbols of the dimension that have no number yet.
std::vector<std::string> UnknownSymbols(const DimAxes& dim, const Symbols& symbols);

// "heads * 2 * half" with numbers where they are known: "heads=32 * 2 * half=64".
std::string Explain(const DimAxes& dim, const Symbols& symbols);

}  // namespace cairn
