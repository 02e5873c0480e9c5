#include "common/format/llama/llama_layout.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

struct Rule {
  absl::string_view name;
  LlamaRole role;
};

constexpr Rule kModelRules[] = {
    {"tok_embeddings.weight", LlamaRole::kEmbedding},
    {"output.weight", LlamaRole::kRows},
    {"norm.weight", LlamaRole::kCopied},
    {"rope.freqs", LlamaRole::kCopied},
};

constexpr Rule kLayerRules[] = {
    {"attention.wq.weight", LlamaRole::kQueryRows},
    {"attention.wk.weight", LlamaRole::kKeyValueRows},
    {"attention.wv.weight", LlamaRole::kKeyValueRows},
    {"attention.wo.weight", LlamaRole::kColumns},
    {"feed_forward.w1.weight", LlamaRole::kRows},
    {"feed_forward.w2.weight", LlamaRole::kColumns},
    {"feed_forward.w3.weight", LlamaRole::kRows},
    {"attention_norm.weight", LlamaRole::kCopied},
    {"ffn_norm.weight", LlamaRole::kCopied},
};

template <size_t kCount>
std::optional<LlamaRole> Find(const Rule (&rules)[kCount], absl::string_view name) {
  for (const Rule& rule : rules) {
    if (rule.name == name) return rule.role;
  }
  return std::nullopt;
}

constexpr absl::string_view kNeedsParams = "put the params.json of the model beside it";

uint64_t Extent(const Shape& shape, size_t axis) { return static_cast<uint64_t>(shape[axis]); }

absl::Status CheckMatrix(const Shape& shape) {
  if (shape.size() == 2) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("expected a matrix, found shape ", ShapeToString(shape)));
}

// How many parts have the same heads of keys and values.
absl::StatusOr<uint64_t> CopiesOfHeads(uint64_t heads, uint64_t parts) {
  if (heads >= parts ? heads % parts == 0 : parts % heads == 0) return heads >= parts ? 1 : parts / heads;
  return absl::InvalidArgumentError(absl::StrCat(heads, " heads of keys and values do not go into ", parts, " parts evenly"));
}

absl::StatusOr<LlamaCut> JoinOfEmbedding(const Shape& part, uint64_t parts, const LlamaFacts& facts) {
  if (!facts.dim.has_value()) {
    if (facts.columns_of_embedding) return LlamaCut{.axis = 1};
    return absl::InvalidArgumentError(
        absl::StrCat("whether ", parts, " parts of shape ", ShapeToString(part), " are joined by rows (Llama 3) or by columns (Llama 1 and 2) cannot be told without "
                     "the model's dim: ", kNeedsParams));
  }
  const uint64_t dim = *facts.dim;
  const uint64_t rows = Extent(part, 0);
  const uint64_t columns = Extent(part, 1);
  std::optional<LlamaCut> cut;
  uint64_t vocabulary = rows;
  if (columns == dim) {
    cut = LlamaCut{.axis = 0};
    vocabulary = CheckedMul(rows, parts).value_or(0);
  } else if (CheckedMul(columns, parts) == dim) {
    cut = LlamaCut{.axis = 1};
  }
  if (!cut.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("parts of shape ", ShapeToString(part), " do not give a dim of ", dim, ", neither as rows nor as ", parts,
                                                   " groups of columns: expected ", dim, " or ", dim, " / ", parts, " columns"));
  }
  if (facts.params.vocab_size.has_value() && *facts.params.vocab_size != vocabulary) {
    return absl::InvalidArgumentError(absl::StrCat(parts, " parts of shape ", ShapeToString(part), " give a vocabulary of ", vocabulary, ", expected ",
                                                   *facts.params.vocab_size, " by params.json: is a part missing?"));
  }
  return *cut;
}

absl::StatusOr<LlamaCut> JoinOfKeysOrValues(const Shape& part, uint64_t parts, const LlamaFacts& facts) {
  const std::optional<uint64_t> heads = facts.params.key_value_heads();
  const std::optional<uint64_t> head_dim = facts.params.head_dim();
  if (!heads.has_value() || !head_dim.has_value()) {
    // As many keys as queries: nobody keeps these twice.
    if (facts.query_rows == Extent(part, 0)) return LlamaCut{};
    return absl::InvalidArgumentError(
        absl::StrCat("whether the parts' heads of keys and values are the same ones cannot be told without n_heads, n_kv_heads and dim: ", kNeedsParams));
  }
  CAIRN_ASSIGN_OR_RETURN(const uint64_t copies, CopiesOfHeads(*heads, parts));
  const uint64_t expected = std::max<uint64_t>(*heads / parts, 1) * *head_dim;
  if (expected != Extent(part, 0)) {
    return absl::InvalidArgumentError(absl::StrCat("parts of shape ", ShapeToString(part), ", expected ", expected, " rows: ", *heads,
                                                   " heads of keys and values of ", *head_dim, " by params.json, in ", parts, " parts"));
  }
  return LlamaCut{.axis = 0, .copies = copies};
}

}  // namespace

