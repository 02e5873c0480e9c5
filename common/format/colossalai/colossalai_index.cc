#include <charconv>

#include "absl/strings/str_cat.h"
#include "common/format/colossalai/colossalai_plan.h"
#include "common/format/folder/json_events.h"

namespace cairn {
namespace {

// As Python prints it, so that the file is the one that ColossalAI would write.
std::string Float(double value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  std::string number(text, end);
  if (number.find_first_of(".e") == std::string::npos) number += ".0";
  return number;
}

}  // namespace

std::string SerializeColossalAiIndex(const ColossalAiIndexFile& index) {
  constexpr double kMib = 1024.0 * 1024.0;
  std::string text = "{\n  \"metadata\": {\n";
  if (!index.group.empty()) absl::StrAppend(&text, "    \"param_groups\": ", JsonQuote(index.group), ",\n");
  absl::StrAppend(&text, "    \"total_size\": ", Float(static_cast<double>(index.total_bytes) / kMib), "\n  },\n  \"weight_map\": {");
  absl::string_view comma = "\n";
  for (const auto& [key, file] : index.weights) {
    absl::StrAppend(&text, comma, "    ", JsonQuote(key), ": ", JsonQuote(file));
    comma = ",\n";
  }
  absl::StrAppend(&text, index.weights.empty() ? "" : "\n  ", "}\n}\n");
  return text;
}

}  // namespace cairn
