#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <functional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/namemap/name_map.h"
#include "common/namemap/rule_check.h"

namespace cairn {
namespace {

constexpr size_t kMaxFileBytes = 1u << 20;
// What {a|b} may make of one rule: a file is small, and need not be when it is written out.
constexpr size_t kMaxExpandedBytes = 1u << 20;
constexpr size_t kMaxExpressions = 1000;  // Each is tried as often as there are symbols.

using StringMap = std::vector<std::pair<std::string, std::string>>;

class FileReader {
 public:
  explicit FileReader(std::string file) : file_(std::move(file)) {}

  absl::StatusOr<NameMapFile> Read(const YAML::Node& root) {
    CAIRN_RETURN_IF_ERROR(
        CheckKeys(root, {"namings", "sides", "extends", "derived", "defaults", "tied", "drop", "detect", "rules"}));
    NameMapFile result;
    if (const YAML::Node namings = root["namings"]; namings) {
      if (!namings.IsMap()) return Bad(namings, "expected a map of namings");
      for (const auto& pair : namings) {
        CAIRN_ASSIGN_OR_RETURN(Naming naming, ReadNaming(pair.first.Scalar(), pair.second));
        result.namings.push_back(std::move(naming));
      }
    }
    if (root["sides"]) {
      CAIRN_ASSIGN_OR_RETURN(NameMap map, ReadMap(root));
      result.maps.push_back(std::move(map));
    }
    return result;
  }

 private:
  std::string At(const YAML::Node& node) const { return absl::StrCat(file_, ":", node.Mark().line + 1); }
  absl::Status Bad(const YAML::Node& node, absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(At(node), ": ", what));
  }

  absl::Status CheckKeys(const YAML::Node& node, std::initializer_list<absl::string_view> known) const {
    if (!node.IsMap()) return Bad(node, "expected lines of `key: value`");
    std::set<std::string> seen;
    for (const auto& pair : node) {
      const std::string key = pair.first.Scalar();
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        return Bad(pair.first, absl::StrCat("unknown key \"", key, "\"; there are ", absl::StrJoin(known, ", ")));
      }
      if (!seen.insert(key).second) return Bad(pair.first, absl::StrCat("\"", key, "\" a second time"));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadText(const YAML::Node& node) const {
    if (!node.IsScalar()) return Bad(node, "expected a text");
    return node.Scalar();
  }

  // One text, or a list of them.
  absl::StatusOr<std::vector<std::string>> ReadTexts(const YAML::Node& node) const {
    std::vector<std::string> texts;
    if (!node) return texts;
    if (node.IsScalar()) return std::vector<std::string>{node.Scalar()};
    if (!node.IsSequence()) return Bad(node, "expected a list of texts");
    for (const YAML::Node& item : node) {
      CAIRN_ASSIGN_OR_RETURN(texts.emplace_back(), ReadText(item));
    }
    return texts;
  }

  absl::StatusOr<StringMap> ReadPairs(const YAML::Node& node) const {
    StringMap pairs;
    if (!node) return pairs;
    if (!node.IsMap()) return Bad(node, "expected lines of `key: text`");
    for (const auto& pair : node) {
      CAIRN_ASSIGN_OR_RETURN(std::string value, ReadText(pair.second));
      pairs.emplace_back(pair.first.Scalar(), std::move(value));
    }
    return pairs;
  }

  absl::StatusOr<std::vector<NamePattern>> ReadPatterns(const YAML::Node& node) const {
    CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> texts, ReadTexts(node));
    std::vector<NamePattern> patterns;
    for (const std::string& text : texts) {
      absl::StatusOr<NamePattern> pattern = NamePattern::Parse(text);
      if (!pattern.ok()) return Annotate(pattern.status(), At(node));
      patterns.push_back(*std::move(pattern));
    }
    return patterns;
  }

