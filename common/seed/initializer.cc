#include "common/seed/initializer.h"

#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/seed/normal_quantile.h"
#include "common/tensor/shape.h"

namespace cairn {
namespace {

// Fewer parts than this would show as steps between the values.
constexpr uint64_t kFewestParts = uint64_t{1} << 32;

struct Function {
  std::set<std::string> required, optional;
};

const std::map<std::string, Function>& Functions() {
  static const auto* functions = new std::map<std::string, Function>{
      {"zeros", {}},
      {"ones", {}},
      {"constant", {{"value"}, {}}},
      {"normal", {{"std"}, {"mean", "depth"}}},
      {"trunc_normal", {{"std"}, {"mean", "a", "b", "cutoff", "depth"}}},
      {"uniform", {{"a", "b"}, {}}},
      {"lecun_normal", {{}, {"gain", "cutoff", "depth"}}},
      {"xavier_normal", {{}, {"gain", "depth"}}},
      {"xavier_uniform", {{}, {"gain", "depth"}}},
      {"kaiming_normal", {{}, {"gain", "depth"}}},
      {"kaiming_uniform", {{}, {"gain", "depth"}}},
  };
  return *functions;
}

std::string FunctionNames() {
  return absl::StrJoin(Functions(), ", ", [](std::string* out, const auto& one) { absl::StrAppend(out, one.first); });
}

}  // namespace

absl::Status Initializer::Bad(absl::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat("initialisation \"", text_, "\": ", what));
}

double Initializer::Number(const std::string& name, double otherwise) const {
  const auto found = numbers_.find(name);
  return found == numbers_.end() ? otherwise : found->second;
}

absl::StatusOr<Initializer> Initializer::Parse(absl::string_view text) {
  Initializer made;
  made.text_ = std::string(absl::StripAsciiWhitespace(text));
  const absl::string_view whole = made.text_;
  const size_t open = whole.find('(');
  made.function_ = std::string(absl::StripAsciiWhitespace(whole.substr(0, open)));
  const auto function = Functions().find(made.function_);
  if (function == Functions().end()) return made.Bad(absl::StrCat("expected one of ", FunctionNames(), ", found \"", made.function_, "\""));
  std::vector<absl::string_view> arguments;
  if (open != absl::string_view::npos) {
    if (whole.back() != ')') return made.Bad("expected \")\" at the end");
    arguments = absl::StrSplit(whole.substr(open + 1, whole.size() - open - 2), ',', absl::SkipWhitespace());
  }
  const auto& [required, optional] = function->second;
  for (const absl::string_view argument : arguments) {
    const std::vector<absl::string_view> parts = absl::StrSplit(argument, absl::MaxSplits('=', 1));
    const std::string name(absl::StripAsciiWhitespace(parts[0]));
    if (parts.size() != 2 || !(required.contains(name) || optional.contains(name))) {
      std::set<std::string> all = required;
      all.insert(optional.begin(), optional.end());
      return made.Bad(absl::StrCat("unexpected \"", absl::StripAsciiWhitespace(argument), "\"; ", made.function_, " takes ",
                                   all.empty() ? "nothing" : absl::StrCat("NAME=NUMBER of ", absl::StrJoin(all, ", "))));
    }
    const absl::string_view value = absl::StripAsciiWhitespace(parts[1]);
    if (name == "depth") {
      if (value != "model" && value != "layer") return made.Bad(absl::StrCat("depth: expected model or layer, found \"", value, "\""));
      made.depth_ = std::string(value);
      continue;
    }
    double number = 0;
    if (!absl::SimpleAtod(value, &number) || !std::isfinite(number)) {
      return made.Bad(absl::StrCat(name, ": expected a number, found \"", value, "\""));
    }
    if ((name == "std" || name == "cutoff") && number <= 0) return made.Bad(absl::StrCat(name, ": expected more than 0, found ", value));
    if (!made.numbers_.emplace(name, number).second) return made.Bad(absl::StrCat(name, " a second time"));
  }
  for (const std::string& name : required) {
    if (!made.Has(name)) return made.Bad(absl::StrCat("expected ", name, "=NUMBER"));
  }
  if (made.Has("cutoff") && (made.Has("a") || made.Has("b"))) return made.Bad("expected cutoff, or a and b");
  const bool interval = made.function_ == "uniform" || (made.function_ == "trunc_normal" && !made.Has("cutoff"));
  if (interval && made.Number("a", -2) >= made.Number("b", 2)) return made.Bad("expected a below b");
  return made;
}

