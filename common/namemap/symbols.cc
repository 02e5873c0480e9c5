#include "common/namemap/symbols.h"

#include <yaml-cpp/yaml.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace {

constexpr int kMaxDepth = 16;
// A few lines of YAML can name each other until they stand for billions.
constexpr int kMaxNodes = 100'000;

class Expression {
 public:
  Expression(absl::string_view text, const Symbols& symbols) : text_(text), rest_(text), symbols_(symbols) {}

  absl::StatusOr<std::optional<int64_t>> Evaluate() {
    CAIRN_ASSIGN_OR_RETURN(const int64_t value, Sum());
    if (!rest_.empty()) return Bad(absl::StrCat("unexpected \"", std::string(rest_), "\""));
    return unknown_ ? std::nullopt : std::optional<int64_t>(value);
  }

 private:
  absl::Status Bad(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("expression \"", text_, "\": ", what));
  }

  bool Take(char c) {
    rest_ = absl::StripLeadingAsciiWhitespace(rest_);
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  absl::StatusOr<int64_t> Sum() {
    CAIRN_ASSIGN_OR_RETURN(int64_t value, Product());
    while (true) {
      const bool plus = Take('+');
      if (!plus && !Take('-')) return value;
      CAIRN_ASSIGN_OR_RETURN(const int64_t other, Product());
      if (plus ? __builtin_add_overflow(value, other, &value) : __builtin_sub_overflow(value, other, &value)) {
        return Bad("beyond 64 bits");
      }
    }
  }

  absl::StatusOr<int64_t> Product() {
    CAIRN_ASSIGN_OR_RETURN(int64_t value, Term());
    while (true) {
      const bool times = Take('*');
      if (!times && !Take('/')) return value;
      CAIRN_ASSIGN_OR_RETURN(const int64_t other, Term());
      if (unknown_) continue;
      if (times && __builtin_mul_overflow(value, other, &value)) return Bad("beyond 64 bits");
      if (times) continue;
      if (other <= 0 || value % other != 0) return Bad(absl::StrCat(value, " / ", other, " leaves a remainder"));
      value /= other;
    }
  }

  absl::StatusOr<int64_t> Term() {
    rest_ = absl::StripLeadingAsciiWhitespace(rest_);
    size_t length = 0;
    while (length < rest_.size() &&
           (absl::ascii_isalnum(static_cast<unsigned char>(rest_[length])) || rest_[length] == '_')) {
      ++length;
    }
    const absl::string_view word = rest_.substr(0, length);
    rest_.remove_prefix(length);
    if (word.empty()) return Bad("expected a symbol or a number");
    int64_t value = 0;
    if (absl::SimpleAtoi(word, &value)) return value;
    const auto symbol = symbols_.find(std::string(word));
    if (symbol != symbols_.end()) return symbol->second;
    unknown_ = true;
    return 0;
  }

  const absl::string_view text_;
  absl::string_view rest_;
  const Symbols& symbols_;
  bool unknown_ = false;
};

void Flatten(const nlohmann::json& value, const std::string& key, int depth, std::map<std::string, std::string>& out) {
  if (value.is_object() && depth < kMaxDepth) {
    for (const auto& [name, child] : value.items()) {
      Flatten(child, key.empty() ? name : absl::StrCat(key, ".", name), depth + 1, out);
    }
  } else if (value.is_string()) {
    out[key] = value.get<std::string>();
  } else if (value.is_number() || value.is_boolean()) {
    out[key] = value.dump();
  } else if (value.is_array() && !value.empty() && value[0].is_string()) {
    out[key] = value[0].get<std::string>();  // "architectures": ["LlamaForCausalLM"].
  }
}

void Flatten(const YAML::Node& value, const std::string& key, int depth, int& nodes,
             std::map<std::string, std::string>& out) {
  if (++nodes > kMaxNodes) return;
  if (value.IsMap() && depth < kMaxDepth) {
    for (const auto& pair : value) {
      if (!pair.first.IsScalar()) continue;
      const std::string name = pair.first.Scalar();
      Flatten(pair.second, key.empty() ? name : absl::StrCat(key, ".", name), depth + 1, nodes, out);
    }
  } else if (value.IsScalar()) {
    out[key] = value.Scalar();
  }
}

}  // namespace

absl::StatusOr<std::optional<int64_t>> EvaluateExpression(absl::string_view text, const Symbols& symbols) {
  return Expression(text, symbols).Evaluate();
}

absl::Status ConfigDocuments::Add(const std::string& file, absl::string_view text) {
  if (text.size() > kMaxBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": expected a configuration of at most ", kMaxBytes, " bytes, found ", text.size()));
  }
  std::map<std::string, std::string>& values = values_[file];
  if (absl::EndsWith(file, ".json")) {
    const nlohmann::json document = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
    if (document.is_discarded()) return absl::InvalidArgumentError(absl::StrCat(file, ": no JSON"));
    Flatten(document, "", 0, values);
    return absl::OkStatus();
  }
  int nodes = 0;
  try {
    Flatten(YAML::Load(std::string(text)), "", 0, nodes, values);
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(file, ":", error.mark.line + 1, ": ", error.msg));
  }
  return absl::OkStatus();
}

std::optional<std::string> ConfigDocuments::Text(const std::string& file, const std::string& key) const {
  const auto document = values_.find(file);
  if (document == values_.end()) return std::nullopt;
  const auto value = document->second.find(key);
  if (value == document->second.end()) return std::nullopt;
  return value->second;
}

std::optional<int64_t> ConfigDocuments::Integer(const std::string& file, const std::string& key) const {
  const std::optional<std::string> text = Text(file, key);
  int64_t number = 0;
  if (!text.has_value()) return std::nullopt;
  if (absl::EqualsIgnoreCase(*text, "true")) return 1;
  if (absl::EqualsIgnoreCase(*text, "false")) return 0;
  return absl::SimpleAtoi(*text, &number) ? std::optional<int64_t>(number) : std::nullopt;
}

std::vector<std::string> ConfigDocuments::Files() const {
  std::vector<std::string> files;
  for (const auto& [file, values] : values_) files.push_back(file);
  return files;
}

}  // namespace cairn