  absl::StatusOr<DetectRules> ReadDetect(const YAML::Node& node) const {
    CAIRN_RETURN_IF_ERROR(CheckKeys(node, {"config", "names", "without"}));
    DetectRules rules;
    if (const YAML::Node config = node["config"]; config) {
      if (!config.IsMap()) return Bad(config, "expected a map of configuration files");
      for (const auto& file : config) {
        if (!file.second.IsMap()) return Bad(file.second, "expected a map of keys");
        for (const auto& key : file.second) {
          CAIRN_ASSIGN_OR_RETURN(std::vector<std::string> values, ReadTexts(key.second));
          rules.config.push_back({file.first.Scalar(), key.first.Scalar(), std::move(values)});
        }
      }
    }
    CAIRN_ASSIGN_OR_RETURN(rules.names, ReadPatterns(node["names"]));
    CAIRN_ASSIGN_OR_RETURN(rules.without, ReadPatterns(node["without"]));
    return rules;
  }

  absl::StatusOr<SymbolSource> ReadSymbolSource(const std::string& symbol, const std::string& file,
                                                const YAML::Node& node) const {
    SymbolSource source{.symbol = symbol, .file = file};
    if (node.IsScalar()) {
      source.key = node.Scalar();
      return source;
    }
    CAIRN_RETURN_IF_ERROR(CheckKeys(node, {"key", "value", "when"}));
    if (node["key"]) source.key = node["key"].Scalar();
    if (node["when"]) source.when = node["when"].Scalar();
    if (node["value"] && !YAML::convert<int64_t>::decode(node["value"], source.value)) {
      return Bad(node, "expected a number as value");
    }
    if (static_cast<bool>(node["key"]) == static_cast<bool>(node["value"])) {
      return Bad(node, "expected a key, or a value");
    }
    return source;
  }

  absl::StatusOr<Naming> ReadNaming(const std::string& name, const YAML::Node& node) const {
    CAIRN_RETURN_IF_ERROR(
        CheckKeys(node, {"also", "about", "group", "paths", "prefixes", "tied", "symbols", "detect"}));
    Naming naming;
    naming.name = name;
    CAIRN_ASSIGN_OR_RETURN(naming.also, ReadTexts(node["also"]));
    CAIRN_ASSIGN_OR_RETURN(naming.prefixes, ReadTexts(node["prefixes"]));
    if (node["about"]) naming.about = node["about"].Scalar();
    if (node["group"]) naming.group = node["group"].Scalar();
    if (const YAML::Node paths = node["paths"]; paths) {
      if (paths.Scalar() != "flat" && paths.Scalar() != "nested") return Bad(paths, "expected flat or nested");
      naming.nested = paths.Scalar() == "nested";
    }
    if (const YAML::Node tied = node["tied"]; tied) {
      const std::string text = tied.Scalar();
      if (text != "omit" && text != "alias" && text != "copy") return Bad(tied, "expected omit, alias or copy");
      naming.tied = text == "omit" ? Naming::Tied::kOmit : text == "alias" ? Naming::Tied::kAlias : Naming::Tied::kCopy;
    }
    if (const YAML::Node files = node["symbols"]; files) {
      if (!files.IsMap()) return Bad(files, "expected a map of configuration files");
      for (const auto& file : files) {
        if (!file.second.IsMap()) return Bad(file.second, "expected a map of symbols");
        for (const auto& symbol : file.second) {
          const bool list = symbol.second.IsSequence();
          for (size_t i = 0; i < (list ? symbol.second.size() : 1); ++i) {
            CAIRN_ASSIGN_OR_RETURN(SymbolSource source, ReadSymbolSource(symbol.first.Scalar(), file.first.Scalar(),
                                                                         list ? symbol.second[i] : symbol.second));
            naming.symbols.push_back(std::move(source));
          }
        }
      }
    }
    if (node["detect"]) {
      CAIRN_ASSIGN_OR_RETURN(naming.detect, ReadDetect(node["detect"]));
    }
    return naming;
  }

