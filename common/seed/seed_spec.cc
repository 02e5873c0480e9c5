#include "common/seed/seed_spec.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/annotate.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/format/format.h"
#include "common/namemap/name_pattern.h"
#include "common/seed/initializer.h"

namespace cairn {
namespace {

constexpr size_t kMaxBytes = 4u << 20;

// One line of SeedSpec::tensors.
struct Line {
  std::string name;
  std::vector<std::string> shape;
  std::string initialization;
};

absl::StatusOr<Line> ParseLine(absl::string_view text) {
  const auto bad = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("tensor \"", text, "\": expected NAME [EXTENT, ...] or NAME [...] = RULE, ", what));
  };
  const size_t open = text.find('['), close = text.find(']');
  if (open == absl::string_view::npos || close == absl::string_view::npos || close < open) return bad("found no [...]");
  Line line;
  line.name = std::string(absl::StripAsciiWhitespace(text.substr(0, open)));
  if (line.name.empty()) return bad("found no name");
  const absl::string_view extents = absl::StripAsciiWhitespace(text.substr(open + 1, close - open - 1));
  if (!extents.empty()) line.shape = absl::StrSplit(extents, ',');
  absl::string_view rest = absl::StripAsciiWhitespace(text.substr(close + 1));
  if (rest.empty()) return line;
  if (!absl::ConsumePrefix(&rest, "=")) return bad(absl::StrCat("found \"", rest, "\" behind it"));
  line.initialization = std::string(absl::StripAsciiWhitespace(rest));
  return line;
}

absl::StatusOr<int64_t> Evaluate(absl::string_view expression, const Symbols& symbols) {
  CAIRN_ASSIGN_OR_RETURN(const std::optional<int64_t> value, EvaluateExpression(expression, symbols));
  if (!value.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", absl::StripAsciiWhitespace(expression), "\" has a symbol that is not among symbols"));
  }
  return *value;
}

// Rules by pattern, parsed once.
class Rules {
 public:
  static absl::StatusOr<Rules> Parse(const std::vector<SeedRule>& rules) {
    Rules made;
    for (const SeedRule& rule : rules) {
      absl::StatusOr<Initializer> initializer = Initializer::Parse(rule.initialization);
      if (!initializer.ok()) return Annotate(initializer.status(), absl::StrCat("rule of \"", rule.pattern, "\""));
      made.rules_.emplace_back(rule.pattern, *std::move(initializer));
    }
    made.used_.resize(made.rules_.size());
    return made;
  }
  const Initializer* Find(const std::string& name) {
    const Initializer* found = nullptr;
    for (size_t i = 0; i < rules_.size(); ++i) {
      if (!MatchesStars(name, rules_[i].first)) continue;
      used_[i] = true;
      if (found == nullptr) found = &rules_[i].second;
    }
    return found;
  }
  absl::Status CheckUsed() const {
    for (size_t i = 0; i < rules_.size(); ++i) {
      if (!used_[i]) return absl::InvalidArgumentError(absl::StrCat("rule of \"", rules_[i].first, "\": no tensor has such a name"));
    }
    return absl::OkStatus();
  }

 private:
  std::vector<std::pair<std::string, Initializer>> rules_;
  std::vector<bool> used_;
};

class Expansion {
 public:
  Expansion(const SeedSpec& spec, Rules first, Rules last) : spec_(spec), first_(std::move(first)), last_(std::move(last)) {
    const auto layers = spec.symbols.find("layers");
    if (layers != spec.symbols.end()) layers_ = layers->second;
  }

  absl::Status Add(const Line& line) {
    Shape shape;
    for (const std::string& extent : line.shape) {
      CAIRN_ASSIGN_OR_RETURN(shape.emplace_back(), Evaluate(extent, spec_.symbols));
    }
    CAIRN_RETURN_IF_ERROR(ElementCount(shape).status());
    std::optional<Initializer> own;
    if (!line.initialization.empty()) {
      CAIRN_ASSIGN_OR_RETURN(own, Initializer::Parse(line.initialization));
    }
    CAIRN_ASSIGN_OR_RETURN(const NamePattern pattern, NamePattern::Parse(line.name));
    uint64_t count = 1;
    std::vector<int64_t> ends;
    for (const std::string& placeholder : pattern.placeholders()) {
      CAIRN_ASSIGN_OR_RETURN(ends.emplace_back(), Evaluate(placeholder, spec_.symbols));
      count = CheckedMul(count, static_cast<uint64_t>(std::max<int64_t>(ends.back(), 0))).value_or(UINT64_MAX);
    }
    if (count > ReadLimits().max_entries - tensors_.size()) {
      return absl::InvalidArgumentError(absl::StrCat("expected at most ", ReadLimits().max_entries, " tensors in all"));
    }
    std::map<std::string, int64_t> numbers;
    for (uint64_t i = 0; i < count; ++i) {
      uint64_t rest = i;
      for (size_t k = ends.size(); k-- > 0; rest /= static_cast<uint64_t>(ends[k])) {
        numbers[pattern.placeholders()[k]] = static_cast<int64_t>(rest % static_cast<uint64_t>(ends[k]));
      }
      CAIRN_RETURN_IF_ERROR(AddOne(pattern.Fill(numbers), shape, own));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<SeedTensor>> Finish() {
    CAIRN_RETURN_IF_ERROR(first_.CheckUsed());
    return std::move(tensors_);
  }

 private:
  absl::Status AddOne(const std::string& name, const Shape& shape, const std::optional<Initializer>& own) {
    if (!names_.insert(name).second) return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" comes a second time"));
    const Initializer* chosen = first_.Find(name);
    if (chosen == nullptr && own.has_value()) chosen = &*own;
    if (chosen == nullptr) chosen = last_.Find(name);
    if (chosen == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("\"", name, "\": no rule says how it begins; add one, like \"*\": normal(std=0.02)"));
    }
    const std::vector<int64_t> numbers = NameTemplate::Of(name).numbers;
    const absl::StatusOr<Fill> fill =
        chosen->For({shape, layers_, numbers.empty() ? std::nullopt : std::optional<int64_t>(numbers.front())});
    if (!fill.ok()) return Annotate(fill.status(), absl::StrCat("\"", name, "\""));
    tensors_.push_back({PathOfName(name, spec_.nested), shape, *fill});
    return absl::OkStatus();
  }

  const SeedSpec& spec_;
  Rules first_, last_;
  std::optional<int64_t> layers_;
  std::set<std::string> names_;
  std::vector<SeedTensor> tensors_;
};

