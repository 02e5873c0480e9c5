#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/namemap/axes.h"
#include "common/namemap/name_pattern.h"
#include "common/namemap/symbols.h"

namespace cairn {

// What tells that a checkpoint is of a naming. An empty one says nothing.
struct DetectRules {
  // Configuration file, key, texts one of which the value must be ('*': any characters), or none of which where they
  // begin with '!'. A file or a key that is not there decides nothing.
  struct ConfigRule {
    std::string file, key;
    std::vector<std::string> values;
  };
  std::vector<ConfigRule> config;
  std::vector<NamePattern> names;    // Each must match some name,
  std::vector<NamePattern> without;  // and none of these.

  bool empty() const { return config.empty() && names.empty() && without.empty(); }
};

// Where the number of a symbol stands.
struct SymbolSource {
  std::string symbol;
  std::string file;
  std::string key;  // Empty: `value` is it.
  int64_t value = 0;
  std::string when;  // Key of the same file that must be true; empty: always.
};

// One way to name the tensors of a model.
struct Naming {
  // What becomes of a head that is the embedding, in files of this naming.
  enum class Tied { kOmit, kAlias, kCopy };

  std::string name;
  std::vector<std::string> also;  // Other names of it.
  std::string about;
  std::string group;                  // "hf": chosen by `hf` too, and a map may lead over it to another.
  bool nested = false;                // One path segment per level; otherwise a flat name.
  std::vector<std::string> prefixes;  // Taken away where every tensor has one of them: "model.", "params/".
  Tied tied = Tied::kOmit;
  std::vector<SymbolSource> symbols;  // The first that gives a number counts.
  DetectRules detect;
};

// A pair of namings, and how the tensors of one become those of the other. Neither is the source: rules read both ways.
struct NameMap {
  struct Tensor {
    NamePattern name;
    Axes axes;
  };
  // Tensors of the left hold the same elements as tensors of the right: part by part, in order.
  struct Rule {
    std::array<std::vector<Tensor>, 2> sides;
    std::string where;  // "maps/x.yaml:12".
  };
  // Names of sides[s] that have no counterpart: patterns, or texts with '*'.
  std::array<std::vector<std::string>, 2> drop;
  // Pairs (tied head, embedding) of either side, at the same position.
  std::array<std::vector<std::pair<std::string, std::string>>, 2> tied;
  // Symbols that follow from others: ("half", "head_dim / 2"). They come before what shapes tell,
  std::vector<std::pair<std::string, std::string>> derived;
  // and these where nothing else tells, in order: ("kv_heads", "heads").
  std::vector<std::pair<std::string, std::string>> defaults;
  // Of a side: this map is meant, where several lead from that naming.
  std::array<DetectRules, 2> detect;

  std::array<std::string, 2> sides;  // Names of namings.
  std::vector<Rule> rules;
  std::string where;
  std::string extends;  // "left:right" of a map whose rules, drops, ties and symbols come after its own.
};

// One file: namings, and at most one map.
struct NameMapFile {
  std::vector<Naming> namings;
  std::vector<NameMap> maps;
};

// Reads what NAMEMAP.md describes. INVALID_ARGUMENT with file and line otherwise: unknown keys, patterns and axes that
// do not parse, rules whose sides do not hold the same axes.
absl::StatusOr<NameMapFile> ParseNameMapFile(absl::string_view text, const std::string& file);

}  // namespace cairn
