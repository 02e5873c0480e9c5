#include "client/cli/diff_report.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/exit_code.h"
#include "client/cli/table.h"
#include "client/cli/text.h"
#include "common/tensor/entry_kind_name.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {
namespace {

constexpr EntryDifference kDifferences[] = {EntryDifference::kEqual,        EntryDifference::kChanged,
                                            EntryDifference::kValueChanged, EntryDifference::kAdded,
                                            EntryDifference::kRemoved,      EntryDifference::kReshaped,
                                            EntryDifference::kRecast};
constexpr size_t kNameWidth = 13;  // "value changed".

std::string Number(double value) { return absl::StrFormat("%.4g", value); }

// Never "0 %" for something, nor "100 %" for less than all.
std::string Share(uint64_t part, uint64_t whole) {
  if (whole == 0 || part == 0) return "0%";
  if (part == whole) return "100%";
  return absl::StrCat(Number(std::min(100.0 * static_cast<double>(part) / static_cast<double>(whole), 99.99)), "%");
}

std::string Layout(const Entry& entry) {
  switch (entry.kind) {
    case EntryKind::kTensor:
      return absl::StrCat(DtypeName(entry.dtype), " ", ShapeToString(entry.shape));
    case EntryKind::kAsset:
      return absl::StrCat("asset of ", FormatBytes(entry.byte_size));
    case EntryKind::kValue:
      return FitRight(SafeText(ValueToString(entry.value)), 60);
    case EntryKind::kAlias:
      return absl::StrCat("alias of ", entry.target.ToString());
  }
  return "";
}

std::string StatisticsText(const TensorSummary& s) {
  const std::string share = absl::StrCat(Share(s.changed, s.elements), " of ", FormatCount(s.elements), " changed");
  if (!s.has_values) return share;
  std::string text = absl::StrCat(share, ", abs max ", Number(s.max_absolute), " mean ", Number(s.mean_absolute),
                                  ", rel max ", Number(s.max_relative), " mean ", Number(s.mean_relative), ", L2 ",
                                  Number(s.norm), ", cos ", absl::StrFormat("%.6f", s.cosine));
  if (s.base_nan + s.target_nan > 0) absl::StrAppend(&text, ", NaN ", s.base_nan, " -> ", s.target_nan);
  if (s.base_infinite + s.target_infinite > 0) absl::StrAppend(&text, ", Inf ", s.base_infinite, " -> ", s.target_infinite);
  return text;
}

std::string Line(const EntryComparison& entry) {
  const std::string name(DifferenceName(entry.difference));
  std::string line = absl::StrCat(name, std::string(kNameWidth - std::min(kNameWidth, name.size()) + 2, ' '),
                                  entry.entry().path.ToString(), "  ");
  const bool both = entry.base != nullptr && entry.target != nullptr;
  const std::string from = both ? Layout(*entry.base) : "", to = Layout(entry.entry());
  absl::StrAppend(&line, both && from != to ? absl::StrCat(from, " -> ", to) : to);
  if (entry.statistics && entry.difference != EntryDifference::kEqual) {
    absl::StrAppend(&line, "  ", StatisticsText(*entry.statistics), entry.close ? " (within the tolerance)" : "");
  }
  return line;
}

// JSON has no infinity and no NaN.
nlohmann::json JsonNumber(double value) { return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr); }

void PutLayout(const Entry& entry, const std::string& prefix, nlohmann::json& to) {
  switch (entry.kind) {
    case EntryKind::kTensor:
      to[prefix + "dtype"] = std::string(DtypeName(entry.dtype));
      to[prefix + "shape"] = entry.shape;
      break;
    case EntryKind::kAsset:
      to[prefix + "bytes"] = entry.byte_size;
      break;
    case EntryKind::kValue:
      to[prefix + "value"] = ValueToString(entry.value);
      break;
    case EntryKind::kAlias:
      to[prefix + "target"] = entry.target.ToString();
      break;
  }
}

