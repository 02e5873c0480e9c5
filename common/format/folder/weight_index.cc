#include "common/format/folder/weight_index.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/folder/json_events.h"

namespace cairn {
namespace {

constexpr size_t kSniffBytes = 4096;
constexpr size_t kMaxTexts = 1000;

// {"metadata": anything, "weight_map": {TENSOR: FILE, ...}}; other members are skipped. total_size may be
// missing, fractional or wrong in files that people have, so nothing depends on it.
class IndexHandler final : public JsonHandler {
 public:
  IndexHandler(const ReadLimits& limits, WeightIndex* index) : limits_(limits), index_(index) {}

  bool found() const { return found_; }

  absl::Status OnKey(uint32_t depth, std::string key) override {
    if (depth == 1) {
      in_metadata_ = key == "metadata";
      in_map_ = key == "weight_map";
      if (in_map_ && std::exchange(found_, true))
        return absl::InvalidArgumentError("\"weight_map\" appears twice");
      return absl::OkStatus();
    }
    if (in_metadata_ && depth == 2) member_ = std::move(key);
    if (!in_map_) return absl::OkStatus();
    if (key.size() > limits_.max_name_bytes) {
      return absl::InvalidArgumentError(absl::StrCat("name of ", key.size(), " bytes: ", NameForMessage(key),
                                                     ", over the limit of ", limits_.max_name_bytes));
    }
    tensor_ = std::move(key);
    return absl::OkStatus();
  }

  absl::Status OnStart(uint32_t depth, bool is_object) override {
    if (depth == 0 && !is_object) return absl::InvalidArgumentError("expected an object, found an array");
    if (depth == 0 || !in_map_ || (depth == 1 && is_object)) return absl::OkStatus();
    return Refuse(depth, is_object ? "an object" : "an array");
  }

  absl::Status OnEnd(uint32_t depth) override {
    if (depth == 1) in_map_ = in_metadata_ = false;
    return absl::OkStatus();
  }

  absl::Status OnString(uint32_t depth, std::string value) override {
    if (in_metadata_ && depth == 2 && index_->texts.size() < kMaxTexts) index_->texts.insert_or_assign(member_, value);
    if (!in_map_ || depth != 2) return OnOther(depth, "a string");
    auto [file, is_new] = file_numbers_.try_emplace(value, index_->files.size());
    if (is_new) {
      if (index_->files.size() >= limits_.max_files) {
        return absl::InvalidArgumentError(absl::StrCat("more files than the limit of ", limits_.max_files));
      }
      index_->files.push_back(std::move(value));
    }
    if (index_->weights.size() >= limits_.max_entries) {
      return absl::InvalidArgumentError(absl::StrCat("more tensors than the limit of ", limits_.max_entries));
    }
    if (!index_->weights.try_emplace(tensor_, file->second).second) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", NameForMessage(tensor_), " appears twice"));
    }
    index_->order.push_back(tensor_);
    return absl::OkStatus();
  }

  absl::Status OnUnsigned(uint32_t depth, uint64_t) override { return OnOther(depth, "a number"); }
  absl::Status OnOther(uint32_t depth, absl::string_view what) override {
    if (depth == 0) return absl::InvalidArgumentError(absl::StrCat("expected an object, found ", what));
    return in_map_ ? Refuse(depth, what) : absl::OkStatus();
  }

 private:
  absl::Status Refuse(uint32_t depth, absl::string_view found) const {
    if (depth == 1) {
      return absl::InvalidArgumentError(absl::StrCat("\"weight_map\": expected an object, found ", found));
    }
    return absl::InvalidArgumentError(absl::StrCat("\"weight_map\": expected the name of a file for ",
                                                   NameForMessage(tensor_), ", found ", found));
  }

  const ReadLimits& limits_;
  WeightIndex* const index_;
  absl::flat_hash_map<std::string, size_t> file_numbers_;
  bool in_map_ = false;
  bool in_metadata_ = false;
  bool found_ = false;
  std::string tensor_;
  std::string member_;  // Of the metadata.
};

}  // namespace

std::string ShardName(absl::string_view stem, size_t shard, size_t shards, absl::string_view suffix) {
  return absl::StrFormat("%s-%05d-of-%05d%s", stem, shard + 1, shards, suffix);
}

bool IsWeightIndexName(absl::string_view name, absl::string_view suffix) {
  return absl::StrContains(name, absl::StrCat(suffix, ".index.")) && absl::EndsWith(name, ".json") && !absl::StartsWith(name, ".");
}

bool IsAssetName(absl::string_view name) {
  if (name.empty() || name.front() == '.' || absl::StrContains(name, '/')) return false;
  if (absl::StrContains(name, ".index.") && absl::EndsWith(name, ".json")) return false;
  // Weights under other names, and archives of them.
  for (const absl::string_view suffix :
       {".safetensors", ".bin",     ".pt",   ".pth",  ".ckpt", ".pkl",       ".pickle", ".distcp",
        ".msgpack",     ".h5",      ".gguf", ".ggml", ".onnx", ".onnx_data", ".npz",    ".npy",
        ".tflite",      ".mlmodel", ".zip",  ".tar",  ".gz",   ".ot"}) {
    if (absl::EndsWithIgnoreCase(name, suffix)) return false;
  }
  return true;
}

bool LooksLikeWeightIndex(const ByteSource& source, absl::string_view suffix) {
  std::string text(std::min<uint64_t>(source.size(), kSniffBytes), '\0');
  if (!source.ReadAt(0, absl::MakeSpan(text)).ok()) return false;
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string::npos && text[first] == '{' && absl::StrContains(text, "\"weight_map\"") &&
         absl::StrContains(text, absl::StrCat(suffix, "\""));
}

absl::StatusOr<WeightIndex> ReadWeightIndex(const ByteSource& source, const ReadLimits& limits) {
  if (source.size() > limits.max_header_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(source.name(), ": index of ", source.size(),
                                                   " bytes is over the limit of ", limits.max_header_bytes));
  }
  std::string text(source.size(), '\0');
  CAIRN_RETURN_IF_ERROR(source.ReadAt(0, absl::MakeSpan(text)));
  WeightIndex index;
  IndexHandler handler(limits, &index);
  const JsonLimits json_limits{.max_depth = limits.max_depth, .max_string_bytes = limits.max_value_bytes};
  absl::Status status = ParseJson(text, json_limits, &handler);
  if (status.ok() && !handler.found()) status = absl::InvalidArgumentError("lacks \"weight_map\"");
  if (!status.ok()) return Annotate(status, absl::StrCat(source.name(), ": index of weights"));
  return index;
}

std::string SerializeWeightIndex(const WeightIndex& index, uint64_t total_size) {
  std::vector<std::pair<absl::string_view, size_t>> weights(index.weights.begin(), index.weights.end());
  std::sort(weights.begin(), weights.end());
  std::string text =
      absl::StrCat("{\n  \"metadata\": {\n    \"total_size\": ", total_size, "\n  },\n  \"weight_map\": {");
  absl::string_view comma = "\n";
  for (const auto& [tensor, file] : weights) {
    absl::StrAppend(&text, std::exchange(comma, ",\n"), "    ", JsonQuote(tensor), ": ",
                    JsonQuote(index.files[file]));
  }
  absl::StrAppend(&text, weights.empty() ? "" : "\n  ", "}\n}\n");
  return text;
}

}  // namespace cairn
