#include "client/cli/index_output.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/element_text.h"
#include "client/cli/exit_code.h"
#include "client/cli/table.h"
#include "client/cli/text.h"
#include "common/base/status_macros.h"
#include "common/convert/weights.h"
#include "common/pickle/pickle_values.h"
#include "common/tensor/entry_kind_name.h"
#include "common/tensor/selection.h"

namespace cairn::cli {
namespace {

constexpr size_t kValuesShown = 8;
constexpr int kValueWidth = 60;

struct Summary {
  std::map<std::string, uint64_t> kinds;
  std::map<std::string, uint64_t> dtypes;  // Tensors by dtype.
};

Summary Summarise(const CheckpointIndex& index) {
  Summary summary;
  for (const Entry& entry : index.entries) {
    ++summary.kinds[EntryKindName(entry.kind)];
    if (entry.kind == EntryKind::kTensor) ++summary.dtypes[std::string(DtypeName(entry.dtype))];
  }
  return summary;
}

// "3 tensor, 1 value" reads badly; "3 tensors, 1 value" does not.
std::string Counts(const std::map<std::string, uint64_t>& counts, bool plural) {
  return absl::StrJoin(counts, ", ", [&](std::string* out, const auto& item) {
    absl::StrAppend(out, FormatCount(item.second), " ", item.first,
                    !plural || item.second == 1 ? ""
                    : item.first == "alias"     ? "es"
                                                : "s");
  });
}

// Where the weights of a model are, of what the checkpoint holds.
std::string WeightsText(const WeightsFinding& finding) {
  if (finding.place.has_value()) {
    const WeightsPlace& place = *finding.place;
    return absl::StrCat(place.Describe(), "; ", FormatCount(place.tensors), place.tensors == 1 ? " tensor, " : " tensors, ",
                        FormatCount(place.parameters), " parameters, ", FormatBytes(place.bytes));
  }
  if (finding.candidates.empty()) return "none found";
  return absl::StrCat("one of ", absl::StrJoin(finding.candidates, ", "), " (--root says which)");
}

nlohmann::json WeightsToJson(const WeightsFinding& finding) {
  if (!finding.place.has_value()) {
    return finding.candidates.empty() ? nlohmann::json(nullptr) : nlohmann::json({{"candidates", finding.candidates}});
  }
  const WeightsPlace& place = *finding.place;
  return {{"root", place.root.ToString()}, {"prefix", place.prefix},         {"wrappers", place.wrappers}, {"form", place.form},
          {"tensors", place.tensors},      {"parameters", place.parameters}, {"bytes", place.bytes}};
}

nlohmann::json EntryToJson(const Entry& entry) {
  nlohmann::json json = {{"path", entry.path.ToString()}, {"kind", EntryKindName(entry.kind)}};
  switch (entry.kind) {
    case EntryKind::kTensor:
      json["dtype"] = std::string(DtypeName(entry.dtype));
      json["shape"] = entry.shape;
      json["bytes"] = entry.byte_size;
      break;
    case EntryKind::kAsset:
      json["bytes"] = entry.byte_size;
      break;
    case EntryKind::kValue:
      json["value"] = ValueToString(entry.value, DescribeOpaque);
      break;
    case EntryKind::kAlias:
      json["target"] = entry.target.ToString();
      break;
  }
  return json;
}

std::string ContentText(const Entry& entry) {
  if (entry.kind == EntryKind::kValue) return FitRight(SafeText(ValueToString(entry.value, DescribeOpaque)), kValueWidth);
  if (entry.kind == EntryKind::kAlias) return absl::StrCat("-> ", entry.target.ToString());
  return "";
}

absl::StatusOr<std::string> Values(CommandContext& context, CheckpointReader& reader, size_t i) {
  const EntryKind kind = reader.index().entries[i].kind;
  if (kind != EntryKind::kTensor && kind != EntryKind::kAsset) return "";
  CAIRN_RETURN_IF_ERROR(context.cancellation.Check());
  return FirstValues(reader, i, kValuesShown);
}

absl::Status PrintIndexJson(CommandContext& context, const IndexHeading& heading, CheckpointReader& reader,
                            const std::vector<size_t>& shown, bool with_values) {
  const CheckpointIndex& index = reader.index();
  const Summary summary = Summarise(index);
  nlohmann::json json = heading.fields;
  json["entry_count"] = index.entries.size();
  json["bytes"] = index.TotalBytes();
  json["kinds"] = summary.kinds;
  json["dtypes"] = summary.dtypes;
  json["metadata"] = index.metadata;
  json["weights"] = WeightsToJson(FindWeights(index));
  json["entries"] = nlohmann::json::array();
  for (const size_t i : shown) {
    nlohmann::json entry = EntryToJson(index.entries[i]);
    if (with_values) {
      CAIRN_ASSIGN_OR_RETURN(const std::string values, Values(context, reader, i));
      if (!values.empty()) entry["values"] = values;
    }
    json["entries"].push_back(std::move(entry));
  }
  context.console.PrintJson(json);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<size_t>> SelectEntries(const CheckpointIndex& index,
                                                  const std::vector<std::string>& patterns) {
  const absl::StatusOr<Selection> select = Selection::Parse(patterns);
  if (!select.ok()) return UsageError(select.status().message());
  std::vector<const KeyPath*> paths;
  paths.reserve(index.entries.size());
  std::vector<size_t> chosen;
  for (size_t i = 0; i < index.entries.size(); ++i) {
    paths.push_back(&index.entries[i].path);
    if (select->empty() || select->Matches(index.entries[i].path)) chosen.push_back(i);
  }
  const std::vector<std::string> unmatched =
      select->empty() ? std::vector<std::string>() : select->Unmatched(paths);
  if (!unmatched.empty()) {
    return absl::NotFoundError(absl::StrCat("no entry matches \"", absl::StrJoin(unmatched, "\", \""), "\""));
  }
  return chosen;
}

absl::Status PrintIndex(CommandContext& context, const IndexHeading& heading, CheckpointReader& reader,
                        const std::vector<size_t>& shown, bool with_values) {
  if (context.console.json()) return PrintIndexJson(context, heading, reader, shown, with_values);
  const CheckpointIndex& index = reader.index();
  const Summary summary = Summarise(index);
  std::ostream& out = context.console.out();
  const auto row = [&](const std::string& name, const std::string& text) {
    if (!text.empty())
      out << name << std::string(name.size() < 11 ? 11 - name.size() : 1, ' ') << SafeText(text) << '\n';
  };
  for (const auto& [name, text] : heading.rows) row(name, text);
  row("entries", index.entries.empty() ? "none" : Counts(summary.kinds, true));
  row("bytes", absl::StrCat(FormatBytes(index.TotalBytes()), " (", FormatCount(index.TotalBytes()), ")"));
  row("dtypes", Counts(summary.dtypes, false));
  row("weights", WeightsText(FindWeights(index)));
  row("metadata", absl::StrJoin(index.metadata, ", ", absl::PairFormatter("=")));
  if (shown.empty()) return absl::OkStatus();

  std::vector<std::string> contents;
  bool any_content = false;
  for (const size_t i : shown) {
    contents.push_back(ContentText(index.entries[i]));
    if (with_values && contents.back().empty()) {
      CAIRN_ASSIGN_OR_RETURN(contents.back(), Values(context, reader, i));
    }
    any_content |= !contents.back().empty();
  }
  std::vector<Table::Column> columns = {
      {"PATH"}, {"KIND"}, {"DTYPE"}, {"SHAPE"}, {"BYTES", Table::Align::kRight}};
  if (any_content) columns.push_back({"VALUE"});
  Table table(std::move(columns));
  for (size_t row_index = 0; row_index < shown.size(); ++row_index) {
    const Entry& entry = index.entries[shown[row_index]];
    const bool tensor = entry.kind == EntryKind::kTensor;
    table.AddRow({entry.path.ToString(), EntryKindName(entry.kind),
                  tensor ? std::string(DtypeName(entry.dtype)) : "", tensor ? ShapeToString(entry.shape) : "",
                  tensor || entry.kind == EntryKind::kAsset ? FormatBytes(entry.byte_size) : "",
                  std::move(contents[row_index])});
  }
  out << '\n';
  table.Print(out);
  return absl::OkStatus();
}

}  // namespace cairn::cli
