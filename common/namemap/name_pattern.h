#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/tensor/key_path.h"

namespace cairn {

// A name whose numbers are taken out: "model.layers.3.mlp.w" is "model.layers.{}.mlp.w" and 3. A number is a whole
// piece between dots or slashes, decimal, without leading zeros.
struct NameTemplate {
  std::string text;
  std::vector<int64_t> numbers;

  static NameTemplate Of(absl::string_view name);
};

// A name with placeholders for numbers: "model.layers.{i}.mlp.experts.{e}.w1.weight".
class NamePattern {
 public:
  // INVALID_ARGUMENT for braces that do not fit, or a placeholder that is no whole piece of the name.
  static absl::StatusOr<NamePattern> Parse(absl::string_view text);

  const std::string& text() const { return text_; }
  // NameTemplate::text of every name that the pattern could match.
  const std::string& name_template() const { return template_; }
  const std::vector<std::string>& placeholders() const { return placeholders_; }

  // What the placeholders stand for in a name whose template is name_template(), or nothing.
  std::optional<std::map<std::string, int64_t>> Match(const NameTemplate& name) const;
  // Every placeholder has a number.
  std::string Fill(const std::map<std::string, int64_t>& numbers) const;

 private:
  std::string text_, template_;
  std::vector<std::string> literals_;      // Around the placeholders.
  std::vector<std::string> placeholders_;  // In order.
  std::vector<std::string> numbers_;       // Per number of the template: its placeholder, or the number itself.
};

// True if `text` is `glob`, where '*' stands for any characters.
bool MatchesStars(absl::string_view text, absl::string_view glob);

// How the names of a naming stand in a tree: as one segment, or one segment per level (then a name map writes '/').
// Nothing for a path that is no such name.
std::optional<std::string> NameOfPath(const KeyPath& path, bool nested);
KeyPath PathOfName(const std::string& name, bool nested);

}  // namespace cairn
