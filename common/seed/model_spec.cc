// SeedSpec of a model that Hugging Face's config.json describes.

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/namemap/symbols.h"
#include "common/seed/seed_spec.h"

namespace cairn {
namespace {

constexpr char kName[] = "config.json";
const char* const kModelTypes[] = {"llama", "mistral", "qwen2", "qwen3"};

class ConfigReader {
 public:
  ConfigReader(const ConfigDocuments& config, std::string file, std::string model)
      : config_(config), file_(std::move(file)), model_(std::move(model)) {}

  absl::Status Bad(absl::string_view what) const { return absl::InvalidArgumentError(absl::StrCat(file_, ": ", what)); }

  // Of a positive number.
  absl::StatusOr<int64_t> Number(const std::string& key, std::optional<int64_t> otherwise = std::nullopt) const {
    const std::optional<std::string> text = config_.Text(kName, key);
    if (!text.has_value()) {
      if (otherwise.has_value()) return *otherwise;
      return Bad(absl::StrCat("expected the key \"", key, "\", found none; add it"));
    }
    const std::optional<int64_t> number = config_.Integer(kName, key);
    if (!number.has_value() || *number < 1 || *number > std::numeric_limits<int32_t>::max()) {
      return Bad(absl::StrCat(key, ": expected a whole number from 1 to 2^31 - 1, found ", *text));
    }
    return *number;
  }
  bool Flag(const std::string& key) const { return config_.Integer(kName, key).value_or(0) != 0; }

  absl::StatusOr<Symbols> ReadSymbols() const {
    Symbols symbols;
    for (const auto& [symbol, key] : std::initializer_list<std::pair<const char*, const char*>>{
             {"hidden", "hidden_size"},
             {"layers", "num_hidden_layers"},
             {"heads", "num_attention_heads"},
             {"inter", "intermediate_size"},
             {"vocab", "vocab_size"}}) {
      CAIRN_ASSIGN_OR_RETURN(symbols[symbol], Number(key));
    }
    const int64_t heads = symbols["heads"], hidden = symbols["hidden"];
    // Where the key is missing, transformers takes as many as heads for Llama, and a number of its own for the others.
    std::optional<int64_t> kv_default;
    if (model_ == "llama") kv_default = heads;
    CAIRN_ASSIGN_OR_RETURN(const int64_t kv_heads, Number("num_key_value_heads", kv_default));
    if (heads % kv_heads != 0) {
      return Bad(absl::StrCat("expected num_attention_heads to be a multiple of num_key_value_heads, found ", heads, " and ", kv_heads));
    }
    std::optional<int64_t> head_default;
    if (model_ == "qwen3") {
      head_default = 128;
    } else if (hidden % heads == 0) {
      head_default = hidden / heads;
    } else if (!config_.Text(kName, "head_dim").has_value()) {
      return Bad(absl::StrCat("expected hidden_size to be a multiple of num_attention_heads, found ", hidden, " and ", heads,
                              "; where that is meant, add head_dim"));
    }
    CAIRN_ASSIGN_OR_RETURN(symbols["head_dim"], Number("head_dim", head_default));
    symbols["kv_heads"] = kv_heads;
    return symbols;
  }

