#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "common/format/llama/llama_params.h"
#include "common/tensor/key_path.h"
#include "common/tensor/shape.h"

namespace cairn {

// What a tensor is in Meta's models, by its name; nothing for names that these models have not.
enum class LlamaRole {
  kEmbedding,  // Rows, or columns: by the generation of the model.
  kQueryRows,
  kKeyValueRows,
  kRows,
  kColumns,
  kCopied,
};
std::optional<LlamaRole> LlamaRoleOf(const KeyPath& path);

// How a tensor lies over the parts: cut along an axis into parts / copies slices, of which each stands in `copies` parts
// that follow each other. copies == parts: every part has all of it.
struct LlamaCut {
  size_t axis = 0;
  uint64_t copies = 1;

  bool operator==(const LlamaCut&) const = default;
};

// What decides over cuts: what the configuration says, and the shapes of tensors that all layers have alike.
struct LlamaFacts {
  LlamaParams params;  // All unknown without a file.
  std::optional<uint64_t> dim;         // By params, or else by norm.weight, which every part has in full.
  std::optional<uint64_t> query_rows;  // Of a wq: of one part where parts are joined, of the whole where it is cut.
  bool columns_of_embedding = false;   // To be cut as in Llama 1 and 2 (and to be taken so, where nothing else tells).
};

// The cut of a tensor of which each part has a slice of that shape. INVALID_ARGUMENT, with what is missing, where the
// shapes do not decide, and where they contradict the facts. Messages go without the tensor's name.
absl::StatusOr<LlamaCut> JoinOfLlamaTensor(LlamaRole role, const Shape& part, uint64_t parts, const LlamaFacts& facts);

// The cut into so many parts of a whole tensor. INVALID_ARGUMENT where it cannot be cut so.
absl::StatusOr<LlamaCut> CutOfLlamaTensor(LlamaRole role, const Shape& whole, uint64_t parts, const LlamaFacts& facts);

}  // namespace cairn