  absl::StatusOr<NameMap> ReadMap(const YAML::Node& root) const {
    NameMap map;
    map.where = At(root["sides"]);
    CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> sides, ReadTexts(root["sides"]));
    if (sides.size() != 2 || sides[0] == sides[1])
      return Bad(root["sides"], "expected two namings, like [hf-llama, litgpt]");
    map.sides = {sides[0], sides[1]};
    if (root["extends"]) map.extends = root["extends"].Scalar();
    CAIRN_ASSIGN_OR_RETURN(map.derived, ReadPairs(root["derived"]));
    CAIRN_ASSIGN_OR_RETURN(map.defaults, ReadPairs(root["defaults"]));
    CAIRN_RETURN_IF_ERROR(ReadBySide(root["tied"], map, [&](size_t side, const YAML::Node& node) -> absl::Status {
      CAIRN_ASSIGN_OR_RETURN(map.tied[side], ReadPairs(node));
      return absl::OkStatus();
    }));
    if (map.derived.size() + map.defaults.size() > kMaxExpressions) {
      return Bad(root["sides"], absl::StrCat("expected at most ", kMaxExpressions, " derived symbols and defaults"));
    }
    if (map.tied[0].size() != map.tied[1].size()) return Bad(root["tied"], "expected as many pairs on either side");
    CAIRN_RETURN_IF_ERROR(ReadBySide(root["drop"], map, [&](size_t side, const YAML::Node& node) -> absl::Status {
      CAIRN_ASSIGN_OR_RETURN(map.drop[side], ReadTexts(node));
      return absl::OkStatus();
    }));
    CAIRN_RETURN_IF_ERROR(ReadBySide(root["detect"], map, [&](size_t side, const YAML::Node& node) -> absl::Status {
      CAIRN_ASSIGN_OR_RETURN(map.detect[side], ReadDetect(node));
      return absl::OkStatus();
    }));
    if (const YAML::Node rules = root["rules"]; rules) {
      if (!rules.IsSequence()) return Bad(rules, "expected a list of rules");
      for (const YAML::Node& rule : rules) CAIRN_RETURN_IF_ERROR(ReadRule(rule, map));
    }
    return map;
  }

  absl::Status ReadBySide(const YAML::Node& node, const NameMap& map,
                          const std::function<absl::Status(size_t, const YAML::Node&)>& read) const {
    if (!node) return absl::OkStatus();
    CAIRN_RETURN_IF_ERROR(CheckKeys(node, {map.sides[0], map.sides[1]}));
    for (size_t side = 0; side < 2; ++side) {
      if (node[map.sides[side]]) CAIRN_RETURN_IF_ERROR(read(side, node[map.sides[side]]));
    }
    return absl::OkStatus();
  }