nlohmann::json ToJson(const EntryComparison& entry) {
  nlohmann::json json = {{"path", entry.entry().path.ToString()},
                         {"kind", EntryKindName(entry.entry().kind)},
                         {"difference", std::string(DifferenceName(entry.difference))}};
  if (entry.base != nullptr) PutLayout(*entry.base, "base_", json);
  if (entry.target != nullptr) PutLayout(*entry.target, "", json);
  if (!entry.statistics) return json;
  const TensorSummary& s = *entry.statistics;
  json["elements"] = s.elements;
  json["changed_elements"] = s.changed;
  json["changed_share"] = s.elements == 0 ? 0.0 : static_cast<double>(s.changed) / static_cast<double>(s.elements);
  json["close"] = s.outside == 0;
  json["outside_tolerance"] = s.outside;
  if (!s.has_values) return json;
  json["max_absolute"] = JsonNumber(s.max_absolute);
  json["mean_absolute"] = JsonNumber(s.mean_absolute);
  json["max_relative"] = JsonNumber(s.max_relative);
  json["mean_relative"] = JsonNumber(s.mean_relative);
  json["l2"] = JsonNumber(s.norm);
  json["relative_l2"] = JsonNumber(s.RelativeNorm());
  json["cosine"] = JsonNumber(s.cosine);
  json["base_nan"] = s.base_nan;
  json["base_inf"] = s.base_infinite;
  json["nan"] = s.target_nan;
  json["inf"] = s.target_infinite;
  return json;
}

}  // namespace

absl::Status CheckOnly(const std::vector<std::string>& only) {
  std::vector<std::string> names;
  for (const EntryDifference difference : kDifferences) names.emplace_back(DifferenceName(difference));
  for (const std::string& name : only) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      return UsageError(absl::StrCat("--only: unknown difference \"", name, "\"; expected ", absl::StrJoin(names, ", ")));
    }
  }
  return absl::OkStatus();
}

void DiffReport::Add(const EntryComparison& entry) {
  const std::string name(DifferenceName(entry.difference));
  ++entries_;
  ++counts_[name];
  const bool close = entry.close && options_.with_tolerance;
  close_ += close;
  different_ |= entry.difference != EntryDifference::kEqual && !close;
  if (!options_.only.empty() && std::find(options_.only.begin(), options_.only.end(), name) == options_.only.end()) return;
  if (context_.console.json()) {
    context_.console.PrintJson(ToJson(entry));
  } else {
    context_.console.PrintLine(Line(entry));
  }
}

void DiffReport::Finish(LayerTable& layers) {
  layers.Sort();
  if (context_.console.json()) {
    nlohmann::json summary = {{"entries", entries_}, {"different", different_}, {"close", close_}, {"counts", counts_}};
    if (options_.layers) {
      summary["layers"] = nlohmann::json::array();
      for (const std::string& layer : layers.layers()) {
        const LayerChange total = layers.Total(layer);
        summary["layers"].push_back({{"layer", layer},
                                     {"tensors", total.tensors},
                                     {"different_tensors", total.changed_tensors},
                                     {"elements", total.elements},
                                     {"changed_elements", total.changed_elements},
                                     {"max_absolute", JsonNumber(total.max_absolute)},
                                     {"relative_l2", JsonNumber(total.RelativeNorm())}});
      }
    }
    context_.console.PrintJson({{"summary", summary}});
    return;
  }
  if (options_.layers && !layers.layers().empty()) {
    Table table({{"layer"},
                 {"tensors", Table::Align::kRight},
                 {"different", Table::Align::kRight},
                 {"elements changed", Table::Align::kRight},
                 {"max abs", Table::Align::kRight},
                 {"L2 / base L2", Table::Align::kRight}});
    for (const std::string& layer : layers.layers()) {
      const LayerChange total = layers.Total(layer);
      table.AddRow({layer.empty() ? "(none)" : layer, FormatCount(total.tensors), FormatCount(total.changed_tensors),
                    Share(total.changed_elements, total.elements), Number(total.max_absolute), Number(total.RelativeNorm())});
    }
    table.Print(context_.console.out());
  }
  std::string totals;
  for (const EntryDifference difference : kDifferences) {
    const auto found = counts_.find(std::string(DifferenceName(difference)));
    if (found != counts_.end()) absl::StrAppend(&totals, totals.empty() ? "" : ", ", FormatCount(found->second), " ", found->first);
  }
  if (close_ > 0) absl::StrAppend(&totals, " (", FormatCount(close_), " of them within the tolerance)");
  context_.console.PrintLine(
      absl::StrCat(FormatCount(entries_), entries_ == 1 ? " entry" : " entries", totals.empty() ? "" : ": ", totals));
}

}  // namespace cairn::cli
