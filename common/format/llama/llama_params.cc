#include "common/format/llama/llama_params.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/format/folder/json_events.h"

namespace cairn {
namespace {

// No model is so large; below, products of two are no matter.
constexpr uint64_t kMaxCount = 1u << 30;

struct Field {
  absl::string_view name;
  std::optional<uint64_t> LlamaParams::*value;
};

constexpr Field kFields[] = {
    {"dim", &LlamaParams::dim},
    {"hidden_size", &LlamaParams::dim},
    {"n_heads", &LlamaParams::heads},
    {"num_attention_heads", &LlamaParams::heads},
    {"n_kv_heads", &LlamaParams::kv_heads},
    {"num_key_value_heads", &LlamaParams::kv_heads},
    {"vocab_size", &LlamaParams::vocab_size},
    {"head_dim", &LlamaParams::own_head_dim},
};

class ParamsHandler final : public JsonHandler {
 public:
  explicit ParamsHandler(LlamaParams* params) : params_(params) {}

  absl::Status OnKey(uint32_t depth, std::string key) override {
    if (depth != 1) return absl::OkStatus();
    field_ = nullptr;
    for (const Field& field : kFields) {
      if (field.name == key) field_ = &field;
    }
    return absl::OkStatus();
  }

  absl::Status OnUnsigned(uint32_t depth, uint64_t value) override {
    if (depth != 1 || field_ == nullptr) return AtRoot(depth, "a number");
    if (value == 0 || value > kMaxCount) return Refuse(absl::StrCat(value));
    std::optional<uint64_t>& known = params_->*field_->value;
    if (known.has_value() && *known != value) return Refuse(absl::StrCat(value, " where ", *known, " was said before"));
    known = value;
    return absl::OkStatus();
  }

  absl::Status OnString(uint32_t depth, std::string) override { return OnOther(depth, "a string"); }
  absl::Status OnStart(uint32_t depth, bool is_object) override {
    if (depth == 0 && is_object) return absl::OkStatus();
    return OnOther(depth, is_object ? "an object" : "an array");
  }
  absl::Status OnEnd(uint32_t) override { return absl::OkStatus(); }

  absl::Status OnOther(uint32_t depth, absl::string_view what) override {
    if (depth != 1 || field_ == nullptr) return AtRoot(depth, what);
    const bool unknown = what == "null" || (what == "a negative number" && field_->name == "vocab_size");
    return unknown ? absl::OkStatus() : Refuse(what);
  }

 private:
  static absl::Status AtRoot(uint32_t depth, absl::string_view what) {
    if (depth != 0) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("expected an object, found ", what));
  }
  absl::Status Refuse(absl::string_view found) const {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", field_->name, "\": expected a number from 1 to ", kMaxCount, ", found ", found));
  }

  LlamaParams* const params_;
  const Field* field_ = nullptr;  // Of the value that comes next; null: none of ours.
};

}  // namespace

std::optional<uint64_t> LlamaParams::head_dim() const {
  if (own_head_dim.has_value()) return own_head_dim;
  if (!dim.has_value() || !heads.has_value() || *dim % *heads != 0) return std::nullopt;
  return *dim / *heads;
}

absl::StatusOr<LlamaParams> ReadLlamaParams(absl::string_view text, absl::string_view where) {
  LlamaParams params;
  ParamsHandler handler(&params);
  if (absl::Status read = ParseJson(text, {}, &handler); !read.ok()) return Annotate(read, where);
  return params;
}

}  // namespace cairn
