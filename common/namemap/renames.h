#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/namemap/name_pattern.h"

namespace cairn {

// Other names for some entries, as a user lists them (NAMEMAP.md, "Renames"): "old: new", with placeholders for numbers
// ("layers.{i}.w: blocks.{i}.w") or one '*' for any characters ("encoder.*: model.encoder.*"). Names are shown paths.
class Renames {
 public:
  // YAML or JSON, up to 1 MiB. INVALID_ARGUMENT with file and line.
  static absl::StatusOr<Renames> Parse(absl::string_view text, const std::string& file);

  struct Renamed {
    size_t rule;
    std::string name;
  };
  // By the first rule that fits, names without '*' before those with one; nothing: the name stays.
  std::optional<Renamed> Find(absl::string_view name) const;

  size_t size() const { return olds_.size(); }
  const std::string& old_name(size_t rule) const { return olds_[rule]; }

 private:
  struct Numbered {
    size_t rule;
    NamePattern from, to;
  };
  struct Starred {
    size_t rule;
    std::string from_front, from_back, to_front, to_back;  // Around the star.
  };

  absl::Status Add(const std::string& from, const std::string& to);

  std::vector<std::string> olds_;  // By rule.
  absl::flat_hash_map<std::string, std::vector<Numbered>> numbered_;  // By NamePattern::name_template().
  std::vector<Starred> starred_;
};

}  // namespace cairn
