#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {

// Numbers by name: "heads" -> 32.
using Symbols = std::map<std::string, int64_t>;

// The value of "hidden / heads", "2 * kv_heads + heads": + - * / of symbols and numbers, from left to right with the
// usual precedence. Nothing if a symbol is not known. INVALID_ARGUMENT for what is no such text, for a division that
// leaves a remainder, and for numbers beyond int64.
absl::StatusOr<std::optional<int64_t>> EvaluateExpression(absl::string_view text, const Symbols& symbols);

// Configuration files that lie with a checkpoint (config.json, params.json, model_config.yaml), as flat text: the value
// of a key in a map within a map has the keys joined with '.'.
class ConfigDocuments {
 public:
  static constexpr size_t kMaxBytes = 4u << 20;

  // Adds a document; its suffix says what it is (.json, .yaml, .yml). INVALID_ARGUMENT if it does not parse.
  absl::Status Add(const std::string& file, absl::string_view text);

  bool Has(const std::string& file) const { return values_.contains(file); }
  // Nothing for a key that is missing, null or no plain value.
  std::optional<std::string> Text(const std::string& file, const std::string& key) const;
  // true is 1, false is 0.
  std::optional<int64_t> Integer(const std::string& file, const std::string& key) const;
  std::vector<std::string> Files() const;

 private:
  std::map<std::string, std::map<std::string, std::string>> values_;
};

}  // namespace cairn
