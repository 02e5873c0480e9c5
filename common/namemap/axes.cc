#include "common/namemap/axes.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

// Words, braces, parentheses and bars.
class AxesParser {
 public:
  explicit AxesParser(absl::string_view text) : rest_(text) { axes_.text = std::string(text); }

  absl::StatusOr<Axes> Parse() {
    for (Skip(); !rest_.empty(); Skip()) {
      DimAxes dim;
      if (Take('(')) {
        CAIRN_RETURN_IF_ERROR(ParseDim(dim));
      } else {
        CAIRN_RETURN_IF_ERROR(ParseTerm(dim));
      }
      if (!dim.parts.empty() || dim.stacked) {
        if (axes_.cut.has_value()) return Bad("only one dimension may have parts");
        axes_.cut = axes_.dims.size();
      }
      axes_.dims.push_back(std::move(dim));
    }
    return std::move(axes_);
  }

 private:
  absl::Status Bad(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("axes \"", axes_.text, "\": ", what));
  }
  void Skip() { rest_ = absl::StripLeadingAsciiWhitespace(rest_); }
  bool Take(char c) {
    Skip();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  absl::StatusOr<AxisTerm> ParseWord() {
    Skip();
    size_t length = 0;
    while (length < rest_.size() &&
           (absl::ascii_isalnum(static_cast<unsigned char>(rest_[length])) || rest_[length] == '_')) {
      ++length;
    }
    const absl::string_view word = rest_.substr(0, length);
    rest_.remove_prefix(length);
    AxisTerm term;
    if (word.empty()) {
      return Bad(rest_.empty() ? "unexpected end" : absl::StrCat("unexpected \"", rest_.substr(0, 1), "\""));
    }
    if (absl::ascii_isdigit(static_cast<unsigned char>(word.front()))) {
      if (!absl::SimpleAtoi(word, &term.number) || term.number < 1) return Bad(absl::StrCat("no axis: ", word));
    } else {
      term.symbol = std::string(word);
    }
    return term;
  }

  // A word, or "{e}".
  absl::Status ParseTerm(DimAxes& dim) {
    AxisProduct& product = dim.parts.empty() && !dim.stacked ? dim.outer : dim.inner;
    if (!Take('{')) {
      CAIRN_ASSIGN_OR_RETURN(AxisTerm term, ParseWord());
      product.push_back(std::move(term));
      return absl::OkStatus();
    }
    CAIRN_ASSIGN_OR_RETURN(const AxisTerm term, ParseWord());
    if (term.symbol.empty() || !Take('}')) return Bad("expected a placeholder like {e}");
    if (dim.stacked || !dim.parts.empty()) return Bad("only one axis may have parts");
    dim.stacked = true;
    axes_.stack_placeholder = term.symbol;
    return absl::OkStatus();
  }

  // After "(": terms, parts in parentheses of their own, or "a | b" for all of the dimension.
  absl::Status ParseDim(DimAxes& dim) {
    while (!Take(')')) {
      if (Take('|')) {
        if (!dim.parts.empty() || dim.stacked) return Bad("only one axis may have parts");
        if (dim.outer.empty()) return Bad("a part without axes; write 1 for one step");
        dim.parts.push_back(std::exchange(dim.outer, {}));
        CAIRN_RETURN_IF_ERROR(ParseParts(dim));
        return absl::OkStatus();
      }
      if (Take('(')) {
        if (!dim.parts.empty() || dim.stacked) return Bad("only one axis may have parts");
        CAIRN_RETURN_IF_ERROR(ParseParts(dim));
        if (dim.parts.size() < 2) return Bad("parentheses within parentheses are for parts, \"(a | b)\"");
        continue;
      }
      CAIRN_RETURN_IF_ERROR(ParseTerm(dim));
    }
    return absl::OkStatus();
  }

  // Up to the closing parenthesis.
  absl::Status ParseParts(DimAxes& dim) {
    AxisProduct part;
    while (true) {
      const bool closed = Take(')');
      if (closed || Take('|')) {
        if (part.empty()) return Bad("a part without axes; write 1 for one step");
        dim.parts.push_back(std::exchange(part, {}));
        if (closed) return absl::OkStatus();
        continue;
      }
      CAIRN_ASSIGN_OR_RETURN(AxisTerm term, ParseWord());
      part.push_back(std::move(term));
    }
  }

  absl::string_view rest_;
  Axes axes_;
};

void AppendWithoutOnes(const AxisProduct& from, AxisProduct& to) {
  for (const AxisTerm& term : from) {
    if (!term.symbol.empty() || term.number != 1) to.push_back(term);
  }
}

void CollectUnknown(const AxisProduct& product, const Symbols& symbols, std::vector<std::string>& unknown) {
  for (const AxisTerm& term : product) {
    if (!term.symbol.empty() && !symbols.contains(term.symbol)) unknown.push_back(term.symbol);
  }
}