  std::vector<std::string> Tensors() const {
    const bool q_bias = model_ == "qwen2" || (model_ != "mistral" && Flag("attention_bias"));
    const bool o_bias = q_bias && model_ != "qwen2";
    const bool mlp_bias = model_ == "llama" && Flag("mlp_bias");
    std::vector<std::string> lines = {"model.embed_tokens.weight [vocab, hidden]"};
    const auto add = [&](absl::string_view name, absl::string_view rows, absl::string_view columns, bool bias) {
      lines.push_back(absl::StrCat("model.layers.{layers}.", name, ".weight [", rows, columns.empty() ? "" : ", ", columns, "]"));
      if (bias) lines.push_back(absl::StrCat("model.layers.{layers}.", name, ".bias [", rows, "]"));
    };
    add("input_layernorm", "hidden", "", false);
    add("self_attn.q_proj", "heads * head_dim", "hidden", q_bias);
    add("self_attn.k_proj", "kv_heads * head_dim", "hidden", q_bias);
    add("self_attn.v_proj", "kv_heads * head_dim", "hidden", q_bias);
    add("self_attn.o_proj", "hidden", "heads * head_dim", o_bias);
    if (model_ == "qwen3") {
      add("self_attn.q_norm", "head_dim", "", false);
      add("self_attn.k_norm", "head_dim", "", false);
    }
    add("post_attention_layernorm", "hidden", "", false);
    add("mlp.gate_proj", "inter", "hidden", mlp_bias);
    add("mlp.up_proj", "inter", "hidden", mlp_bias);
    add("mlp.down_proj", "hidden", "inter", mlp_bias);
    lines.push_back("model.norm.weight [hidden]");
    if (!Flag("tie_word_embeddings")) lines.push_back("lm_head.weight [vocab, hidden]");
    return lines;
  }

  absl::StatusOr<std::vector<SeedRule>> Rules(absl::string_view init) const {
    std::vector<SeedRule> rules = {{"*norm.weight", "ones"}, {"*.bias", "zeros"}};
    if (init == "hf") {
      const std::string range = config_.Text(kName, "initializer_range").value_or("0.02");
      double number = 0;
      if (!absl::SimpleAtod(range, &number) || !(number > 0)) {
        return Bad(absl::StrCat("initializer_range: expected a number above 0, found ", range));
      }
      rules.push_back({"*", absl::StrCat("normal(std=", range, ")")});
      return rules;
    }
    if (init != "torchtitan") {
      return absl::InvalidArgumentError(
          absl::StrCat("expected one of ", absl::StrJoin(SeedSpec::InitSchemes(), ", "), ", found \"", init, "\""));
    }
    const std::string head = "lecun_normal(cutoff=3)";
    rules.push_back({"lm_head.weight", head});
    rules.push_back({"model.embed_tokens.weight", Flag("tie_word_embeddings") ? head : "normal(std=1)"});
    for (const char* name : {"o_proj", "up_proj", "down_proj"}) {
      rules.push_back({absl::StrCat("*.", name, ".weight"), "trunc_normal(std=0.02, depth=layer)"});
    }
    rules.push_back({"*", "trunc_normal(std=0.02)"});
    return rules;
  }

 private:
  const ConfigDocuments& config_;
  const std::string file_, model_;
};

}  // namespace

absl::StatusOr<SeedSpec> SeedSpec::OfConfig(absl::string_view text, const std::string& file, absl::string_view init) {
  ConfigDocuments config;
  if (const absl::Status status = config.Add(kName, text); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": ", status.message()));
  }
  const std::string model = config.Text(kName, "model_type").value_or("");
  const ConfigReader reader(config, file, model);
  if (std::find(std::begin(kModelTypes), std::end(kModelTypes), model) == std::end(kModelTypes)) {
    return reader.Bad(absl::StrCat("model_type: expected one of ", absl::StrJoin(kModelTypes, ", "), ", found \"", model,
                                   "\"; describe the tensors of any other model in a YAML file"));
  }
  if (config.Text(kName, "quantization_config.quant_method").has_value()) {
    return reader.Bad("expected a model of floats, found quantization_config; remove it");
  }
  SeedSpec spec;
  CAIRN_ASSIGN_OR_RETURN(spec.symbols, reader.ReadSymbols());
  spec.tensors = reader.Tensors();
  CAIRN_ASSIGN_OR_RETURN(spec.rules, reader.Rules(init));
  // `torch_dtype` before transformers 5.
  for (const char* key : {"dtype", "torch_dtype"}) {
    const std::optional<std::string> name = config.Text(kName, key);
    if (!name.has_value()) continue;
    spec.dtype = ParseDtype(*name);
    if (!spec.dtype.has_value()) return reader.Bad(absl::StrCat(key, ": expected a float type, found \"", *name, "\""));
    break;
  }
  return spec;
}

}  // namespace cairn
