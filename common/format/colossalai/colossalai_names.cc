#include "common/format/colossalai/colossalai_names.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace cairn {
namespace {

constexpr size_t kSniffBytes = 4096;
constexpr size_t kDigits = 5;

struct Stem {
  absl::string_view stem, suffix;
  ColossalAiPart part;
};
constexpr Stem kStems[] = {
    {"pytorch_model", ".bin", ColossalAiPart::kModel},
    {"model", ".safetensors", ColossalAiPart::kModel},
    {"pytorch_optim", ".bin", ColossalAiPart::kOptimizer},
    {"optimizer", ".safetensors", ColossalAiPart::kOptimizer},
};

// Takes "-00012" off the end.
bool ConsumeNumber(absl::string_view* name) {
  size_t digits = 0;
  while (digits < name->size() && absl::ascii_isdigit((*name)[name->size() - 1 - digits])) ++digits;
  if (digits < kDigits || digits == name->size() || (*name)[name->size() - 1 - digits] != '-') return false;
  name->remove_suffix(digits + 1);
  return true;
}

std::string FrontOf(const ByteSource& source, size_t bytes) {
  std::string text(std::min<uint64_t>(source.size(), bytes), '\0');
  if (!source.ReadAt(0, absl::MakeSpan(text)).ok()) text.clear();
  return text;
}

}  // namespace

std::optional<ColossalAiShardName> ParseColossalAiShardName(absl::string_view name) {
  for (const Stem& stem : kStems) {
    absl::string_view rest = name;
    if (!absl::ConsumeSuffix(&rest, stem.suffix) || !absl::ConsumePrefix(&rest, stem.stem) || !ConsumeNumber(&rest)) continue;
    ColossalAiShardName shard{.part = stem.part};
    if (absl::ConsumeSuffix(&rest, "-shard")) {
      if (!ConsumeNumber(&rest)) continue;
      shard.experts = ConsumeNumber(&rest);
      if (!absl::ConsumeSuffix(&rest, "-stage")) continue;
    }
    // What is left is nothing, or a prefix as the user chose it.
    if (rest.empty() || (rest.front() == '.' && !absl::EndsWith(rest, "-of"))) return shard;
  }
  return std::nullopt;
}

std::optional<ColossalAiPart> ColossalAiIndexPart(absl::string_view name) {
  for (const Stem& stem : kStems) {
    absl::string_view rest = name;
    if (!absl::ConsumePrefix(&rest, stem.stem) || !absl::ConsumePrefix(&rest, stem.suffix)) continue;
    if (absl::ConsumePrefix(&rest, ".index.") && absl::ConsumeSuffix(&rest, "json") && (rest.empty() || rest.back() == '.')) return stem.part;
  }
  return std::nullopt;
}

bool IsColossalAiDtensorName(absl::string_view name) {
  return absl::StartsWith(name, "dtensor/") || absl::EndsWith(name, ".*.bin") || absl::EndsWith(name, ".*.safetensors") ||
         absl::EndsWith(name, ".*..bin") || absl::EndsWith(name, ".*..safetensors");
}

bool LooksLikeColossalAiIndex(const ByteSource& source) {
  const std::string text = FrontOf(source, kSniffBytes);
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos || text[first] != '{') return false;
  const size_t map = text.find("\"weight_map\"");
  if (map == std::string::npos) return false;
  // Names of files hold no quotes, so whatever stands between two of them is one, or a key, or what is between.
  for (size_t begin = text.find('"', map); begin != std::string::npos;) {
    const size_t end = text.find('"', begin + 1);
    if (end == std::string::npos) return false;
    const absl::string_view name = absl::string_view(text).substr(begin + 1, end - begin - 1);
    if (ParseColossalAiShardName(name).has_value() || absl::StartsWith(name, "dtensor/")) return true;
    begin = end;
  }
  return false;
}

bool LooksLikeColossalAiStates(const ByteSource& source) {
  const std::string text = FrontOf(source, kSniffBytes);
  constexpr size_t kLengthBytes = 8;
  if (text.size() <= kLengthBytes || text[kLengthBytes] != '{') return false;
  return absl::StrContains(text, absl::StrCat("\"", kColossalAiPickled, "\"")) &&
         (absl::StrContains(text, "state.") || absl::StrContains(text, kColossalAiGroups));
}

std::string ColossalAiNames::Shard(size_t number) const { return absl::StrFormat("%s-%05d%s", stem, number + 1, suffix); }

ColossalAiNames ColossalAiNamesOf(ColossalAiPart part, bool safetensors) {
  ColossalAiNames names;
  for (const Stem& stem : kStems) {
    if (stem.part != part || safetensors != (stem.suffix == ".safetensors")) continue;
    names.stem = std::string(stem.stem);
    names.suffix = std::string(stem.suffix);
    names.index = absl::StrCat(stem.stem, stem.suffix, ".index.json");
  }
  names.group = "pytorch_optim_group.bin";
  return names;
}

std::optional<int64_t> ColossalAiParameterId(const KeyPath::Segment& segment) {
  if (const auto* id = std::get_if<int64_t>(&segment)) return *id >= 0 ? std::optional<int64_t>(*id) : std::nullopt;
  const std::string& text = std::get<std::string>(segment);
  int64_t id = 0;
  if (text.empty() || !std::all_of(text.begin(), text.end(), absl::ascii_isdigit) || !absl::SimpleAtoi(text, &id)) return std::nullopt;
  return id;
}

}  // namespace cairn