  // "LEFT = RIGHT [axes]", or tensors with axes of their own on either side, joined with '+'.
  absl::Status ReadRule(const YAML::Node& node, NameMap& map) const {
    CAIRN_ASSIGN_OR_RETURN(const std::string text, ReadText(node));
    const std::vector<std::string> texts = absl::StrSplit(text, " = ");
    if (texts.size() != 2) return Bad(node, absl::StrCat("expected \"LEFT = RIGHT [axes]\", found \"", text, "\""));
    std::array<StringMap, 2> sides;
    for (size_t side = 0; side < 2; ++side) {
      for (const absl::string_view tensor : absl::StrSplit(texts[side], " + ")) {
        const size_t open = tensor.find('[');
        const absl::string_view name = absl::StripAsciiWhitespace(tensor.substr(0, open));
        absl::string_view axes = open == absl::string_view::npos ? "" : tensor.substr(open + 1);
        if (open != absl::string_view::npos && !absl::ConsumeSuffix(&axes, "]")) {
          return Bad(node, absl::StrCat("expected \"NAME [axes]\", found \"", tensor, "\""));
        }
        sides[side].emplace_back(std::string(name), std::string(axes));
      }
    }
    if (sides[0].size() == 1 && sides[1].size() == 1 && sides[0][0].second.empty())
      sides[0][0].second = sides[1][0].second;
    std::vector<std::array<StringMap, 2>> expanded;
    CAIRN_RETURN_IF_ERROR(ExpandChoices(node, sides, expanded));
    for (const std::array<StringMap, 2>& one : expanded) {
      NameMap::Rule rule;
      rule.where = At(node);
      for (size_t side = 0; side < 2; ++side) {
        for (const auto& [name, axes_text] : one[side]) {
          if (axes_text.empty()) return Bad(node, absl::StrCat("\"", name, "\" without [axes]"));
          absl::StatusOr<NamePattern> pattern = NamePattern::Parse(name);
          if (!pattern.ok()) return Annotate(pattern.status(), At(node));
          absl::StatusOr<Axes> axes = Axes::Parse(axes_text);
          if (!axes.ok()) return Annotate(axes.status(), At(node));
          rule.sides[side].push_back({*std::move(pattern), *std::move(axes)});
        }
      }
      CAIRN_RETURN_IF_ERROR(Annotate(CheckRule(rule), At(node)));
      map.rules.push_back(std::move(rule));
    }
    return absl::OkStatus();
  }

  // "norm.{weight|bias}" stands for two rules; where several names of a rule have such braces, they go together.
  absl::Status ExpandChoices(const YAML::Node& node, const std::array<StringMap, 2>& sides,
                             std::vector<std::array<StringMap, 2>>& expanded) const {
    size_t count = 0;
    const auto find = [](const std::string& name, size_t* begin, size_t* end) {
      for (*begin = name.find('{'); *begin != std::string::npos; *begin = name.find('{', *begin + 1)) {
        *end = name.find('}', *begin);
        if (*end == std::string::npos) return false;
        if (name.find('|', *begin) < *end) return true;
      }
      return false;
    };
    for (const StringMap& side : sides) {
      for (const auto& [name, axes] : side) {
        size_t begin, end;
        if (!find(name, &begin, &end)) continue;
        const size_t choices = 1 + static_cast<size_t>(std::count(name.begin() + static_cast<ptrdiff_t>(begin),
                                                                  name.begin() + static_cast<ptrdiff_t>(end), '|'));
        if (count != 0 && choices != count) return Bad(node, "names with different numbers of {a|b}");
        count = choices;
      }
    }
    size_t bytes = 0;
    for (const StringMap& side : sides) {
      for (const auto& [name, axes] : side) bytes += name.size() + axes.size();
    }
    if (count > kMaxExpandedBytes / std::max<size_t>(bytes, 1)) return Bad(node, absl::StrCat("a rule of ", bytes, " bytes, ", count, " times"));
    for (size_t choice = 0; choice < std::max<size_t>(count, 1); ++choice) {
      std::array<StringMap, 2> one = sides;
      for (StringMap& side : one) {
        for (auto& [name, axes] : side) {
          size_t begin, end;
          if (!find(name, &begin, &end)) continue;
          const std::vector<std::string> choices = absl::StrSplit(name.substr(begin + 1, end - begin - 1), '|');
          name = absl::StrCat(name.substr(0, begin), choices[choice], name.substr(end + 1));
        }
      }
      expanded.push_back(std::move(one));
    }
    return absl::OkStatus();
  }

  const std::string file_;
};

}  // namespace

absl::StatusOr<NameMapFile> ParseNameMapFile(absl::string_view text, const std::string& file) {
  if (text.size() > kMaxFileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": expected a name map of at most ", kMaxFileBytes, " bytes"));
  }
  try {
    const YAML::Node root = YAML::Load(std::string(text));
    return FileReader(file).Read(root);
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(file, ":", error.mark.line + 1, ": ", error.msg));
  }
}

}  // namespace cairn
