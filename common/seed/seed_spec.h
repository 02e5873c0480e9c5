#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/namemap/symbols.h"
#include "common/seed/fill.h"
#include "common/tensor/dtype.h"
#include "common/tensor/key_path.h"
#include "common/tensor/shape.h"

namespace cairn {

// The initialisation of tensors by name: "*.bias" ('*' is any characters) and "zeros".
struct SeedRule {
  std::string pattern;
  std::string initialization;

  // "PATTERN=INITIALISATION". INVALID_ARGUMENT for anything else.
  static absl::StatusOr<SeedRule> Parse(absl::string_view text);
};

// The tensors of a model, and how each begins. README.md describes the text of it.
struct SeedSpec {
  std::optional<Dtype> dtype;
  bool nested = false;  // Names are cut at '/', one path segment per level.
  Symbols symbols;
  std::vector<std::string> tensors;  // "layers.{layers}.w1 [4 * hidden, hidden] = normal(std=0.02)".
  std::vector<SeedRule> rules;       // The first that fits counts, for tensors without one of their own.

  // A YAML file. INVALID_ARGUMENT with file and line for unknown keys and what does not parse.
  static absl::StatusOr<SeedSpec> Parse(absl::string_view text, const std::string& file);
  // Hugging Face's config.json of a decoder of the Llama kind, under Hugging Face's names. `init`: one of InitSchemes().
  // INVALID_ARGUMENT for an unknown model_type, and for numbers that are missing or do not fit together.
  static absl::StatusOr<SeedSpec> OfConfig(absl::string_view text, const std::string& file, absl::string_view init);
  static std::vector<std::string> InitSchemes() { return {"hf", "torchtitan"}; }
};

struct SeedTensor {
  KeyPath path;
  Shape shape;
  Fill fill;
};

// Every tensor there is to be. `first_rules` go before all others. INVALID_ARGUMENT for unknown symbols, a name that comes
// twice, a tensor without a rule, a rule of `first_rules` that fits no tensor, and more entries than a reader would take.
absl::StatusOr<std::vector<SeedTensor>> ExpandSeedSpec(const SeedSpec& spec, const std::vector<SeedRule>& first_rules = {});

}  // namespace cairn
