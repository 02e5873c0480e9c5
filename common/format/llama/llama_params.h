#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {

// What the configuration of a model says of its shapes. Nothing is believed: shapes are compared with it.
struct LlamaParams {
  std::optional<uint64_t> dim;
  std::optional<uint64_t> heads;
  std::optional<uint64_t> kv_heads;
  std::optional<uint64_t> vocab_size;
  std::optional<uint64_t> own_head_dim;  // Where the file has one.

  // Rows of a head. Nothing if unknown, or if the numbers make none.
  std::optional<uint64_t> head_dim() const;
  // As many as heads, where the file knows heads and no groups of them.
  std::optional<uint64_t> key_value_heads() const { return kv_heads.has_value() ? kv_heads : heads; }
};

// The largest file that is looked at.
inline constexpr uint64_t kLlamaMaxParamsBytes = 1u << 20;

// Reads Meta's params.json (dim, n_heads, n_kv_heads, vocab_size, head_dim), or a config.json of Hugging Face, whose names for
// the same are others. A vocabulary of -1, and null, are unknown. INVALID_ARGUMENT for what is no object, and for numbers
// that are no counts; `where` is for messages.
absl::StatusOr<LlamaParams> ReadLlamaParams(absl::string_view text, absl::string_view where);

}  // namespace cairn