absl::StatusOr<double> Initializer::DepthDivisor(const InitializedTensor& tensor) const {
  if (depth_.empty()) return 1.0;
  const bool model = depth_ == "model";
  const std::optional<int64_t>& number = model ? tensor.layers : tensor.layer;
  if (!number.has_value()) {
    return Bad(model ? "depth=model needs the symbol layers" : "depth=layer needs a name with the number of its layer");
  }
  return std::sqrt(2.0 * (static_cast<double>(*number) + (model ? 0.0 : 1.0)));
}

// Of xavier_uniform and kaiming_uniform too: the interval follows from it.
absl::StatusOr<double> Initializer::StandardDeviation(const InitializedTensor& tensor) const {
  if (function_ == "normal" || function_ == "trunc_normal") return Number("std", 0);
  if (tensor.shape.size() < 2) return Bad(absl::StrCat("expected a tensor with a fan-in, of two dimensions or more, found shape ", ShapeToString(tensor.shape)));
  double field = 1;  // Of a convolution.
  for (size_t i = 2; i < tensor.shape.size(); ++i) field *= static_cast<double>(tensor.shape[i]);
  const double fan_in = static_cast<double>(tensor.shape[1]) * field, fan_out = static_cast<double>(tensor.shape[0]) * field;
  if (absl::StartsWith(function_, "xavier")) return Number("gain", 1) * std::sqrt(2 / (fan_in + fan_out));
  return Number("gain", absl::StartsWith(function_, "kaiming") ? std::sqrt(2.0) : 1) / std::sqrt(fan_in);
}

absl::StatusOr<Fill> Initializer::Truncated(double deviation) const {
  Fill fill{.kind = Fill::Kind::kNormal, .offset = Number("mean", 0), .scale = deviation};
  const double cutoff = Number("cutoff", 0);
  const double a = Has("cutoff") ? -cutoff : (Number("a", -2) - fill.offset) / deviation;
  const double b = Has("cutoff") ? cutoff : (Number("b", 2) - fill.offset) / deviation;
  fill.first_part = FirstPartFrom(a);
  const uint64_t end = FirstPartFrom(b);
  if (end < fill.first_part + kFewestParts) {
    return Bad(absl::StrCat("between ", a, " and ", b, " standard deviations from the mean there is next to nothing; choose a wider interval"));
  }
  fill.parts = end - fill.first_part;
  return fill;
}

absl::StatusOr<Fill> Initializer::For(const InitializedTensor& tensor) const {
  if (function_ == "zeros") return Fill{};
  if (function_ == "ones") return Fill{.offset = 1};
  if (function_ == "constant") return Fill{.offset = Number("value", 0)};
  if (function_ == "uniform") {
    const double a = Number("a", 0);
    return Fill{.kind = Fill::Kind::kUniform, .offset = a, .scale = Number("b", 0) - a};
  }
  CAIRN_ASSIGN_OR_RETURN(double deviation, StandardDeviation(tensor));
  CAIRN_ASSIGN_OR_RETURN(const double divisor, DepthDivisor(tensor));
  deviation /= divisor;
  // A tensor without elements has a fan-in of 0.
  if (!std::isfinite(deviation) || deviation == 0) return Fill{};
  if (absl::EndsWith(function_, "_uniform")) {
    const double bound = std::sqrt(3.0) * deviation;
    return Fill{.kind = Fill::Kind::kUniform, .offset = -bound, .scale = 2 * bound};
  }
  if (function_ == "trunc_normal" || Has("cutoff")) return Truncated(deviation);
  return Fill{.kind = Fill::Kind::kNormal, .offset = Number("mean", 0), .scale = deviation};
}

}  // namespace cairn
