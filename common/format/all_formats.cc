#include "common/format/all_formats.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/format/colossalai/colossalai_format.h"
#include "common/format/dcp/dcp_format.h"
#include "common/format/cairndiff/cairndiff_format.h"
#include "common/format/easylm/easylm_format.h"
#include "common/format/flax/flax_format.h"
#include "common/format/lightning/lightning_format.h"
#include "common/format/litgpt/litgpt_format.h"
#include "common/format/llama/llama_format.h"
#include "common/format/npz/npz_format.h"
#include "common/format/safetensors/safetensors_format.h"
#include "common/format/torch/torch_format.h"

namespace cairn {
namespace {

constexpr absl::string_view kPrefixEnd = "::";
constexpr size_t kShownBytes = 16;
constexpr size_t kShownFiles = 5;

std::string FormatNames() {
  return absl::StrJoin(AllFormats(), ", ",
                       [](std::string* out, const Format* format) { absl::StrAppend(out, format->name()); });
}

std::string Prefixes() {
  std::vector<std::string> prefixes;
  for (const Format* format : AllFormats()) {
    prefixes.push_back(absl::StrCat(format->name(), kPrefixEnd));
    for (const std::string& variant : format->variants())
      prefixes.push_back(absl::StrCat(variant, kPrefixEnd));
  }
  return absl::StrJoin(prefixes, " ");
}

// What a person would look at to tell what the source is.
std::string Describe(const SourceTree& source) {
  if (source.is_directory()) {
    const absl::StatusOr<std::vector<std::string>> names = source.List();
    if (!names.ok()) return std::string(names.status().message());
    if (names->empty()) return "a folder without files";
    const size_t shown = std::min(names->size(), kShownFiles);
    return absl::StrCat("a folder with ",
                        absl::StrJoin(names->begin(), names->begin() + static_cast<ptrdiff_t>(shown), ", "),
                        shown < names->size() ? absl::StrCat(" and ", names->size() - shown, " more") : "");
  }
  const absl::StatusOr<std::unique_ptr<ByteSource>> file = source.Open("");
  if (!file.ok()) return std::string(file.status().message());
  std::string bytes(std::min<uint64_t>((*file)->size(), kShownBytes), '\0');
  if (const absl::Status status = (*file)->ReadAt(0, absl::MakeSpan(bytes)); !status.ok()) {
    return std::string(status.message());
  }
  if (bytes.empty()) return "an empty file";
  return absl::StrCat("a file of ", (*file)->size(), " bytes that begins with ",
                      absl::BytesToHexString(bytes));
}

bool IsPrefix(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](char c) { return absl::ascii_isalnum(c) || c == '_' || c == '-'; });
}

}  // namespace

const std::vector<const Format*>& AllFormats() {
  static const auto& formats = *new std::vector<const Format*>{&SafetensorsFormat(), &TorchFormat(), &ColossalAiFormat(), &LitGptFormat(), &LlamaFormat(), &LightningFormat(), &DcpFormat(), &EasyLmFormat(), &FlaxFormat(), &NpzFormat(), &CairnDiffFormat()};
  return formats;
}

absl::StatusOr<const Format*> FormatByName(absl::string_view name) {
  for (const Format* format : AllFormats()) {
    if (format->name() == name) return format;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown format \"", absl::CHexEscape(name), "\"; expected one of ", FormatNames()));
}

absl::StatusOr<const Format*> DetectFormat(const SourceTree& source) {
  std::vector<const Format*> readings;
  for (const Format* format : AllFormats()) {
    if (format->Detect(source)) readings.push_back(format);
  }
  const std::vector<const Format*> claims = readings;
  std::erase_if(readings, [&](const Format* format) {
    return std::any_of(claims.begin(), claims.end(), [&](const Format* other) {
      const std::vector<absl::string_view> general = other->specialises();
      return std::count(general.begin(), general.end(), format->name()) != 0;
    });
  });
  if (readings.size() == 1) return readings.front();
  if (!readings.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        source.name(), ": can be read in ", readings.size(), " ways: ",
        absl::StrJoin(readings, ", ", [&](std::string* out, const Format* format) { absl::StrAppend(out, format->name(), kPrefixEnd, source.name()); }),
        "; say which is meant"));
  }
  return absl::InvalidArgumentError(absl::StrCat(source.name(), ": no known format (", FormatNames(),
                                                 "): found ", Describe(source),
                                                 "; name the format if it is one of these"));
}

absl::StatusOr<FileSpec> ParseFileSpec(absl::string_view text) {
  const size_t end = text.find(kPrefixEnd);
  // "./a::b" is a path: no prefix has a '/' or a '.'.
  const bool has_prefix = end != absl::string_view::npos && IsPrefix(text.substr(0, end));
  FileSpec spec;
  spec.path = std::string(has_prefix ? text.substr(end + kPrefixEnd.size()) : text);
  if (spec.path.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", absl::CHexEscape(text), "\": expected a path"));
  }
  if (!has_prefix) return spec;
  const absl::string_view prefix = text.substr(0, end);
  for (const Format* format : AllFormats()) {
    const std::vector<std::string> variants = format->variants();
    const bool is_variant = std::count(variants.begin(), variants.end(), prefix) != 0;
    if (!is_variant && format->name() != prefix) continue;
    spec.format = format;
    if (is_variant) spec.variant = std::string(prefix);
    return spec;
  }
  return absl::InvalidArgumentError(absl::StrCat("\"", absl::CHexEscape(text), "\": unknown prefix \"",
                                                 prefix, "::\"; expected one of ", Prefixes(),
                                                 ", or \"./\" before a path that holds \"::\""));
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenCheckpointFile(const FileSpec& spec,
                                                                     const ReadLimits& limits) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const SourceTree> source, OpenSourceTree(spec.path));
  const Format* format = spec.format;
  if (format == nullptr) {
    CAIRN_ASSIGN_OR_RETURN(format, DetectFormat(*source));
  }
  return format->Open(std::move(source), {.limits = limits, .variant = spec.variant});
}

}  // namespace cairn
