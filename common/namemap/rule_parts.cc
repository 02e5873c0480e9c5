#include "common/namemap/rule_parts.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/namemap/rule_check.h"

namespace cairn {
namespace {

// Beyond this a dimension is no number of experts.
constexpr int64_t kMaxStack = 65'536;

// A part of a tensor: its axes, one by one, and the values.
struct LoosePart {
  std::vector<AxisTerm> axes;
  VirtualTensor value;
};

std::vector<AxisTerm> WithoutOnes(const AxisProduct& product) {
  std::vector<AxisTerm> terms;
  for (const AxisTerm& term : product) {
    if (!term.symbol.empty() || term.number != 1) terms.push_back(term);
  }
  return terms;
}

class RuleBuilder {
 public:
  RuleBuilder(const NameMap::Rule& rule, size_t from_side, const std::vector<RuleSource>& sources,
              const Symbols& symbols)
      : rule_(rule), from_(from_side), to_(1 - from_side), sources_(sources), symbols_(symbols) {}

  absl::StatusOr<std::vector<RuleResult>> Build() {
    CAIRN_RETURN_IF_ERROR(FindStack());
    SolveLocals();
    const bool rename = IsRename(rule_);
    for (size_t i = 0; i < sources_.size(); ++i) {
      for (const RuleTensor& tensor : sources_[i]) {
        CAIRN_RETURN_IF_ERROR(CheckShape(tensor, rule_.sides[from_][i].axes, rename));
      }
    }
    if (rename) return std::vector<RuleResult>{{0, 0, *sources_[0][0].value}};
    return IsStack(rule_) ? BuildStack() : BuildParts();
  }

 private:
  // How many tensors a stack has.
  absl::Status FindStack() {
    const Axes& axes = rule_.sides[from_][0].axes;
    stack_ = static_cast<int64_t>(sources_[0].size());
    if (!axes.stacked()) return absl::OkStatus();
    const RuleTensor& tensor = sources_[0][0];
    const Shape shape = tensor.value->shape();
    const DimAxes& dim = axes.dims[*axes.cut];
    const std::optional<int64_t> step = Evaluate(dim, symbols_, 1);
    if (shape.size() != axes.dims.size() || !step.has_value() || *step < 1 || shape[*axes.cut] % *step != 0) {
      return Mismatch(tensor, axes);
    }
    stack_ = shape[*axes.cut] / *step;
    if (stack_ > kMaxStack) {
      return absl::InvalidArgumentError(absl::StrCat("\"", tensor.name, "\": expected at most ", kMaxStack,
                                                     " tensors in one, found shape ", ShapeToString(shape)));
    }
    return absl::OkStatus();
  }

  void SolveLocals() {
    for (bool found = true; found;) {
      found = false;
      for (size_t i = 0; i < sources_.size(); ++i) {
        const Axes& axes = rule_.sides[from_][i].axes;
        const Shape shape = sources_[i][0].value->shape();
        if (shape.size() != axes.dims.size()) continue;
        for (size_t d = 0; d < shape.size(); ++d) found |= SolveFor(axes.dims[d], shape[d], stack_, true, symbols_);
      }
    }
  }

  absl::Status Mismatch(const RuleTensor& tensor, const Axes& axes) const {
    std::vector<std::string> expected;
    for (const DimAxes& dim : axes.dims) {
      const std::optional<int64_t> size = Evaluate(dim, symbols_, stack_);
      expected.push_back(absl::StrCat(Explain(dim, symbols_), size.has_value() ? absl::StrCat(" = ", *size) : ""));
    }
    return absl::InvalidArgumentError(absl::StrCat("\"", tensor.name, "\": expected shape [",
                                                   absl::StrJoin(expected, ", "), "], found ",
                                                   ShapeToString(tensor.value->shape())));
  }

  absl::Status CheckShape(const RuleTensor& tensor, const Axes& axes, bool rename) const {
    const Shape shape = tensor.value->shape();
    if (shape.size() != axes.dims.size()) return Mismatch(tensor, axes);
    for (size_t d = 0; d < shape.size(); ++d) {
      const std::optional<int64_t> size = Evaluate(axes.dims[d], symbols_, stack_);
      if (size.has_value() ? *size != shape[d] : !rename && UnknownSymbols(axes.dims[d], symbols_).empty()) {
        return Mismatch(tensor, axes);
      }
      // What is only renamed may have dimensions that nobody knows.
      if (size.has_value() || rename) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("\"", tensor.name, "\": ", absl::StrJoin(UnknownSymbols(axes.dims[d], symbols_), ", "),
                       " is not known: the model's configuration file is missing beside the tensors or does not say; "
                       "give the number"));
    }
    return absl::OkStatus();
  }

  std::vector<int64_t> Extents(const std::vector<AxisTerm>& terms) const {
    std::vector<int64_t> extents;
    for (const AxisTerm& term : terms) extents.push_back(term.symbol.empty() ? term.number : symbols_.at(term.symbol));
    return extents;
  }

