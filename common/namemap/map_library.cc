#include "common/namemap/map_library.h"

#include <algorithm>
#include <array>
#include <set>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/namemap/common_parent.h"

namespace cairn {
namespace {

// How well rules fit: not at all, by names alone, or because the configuration says so.
enum class Fit { kNo, kNames, kConfig };

// Values that begin with '!' are those that it must not be.
bool OneOf(const std::vector<std::string>& values, absl::string_view found) {
  bool fits = false, any_positive = false;
  for (absl::string_view value : values) {
    const bool negative = absl::ConsumePrefix(&value, "!");
    const bool matches = MatchesStars(found, value);
    if (negative && matches) return false;
    any_positive |= !negative;
    fits |= !negative && matches;
  }
  return fits || !any_positive;
}

class Detector {
 public:
  Detector(const CheckpointIndex& index, const ConfigDocuments& config) : config_(config) {
    for (const bool nested : {false, true}) {
      const size_t parent = nested ? 0 : CommonParentDepth(index);
      for (const Entry& entry : index.entries) {
        if (entry.kind != EntryKind::kTensor && entry.kind != EntryKind::kAlias) continue;
        if (std::optional<std::string> name = NameOfPath(WithoutParent(entry.path, parent), nested))
          names_[nested].push_back(*std::move(name));
      }
    }
  }

  Fit Judge(const DetectRules& rules, const Naming& naming) {
    bool config_says_so = false;
    for (const DetectRules::ConfigRule& rule : rules.config) {
      const std::optional<std::string> found = config_.Text(rule.file, rule.key);
      if (!found.has_value()) continue;
      if (!OneOf(rule.values, *found)) return Fit::kNo;
      config_says_so = true;
    }
    absl::flat_hash_set<std::string> templates;
    const std::vector<std::string>& names = names_[naming.nested];
    const size_t prefix = CommonPrefix(names, naming.prefixes);
    for (const std::string& name : names)
      templates.insert(NameTemplate::Of(absl::string_view(name).substr(prefix)).text);
    for (const NamePattern& pattern : rules.names) {
      if (!templates.contains(pattern.name_template())) return Fit::kNo;
    }
    for (const NamePattern& pattern : rules.without) {
      if (templates.contains(pattern.name_template())) return Fit::kNo;
    }
    return config_says_so ? Fit::kConfig : Fit::kNames;
  }