class FileReader {
 public:
  explicit FileReader(std::string file) : file_(std::move(file)) {}

  absl::StatusOr<SeedSpec> Read(const YAML::Node& root) const {
    if (!root.IsMap()) return Bad(root, "expected lines of `key: value`");
    SeedSpec spec;
    std::set<std::string> seen;
    for (const auto& pair : root) {
      const std::string key = pair.first.Scalar();
      if (!seen.insert(key).second) return Bad(pair.first, absl::StrCat("\"", key, "\" a second time"));
      CAIRN_RETURN_IF_ERROR(ReadKey(key, pair.first, pair.second, spec));
    }
    if (spec.tensors.empty()) return Bad(root, "expected tensors");
    return spec;
  }

 private:
  absl::Status Bad(const YAML::Node& node, absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(file_, ":", node.Mark().line + 1, ": ", what));
  }

  absl::Status ReadKey(const std::string& key, const YAML::Node& at, const YAML::Node& value, SeedSpec& spec) const {
    if (key == "dtype") {
      if (value.IsScalar()) spec.dtype = ParseDtype(value.Scalar());
      if (!spec.dtype.has_value()) return Bad(value, "dtype: expected the name of a float type, like bfloat16");
      return absl::OkStatus();
    }
    if (key == "paths") {
      if (!value.IsScalar() || (value.Scalar() != "flat" && value.Scalar() != "nested")) return Bad(value, "paths: expected flat or nested");
      spec.nested = value.Scalar() == "nested";
      return absl::OkStatus();
    }
    if (key == "symbols" || key == "rules") {
      if (!value.IsMap()) return Bad(value, absl::StrCat(key, ": expected lines of `key: value`"));
      for (const auto& pair : value) {
        if (!pair.first.IsScalar() || !pair.second.IsScalar()) return Bad(pair.first, "expected a text");
        if (key == "rules") {
          spec.rules.push_back({pair.first.Scalar(), pair.second.Scalar()});
          continue;
        }
        const absl::StatusOr<int64_t> number = Evaluate(pair.second.Scalar(), spec.symbols);
        if (!number.ok()) return Bad(pair.first, number.status().message());
        if (!spec.symbols.emplace(pair.first.Scalar(), *number).second) return Bad(pair.first, "a second time");
      }
      return absl::OkStatus();
    }
    if (key != "tensors") return Bad(at, absl::StrCat("unknown key \"", key, "\"; there are dtype, paths, symbols, tensors, rules"));
    if (!value.IsSequence()) return Bad(value, "tensors: expected a list of lines NAME [EXTENT, ...]");
    for (const YAML::Node& item : value) {
      if (!item.IsScalar()) return Bad(item, "expected a text; put a line that begins with { or [ in quotes");
      spec.tensors.push_back(item.Scalar());
      if (const absl::Status status = ParseLine(item.Scalar()).status(); !status.ok()) return Bad(item, status.message());
    }
    return absl::OkStatus();
  }

  const std::string file_;
};

}  // namespace

absl::StatusOr<SeedRule> SeedRule::Parse(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  if (parts.size() != 2 || parts[0].empty()) {
    return absl::InvalidArgumentError(absl::StrCat("expected PATTERN=RULE, like '*.bias=zeros', found \"", text, "\""));
  }
  SeedRule rule{std::string(absl::StripAsciiWhitespace(parts[0])), std::string(parts[1])};
  CAIRN_RETURN_IF_ERROR(Initializer::Parse(rule.initialization).status());
  return rule;
}

absl::StatusOr<SeedSpec> SeedSpec::Parse(absl::string_view text, const std::string& file) {
  if (text.size() > kMaxBytes) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": expected at most ", kMaxBytes, " bytes, found ", text.size()));
  }
  // yaml-cpp throws; nothing of it leaves this function.
  try {
    return FileReader(file).Read(YAML::Load(std::string(text)));
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(file, ":", error.mark.line + 1, ": ", error.msg));
  }
}

absl::StatusOr<std::vector<SeedTensor>> ExpandSeedSpec(const SeedSpec& spec, const std::vector<SeedRule>& first_rules) {
  CAIRN_ASSIGN_OR_RETURN(Rules first, Rules::Parse(first_rules));
  CAIRN_ASSIGN_OR_RETURN(Rules last, Rules::Parse(spec.rules));
  Expansion expansion(spec, std::move(first), std::move(last));
  for (const std::string& text : spec.tensors) {
    CAIRN_ASSIGN_OR_RETURN(const Line line, ParseLine(text));
    CAIRN_RETURN_IF_ERROR(Annotate(expansion.Add(line), absl::StrCat("tensor \"", line.name, "\"")));
  }
  return expansion.Finish();
}

}  // namespace cairn