std::optional<LlamaRole> LlamaRoleOf(const KeyPath& path) {
  if (path.segments().size() != 1 || !std::holds_alternative<std::string>(path.segments()[0])) return std::nullopt;
  absl::string_view name = std::get<std::string>(path.segments()[0]);
  if (!absl::ConsumePrefix(&name, "layers.")) return Find(kModelRules, name);
  const size_t digits = name.find('.');
  if (digits == 0 || digits == absl::string_view::npos) return std::nullopt;
  if (!std::all_of(name.begin(), name.begin() + static_cast<ptrdiff_t>(digits), [](char c) { return absl::ascii_isdigit(c); })) return std::nullopt;
  return Find(kLayerRules, name.substr(digits + 1));
}

absl::StatusOr<LlamaCut> JoinOfLlamaTensor(LlamaRole role, const Shape& part, uint64_t parts, const LlamaFacts& facts) {
  if (role == LlamaRole::kCopied) return LlamaCut{.axis = 0, .copies = parts};
  CAIRN_RETURN_IF_ERROR(CheckMatrix(part));
  switch (role) {
    case LlamaRole::kEmbedding:
      return JoinOfEmbedding(part, parts, facts);
    case LlamaRole::kKeyValueRows:
      return JoinOfKeysOrValues(part, parts, facts);
    case LlamaRole::kColumns:
      return LlamaCut{.axis = 1};
    case LlamaRole::kQueryRows:
    case LlamaRole::kRows:
    case LlamaRole::kCopied:
      break;
  }
  const std::optional<uint64_t> head_dim = facts.params.head_dim();
  if (role == LlamaRole::kQueryRows && head_dim.has_value() && facts.params.heads.has_value()) {
    const uint64_t expected = *facts.params.heads * *head_dim;
    if (CheckedMul(Extent(part, 0), parts) != expected) {
      return absl::InvalidArgumentError(absl::StrCat(parts, " parts of shape ", ShapeToString(part), ", expected ", expected, " rows in all (",
                                                     *facts.params.heads, " heads of ", *head_dim, ") by params.json: is a part missing?"));
    }
  }
  return LlamaCut{};
}

absl::StatusOr<LlamaCut> CutOfLlamaTensor(LlamaRole role, const Shape& whole, uint64_t parts, const LlamaFacts& facts) {
  if (parts == 1 || role == LlamaRole::kCopied) return LlamaCut{.axis = 0, .copies = parts};
  CAIRN_RETURN_IF_ERROR(CheckMatrix(whole));
  LlamaCut cut;
  if (role == LlamaRole::kColumns || (role == LlamaRole::kEmbedding && facts.columns_of_embedding)) cut.axis = 1;
  if (role == LlamaRole::kKeyValueRows) {
    if (const std::optional<uint64_t> heads = facts.params.key_value_heads(); heads.has_value()) {
      CAIRN_ASSIGN_OR_RETURN(cut.copies, CopiesOfHeads(*heads, parts));
      if (Extent(whole, 0) % *heads != 0) {
        return absl::InvalidArgumentError(absl::StrCat("shape ", ShapeToString(whole), ": the rows are not ", *heads, " heads of keys and values"));
      }
    } else if (facts.query_rows != Extent(whole, 0)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "has fewer heads than the queries, and how many is not known: the source needs a params.json or config.json, or write one part"));
    }
  }
  if (role == LlamaRole::kQueryRows && facts.params.heads.has_value() && *facts.params.heads % parts != 0) {
    return absl::InvalidArgumentError(absl::StrCat(*facts.params.heads, " heads do not go into ", parts, " parts evenly"));
  }
  const uint64_t slices = parts / cut.copies;
  if (Extent(whole, cut.axis) % slices != 0) {
    return absl::InvalidArgumentError(absl::StrCat("shape ", ShapeToString(whole), ": the ", cut.axis == 0 ? "rows" : "columns", " do not go into ", slices,
                                                   " slices evenly"));
  }
  return cut;
}

}  // namespace cairn