std::string ExplainProduct(const AxisProduct& product, const Symbols& symbols) {
  return absl::StrJoin(product, " * ", [&](std::string* out, const AxisTerm& term) {
    if (term.symbol.empty()) return absl::StrAppend(out, term.number);
    absl::StrAppend(out, term.symbol);
    if (const auto known = symbols.find(term.symbol); known != symbols.end()) absl::StrAppend(out, "=", known->second);
  });
}

}  // namespace

absl::StatusOr<Axes> Axes::Parse(absl::string_view text) { return AxesParser(text).Parse(); }

bool Axes::stacked() const { return cut.has_value() && dims[*cut].stacked; }

size_t Axes::part_count() const { return cut.has_value() && !stacked() ? dims[*cut].parts.size() : 1; }

std::vector<AxisProduct> Axes::Part(size_t part) const {
  std::vector<AxisProduct> products;
  for (const DimAxes& dim : dims) {
    AxisProduct& product = products.emplace_back();
    AppendWithoutOnes(dim.outer, product);
    if (!dim.parts.empty()) AppendWithoutOnes(dim.parts[part], product);
    AppendWithoutOnes(dim.inner, product);
  }
  return products;
}

std::optional<int64_t> Evaluate(const AxisProduct& product, const Symbols& symbols) {
  int64_t value = 1;
  for (const AxisTerm& term : product) {
    int64_t factor = term.number;
    if (!term.symbol.empty()) {
      const auto symbol = symbols.find(term.symbol);
      if (symbol == symbols.end()) return std::nullopt;
      factor = symbol->second;
    }
    if (factor < 0 || __builtin_mul_overflow(value, factor, &value)) return std::nullopt;
  }
  return value;
}

std::optional<int64_t> Evaluate(const DimAxes& dim, const Symbols& symbols, int64_t stack) {
  const std::optional<int64_t> outer = Evaluate(dim.outer, symbols), inner = Evaluate(dim.inner, symbols);
  if (!outer.has_value() || !inner.has_value()) return std::nullopt;
  int64_t parts = dim.stacked ? stack : dim.parts.empty() ? 1 : 0;
  for (const AxisProduct& part : dim.parts) {
    const std::optional<int64_t> size = Evaluate(part, symbols);
    if (!size.has_value() || __builtin_add_overflow(parts, *size, &parts)) return std::nullopt;
  }
  int64_t value;
  if (__builtin_mul_overflow(*outer, *inner, &value) || __builtin_mul_overflow(value, parts, &value))
    return std::nullopt;
  return value;
}

bool IsLocalSymbol(absl::string_view symbol) { return !symbol.empty() && symbol.front() == '_'; }

std::vector<std::string> UnknownSymbols(const DimAxes& dim, const Symbols& symbols) {
  std::vector<std::string> unknown;
  CollectUnknown(dim.outer, symbols, unknown);
  for (const AxisProduct& part : dim.parts) CollectUnknown(part, symbols, unknown);
  CollectUnknown(dim.inner, symbols, unknown);
  std::sort(unknown.begin(), unknown.end());
  unknown.erase(std::unique(unknown.begin(), unknown.end()), unknown.end());
  return unknown;
}

bool SolveFor(const DimAxes& dim, int64_t size, int64_t stack, bool local, Symbols& symbols) {
  const std::vector<std::string> unknown = UnknownSymbols(dim, symbols);
  if (unknown.size() != 1 || (IsLocalSymbol(unknown[0]) && !local)) return false;
  // The size is base + step * symbol if the symbol stands once in each product that has it.
  Symbols trial = symbols;
  int64_t at[3];
  for (int64_t i = 0; i < 3; ++i) {
    trial[unknown[0]] = i;
    const std::optional<int64_t> value = Evaluate(dim, trial, stack);
    if (!value.has_value()) return false;
    at[i] = *value;
  }
  const int64_t step = at[1] - at[0];
  if (step <= 0 || at[2] - at[1] != step || size < at[0] || (size - at[0]) % step != 0) return false;
  symbols[unknown[0]] = (size - at[0]) / step;
  return true;
}

std::string Explain(const DimAxes& dim, const Symbols& symbols) {
  std::vector<std::string> factors;
  if (!dim.outer.empty()) factors.push_back(ExplainProduct(dim.outer, symbols));
  if (dim.stacked) factors.push_back("number of parts");
  if (!dim.parts.empty()) {
    factors.push_back(absl::StrCat("(",
                                   absl::StrJoin(dim.parts, " + ",
                                                 [&](std::string* out, const AxisProduct& part) {
                                                   absl::StrAppend(out, ExplainProduct(part, symbols));
                                                 }),
                                   ")"));
  }
  if (!dim.inner.empty()) factors.push_back(ExplainProduct(dim.inner, symbols));
  return absl::StrJoin(factors, " * ");
}

}  // namespace cairn