 private:
  const ConfigDocuments& config_;
  std::array<std::vector<std::string>, 2> names_;  // Flat, nested.
};

std::string SideNames(const std::vector<NameMap>& maps) {
  return absl::StrJoin(
      maps, ", ", [](std::string* out, const NameMap& map) { absl::StrAppend(out, map.sides[0], ":", map.sides[1]); });
}

}  // namespace

size_t CommonPrefix(const std::vector<std::string>& names, const std::vector<std::string>& prefixes) {
  if (names.empty()) return 0;
  size_t length = 0;
  for (bool found = true; found;) {
    found = false;
    for (const std::string& prefix : prefixes) {
      const bool all = !prefix.empty() && std::all_of(names.begin(), names.end(), [&](const std::string& name) {
        return name.compare(length, prefix.size(), prefix) == 0 && name.size() > length + prefix.size();
      });
      if (!all) continue;
      length += prefix.size();
      found = true;
      break;
    }
  }
  return length;
}

absl::StatusOr<std::unique_ptr<MapLibrary>> MapLibrary::Create(const std::vector<File>& files) {
  std::unique_ptr<MapLibrary> library(new MapLibrary());
  for (const std::vector<File>* some : {&BuiltinMapFiles(), &files}) {
    for (const File& file : *some) {
      CAIRN_ASSIGN_OR_RETURN(NameMapFile parsed, ParseNameMapFile(file.text, file.name));
      CAIRN_RETURN_IF_ERROR(library->Add(std::move(parsed)));
    }
    // The program's own maps extend each other, whatever takes their place.
    CAIRN_RETURN_IF_ERROR(library->Link());
  }
  return library;
}

absl::Status MapLibrary::Add(NameMapFile file) {
  for (Naming& naming : file.namings) {
    std::erase_if(namings_, [&](const Naming& other) { return other.name == naming.name; });
    namings_.push_back(std::move(naming));
  }
  for (NameMap& map : file.maps) {
    std::erase_if(maps_, [&](const NameMap& other) {
      return other.sides == map.sides || (other.sides[0] == map.sides[1] && other.sides[1] == map.sides[0]);
    });
    maps_.push_back(std::move(map));
  }
  return absl::OkStatus();
}

absl::Status MapLibrary::Link() {
  // Behind its own, so that those come first where both know a name.
  const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  for (NameMap& map : maps_) {
    for (std::string& side : map.sides) {
      const absl::StatusOr<const Naming*> naming = Find(side);
      if (!naming.ok()) return Annotate(naming.status(), map.where);
      side = (*naming)->name;
    }
  }
  const std::vector<NameMap> as_written = maps_;
  for (NameMap& map : maps_) {
    std::set<std::string> seen;
    for (std::string base_name = map.extends; !base_name.empty();) {
      const auto base = std::find_if(as_written.begin(), as_written.end(), [&](const NameMap& other) {
        return absl::StrCat(other.sides[0], ":", other.sides[1]) == base_name;
      });
      if (base == as_written.end() || !seen.insert(base_name).second || base->sides == map.sides) {
        return absl::InvalidArgumentError(
            absl::StrCat(map.where, ": extends \"", base_name, "\", expected one of ", SideNames(maps_)));
      }
      append(map.rules, base->rules);
      append(map.derived, base->derived);
      append(map.defaults, base->defaults);
      for (size_t side = 0; side < 2; ++side) {
        append(map.drop[side], base->drop[side]);
        append(map.tied[side], base->tied[side]);
      }
      base_name = base->extends;
    }
    map.extends.clear();
    for (const auto* expressions : {&map.derived, &map.defaults}) {
      for (const auto& [symbol, expression] : *expressions) {
        CAIRN_RETURN_IF_ERROR(
            Annotate(EvaluateExpression(expression, {}).status(), absl::StrCat(map.where, ": ", symbol)));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<const Naming*> MapLibrary::Find(absl::string_view name) const {
  for (const Naming& naming : namings_) {
    if (naming.name == name || std::find(naming.also.begin(), naming.also.end(), name) != naming.also.end()) {
      return &naming;
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown naming \"", name, "\"; there are ",
                   absl::StrJoin(namings_, ", ",
                                 [](std::string* out, const Naming& naming) { absl::StrAppend(out, naming.name); })));
}

bool MapLibrary::IsGroup(absl::string_view name) const {
  return !name.empty() &&
         std::any_of(namings_.begin(), namings_.end(), [&](const Naming& naming) { return naming.group == name; });
}

absl::StatusOr<const Naming*> MapLibrary::Detect(const CheckpointIndex& index, const ConfigDocuments& config,
                                                 absl::string_view group) const {
  Detector detector(index, config);
  Fit best = Fit::kNo;
  std::vector<const Naming*> fitting;
  for (const Naming& naming : namings_) {
    if (naming.detect.empty() || (!group.empty() && naming.group != group)) continue;
    const Fit fit = detector.Judge(naming.detect, naming);
    if (fit == Fit::kNo || fit < best) continue;
    if (fit > best) fitting.clear();
    best = fit;
    fitting.push_back(&naming);
  }
  if (fitting.size() == 1) return fitting[0];
  const std::string names =
      absl::StrJoin(fitting, ", ", [](std::string* out, const Naming* naming) { absl::StrAppend(out, naming->name); });
  if (!fitting.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the checkpoint could be of several namings: ", names, "; say which"));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "the checkpoint is of no known naming", group.empty() ? "" : absl::StrCat(" of ", group), "; its first entry is ",
      index.entries.empty() ? "missing" : absl::StrCat("\"", index.entries[0].path.ToString(), "\""), "; there are ",
      absl::StrJoin(namings_, ", ",
                    [](std::string* out, const Naming& naming) { absl::StrAppend(out, naming.name); })));
}

std::vector<MapStep> MapLibrary::StepsFrom(const Naming& from) const {
  std::vector<MapStep> steps;
  for (const NameMap& map : maps_) {
    for (size_t side = 0; side < 2; ++side) {
      if (map.sides[side] != from.name) continue;
      steps.push_back({&map, side, &from, *Find(map.sides[1 - side])});
    }
  }
  return steps;
}

absl::StatusOr<std::vector<MapStep>> MapLibrary::FindWay(absl::string_view from, absl::string_view to,
                                                         const CheckpointIndex& index,
                                                         const ConfigDocuments& config) const {
  // A name that nobody knows is a mistake whatever the checkpoint is.
  const bool to_group = IsGroup(to);
  const Naming* end = nullptr;
  if (!to_group) {
    CAIRN_ASSIGN_OR_RETURN(end, Find(to));
  }
  const Naming* start = nullptr;
  if (from.empty() || IsGroup(from)) {
    CAIRN_ASSIGN_OR_RETURN(start, Detect(index, config, from));
  } else {
    CAIRN_ASSIGN_OR_RETURN(start, Find(from));
  }
  if (start == end || (to_group && start->group == to)) {
    return absl::InvalidArgumentError(absl::StrCat("the checkpoint is ", start->name, " already"));
  }
  const auto arrived = [&](const Naming& naming) { return to_group ? naming.group == to : &naming == end; };
  std::vector<std::vector<MapStep>> ways;
  for (const MapStep& first : StepsFrom(*start)) {
    if (arrived(*first.to)) ways.push_back({first});
  }
  if (ways.empty()) {
    for (const MapStep& first : StepsFrom(*start)) {
      if (first.to->group.empty()) continue;
      for (const MapStep& second : StepsFrom(*first.to)) {
        if (second.map != first.map && arrived(*second.to)) ways.push_back({first, second});
      }
    }
  }
  if (ways.size() > 1) {
    Detector detector(index, config);
    Fit best = Fit::kNo;
    std::vector<std::vector<MapStep>> fitting;
    for (std::vector<MapStep>& way : ways) {
      const Fit fit = detector.Judge(way[0].map->detect[way[0].from_side], *start);
      if (fit == Fit::kNo || fit < best) continue;
      if (fit > best) fitting.clear();
      best = fit;
      fitting.push_back(std::move(way));
    }
    ways = std::move(fitting);
  }
  if (ways.size() == 1) return ways[0];
  if (ways.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no map leads from ", start->name, " to ", to, "; there are ", SideNames(maps_), " (both ways)"));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "several maps lead from ", start->name, " to ", to, ": over ",
      absl::StrJoin(ways, ", ",
                    [](std::string* out, const std::vector<MapStep>& way) { absl::StrAppend(out, way[0].to->name); }),
      "; name the one that is meant"));
}

absl::StatusOr<std::vector<MapStep>> MapLibrary::WayOfFile(const std::string& file,
                                                           const CheckpointIndex& index) const {
  const auto map = std::find_if(maps_.begin(), maps_.end(), [&](const NameMap& other) {
    return absl::StartsWith(other.where, absl::StrCat(file, ":"));
  });
  if (map == maps_.end())
    return absl::InvalidArgumentError(absl::StrCat(file, ": expected a map (sides, rules), found none"));
  std::array<size_t, 2> known = {0, 0};
  std::array<const Naming*, 2> namings = {*Find(map->sides[0]), *Find(map->sides[1])};
  for (size_t side = 0; side < 2; ++side) {
    absl::flat_hash_set<std::string> templates;
    for (const NameMap::Rule& rule : map->rules) {
      for (const NameMap::Tensor& tensor : rule.sides[side]) templates.insert(tensor.name.name_template());
    }
    std::vector<std::string> names;
    const bool nested = namings[side]->nested;
    const size_t parent = nested ? 0 : CommonParentDepth(index);
    for (const Entry& entry : index.entries) {
      if (entry.kind == EntryKind::kAsset) continue;
      if (std::optional<std::string> name = NameOfPath(WithoutParent(entry.path, parent), nested))
        names.push_back(*std::move(name));
    }
    const size_t prefix = CommonPrefix(names, namings[side]->prefixes);
    known[side] = static_cast<size_t>(std::count_if(names.begin(), names.end(), [&](const std::string& name) {
      return templates.contains(NameTemplate::Of(absl::string_view(name).substr(prefix)).text);
    }));
  }
  if (known[0] == known[1]) {
    return absl::InvalidArgumentError(absl::StrCat(map->where, ": ", map->sides[0], " and ", map->sides[1],
                                                   " know as many of the checkpoint's names (", known[0],
                                                   "); say FROM:TO"));
  }
  const size_t from = known[0] > known[1] ? 0 : 1;
  return std::vector<MapStep>{{&*map, from, namings[from], namings[1 - from]}};
}

std::vector<std::string> MapLibrary::ConfigFiles() const {
  std::set<std::string> files;
  const auto add = [&](const DetectRules& rules) {
    for (const DetectRules::ConfigRule& rule : rules.config) files.insert(rule.file);
  };
  for (const Naming& naming : namings_) {
    add(naming.detect);
    for (const SymbolSource& source : naming.symbols) files.insert(source.file);
  }
  for (const NameMap& map : maps_) {
    add(map.detect[0]);
    add(map.detect[1]);
  }
  return {files.begin(), files.end()};
}

}  // namespace cairn