  // Part `part` of a tensor; of a stack, number `part`.
  absl::StatusOr<LoosePart> TakePart(const RuleTensor& tensor, const Axes& axes, size_t part) const {
    LoosePart loose{{}, *tensor.value};
    for (size_t d = axes.dims.size(); d-- > 0;) {
      const DimAxes& dim = axes.dims[d];
      const bool cut = axes.cut == d;
      const std::vector<AxisTerm> outer = WithoutOnes(dim.outer), inner = WithoutOnes(dim.inner);
      std::vector<AxisTerm> terms = outer, middle;
      std::vector<int64_t> extents = Extents(outer);
      int64_t start = 0, length = 1, all = dim.stacked ? stack_ : 0;
      if (cut && dim.stacked) start = static_cast<int64_t>(part);
      for (size_t i = 0; i < dim.parts.size(); ++i) {
        const int64_t size = *Evaluate(dim.parts[i], symbols_);
        if (i < part) start += size;
        if (i == part) length = size;
        all += size;
      }
      if (cut) extents.push_back(all);
      const std::vector<int64_t> inner_extents = Extents(inner);
      extents.insert(extents.end(), inner_extents.begin(), inner_extents.end());
      CAIRN_RETURN_IF_ERROR(loose.value.Split(d, extents));
      if (cut) {
        CAIRN_RETURN_IF_ERROR(loose.value.Slice(d + outer.size(), start, length));
        if (!dim.stacked) middle = WithoutOnes(dim.parts[part]);
        CAIRN_RETURN_IF_ERROR(loose.value.Split(d + outer.size(), Extents(middle)));
      }
      terms.insert(terms.end(), middle.begin(), middle.end());
      terms.insert(terms.end(), inner.begin(), inner.end());
      loose.axes.insert(loose.axes.begin(), terms.begin(), terms.end());
    }
    return loose;
  }

  // Puts the axes in the order of a tensor of the target, with its dimensions joined; the one that has parts stays
  // three axes, which `Finish` joins.
  VirtualTensor Arrange(LoosePart loose, const Axes& axes, size_t part) const {
    std::vector<size_t> order;
    std::vector<size_t> counts;
    const auto place = [&](const AxisProduct& product) {
      const std::vector<AxisTerm> terms = WithoutOnes(product);
      for (const AxisTerm& term : terms) {
        order.push_back(
            static_cast<size_t>(std::find(loose.axes.begin(), loose.axes.end(), term) - loose.axes.begin()));
      }
      counts.push_back(terms.size());
    };
    for (size_t d = 0; d < axes.dims.size(); ++d) {
      const DimAxes& dim = axes.dims[d];
      if (axes.cut == d) {
        place(dim.outer);
        place(dim.stacked ? AxisProduct() : dim.parts[part]);
        place(dim.inner);
      } else {
        AxisProduct all = dim.outer;
        all.insert(all.end(), dim.inner.begin(), dim.inner.end());
        place(all);
      }
    }
    loose.value.Permute(order);
    size_t first = 0;
    for (const size_t count : counts) loose.value.Join(first++, count);
    return std::move(loose.value);
  }

  absl::StatusOr<VirtualTensor> Finish(std::vector<VirtualTensor> parts, const Axes& axes) const {
    if (!axes.cut.has_value()) return std::move(parts[0]);
    CAIRN_ASSIGN_OR_RETURN(VirtualTensor whole, VirtualTensor::Concatenate(std::move(parts), *axes.cut + 1));
    whole.Join(*axes.cut, 3);
    return whole;
  }

  absl::StatusOr<std::vector<RuleResult>> BuildParts() const {
    const std::vector<RulePart> from = PartsOf(rule_.sides[from_]), to = PartsOf(rule_.sides[to_]);
    std::vector<RuleResult> results;
    for (size_t tensor = 0; tensor < rule_.sides[to_].size(); ++tensor) {
      const Axes& axes = rule_.sides[to_][tensor].axes;
      std::vector<VirtualTensor> parts;
      for (size_t i = 0; i < to.size(); ++i) {
        if (to[i].tensor != tensor) continue;
        CAIRN_ASSIGN_OR_RETURN(LoosePart loose, TakePart(sources_[from[i].tensor][0],
                                                         rule_.sides[from_][from[i].tensor].axes, from[i].part));
        parts.push_back(Arrange(std::move(loose), axes, to[i].part));
      }
      CAIRN_ASSIGN_OR_RETURN(VirtualTensor value, Finish(std::move(parts), axes));
      results.push_back({tensor, 0, std::move(value)});
    }
    return results;
  }

  absl::StatusOr<std::vector<RuleResult>> BuildStack() const {
    const Axes& from = rule_.sides[from_][0].axes;
    const Axes& to = rule_.sides[to_][0].axes;
    std::vector<VirtualTensor> parts;
    std::vector<RuleResult> results;
    for (int64_t i = 0; i < stack_; ++i) {
      const RuleTensor& tensor = sources_[0][from.stacked() ? 0 : static_cast<size_t>(i)];
      CAIRN_ASSIGN_OR_RETURN(LoosePart loose, TakePart(tensor, from, static_cast<size_t>(i)));
      parts.push_back(Arrange(std::move(loose), to, 0));
      if (from.stacked()) results.push_back({0, i, std::move(parts.back())});
    }
    if (from.stacked()) return results;
    CAIRN_ASSIGN_OR_RETURN(VirtualTensor value, Finish(std::move(parts), to));
    results.push_back({0, 0, std::move(value)});
    return results;
  }

  const NameMap::Rule& rule_;
  const size_t from_, to_;
  const std::vector<RuleSource>& sources_;
  Symbols symbols_;
  int64_t stack_ = 1;
};

}  // namespace

absl::StatusOr<std::vector<RuleResult>> BuildRule(const NameMap::Rule& rule, size_t from_side,
                                                  const std::vector<RuleSource>& sources, const Symbols& symbols) {
  return RuleBuilder(rule, from_side, sources, symbols).Build();
}

}  // namespace cairn
