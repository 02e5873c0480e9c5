#include "common/convert/convert_plan.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/cast/cast.h"

namespace cairn {
namespace {

constexpr size_t kNamesInMessage = 5;

bool IsContainerMark(const Entry& entry) {
  return entry.kind == EntryKind::kValue && entry.value->length > 0 && entry.value->items.empty() &&
         (entry.value->kind == Value::Kind::kList || entry.value->kind == Value::Kind::kTuple);
}

absl::Status CheckPatternsMatch(const CheckpointIndex& source, const Selection& select) {
  if (select.empty()) return absl::OkStatus();
  std::vector<const KeyPath*> paths;
  paths.reserve(source.entries.size());
  for (const Entry& entry : source.entries) paths.push_back(&entry.path);
  const std::vector<std::string> unmatched = select.Unmatched(paths);
  if (unmatched.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "no entry matches \"", absl::StrJoin(unmatched, "\", \""), "\"; the checkpoint has ",
      source.entries.size(), " entries", source.entries.empty() ? "" : ", the first is \"",
      source.entries.empty() ? "" : source.entries[0].path.ToString(), source.entries.empty() ? "" : "\""));
}

bool LiesBelow(const KeyPath& path, const KeyPath& root) {
  return path.segments().size() > root.segments().size() && path.StartsWith(root);
}

KeyPath WithoutRoot(const KeyPath& path, const KeyPath& root) {
  return KeyPath(std::vector<KeyPath::Segment>(
      path.segments().begin() + static_cast<ptrdiff_t>(root.segments().size()), path.segments().end()));
}

// Source entries that the options choose, in the source's order.
std::vector<size_t> ChooseEntries(const CheckpointIndex& source, const PlanOptions& options) {
  std::vector<size_t> chosen;
  size_t next = 0;  // In options.only.
  for (size_t i = 0; i < source.entries.size(); ++i) {
    const Entry& entry = source.entries[i];
    if (options.only.has_value()) {
      const bool named = next < options.only->size() && (*options.only)[next] == i;
      next += named;
      if (!named && entry.kind != EntryKind::kAsset) continue;
    }
    if (entry.kind != EntryKind::kAsset && !options.root.empty() && !LiesBelow(entry.path, options.root))
      continue;
    if (!options.select.empty() && !options.select.Matches(entry.path)) continue;
    if (!options.marks && IsContainerMark(entry)) continue;
    chosen.push_back(i);
  }
  return chosen;
}

// Drops the marks of lists and tuples that lose children.
void DropBrokenMarks(const CheckpointIndex& source, std::vector<size_t>& chosen) {
  absl::flat_hash_map<KeyPath, absl::flat_hash_set<KeyPath>> children;  // By marked container.
  for (const size_t i : chosen) {
    if (IsContainerMark(source.entries[i])) children[source.entries[i].path];
  }
  if (children.empty()) return;
  for (const size_t i : chosen) {
    if (source.entries[i].kind == EntryKind::kAsset) continue;
    const std::vector<KeyPath::Segment>& segments = source.entries[i].path.segments();
    KeyPath prefix;
    for (size_t depth = 0; depth < segments.size(); ++depth) {
      auto container = children.find(prefix);
      prefix.Append(segments[depth]);
      if (container != children.end()) container->second.insert(prefix);
    }
  }
  std::erase_if(chosen, [&](size_t i) {
    const Entry& entry = source.entries[i];
    return IsContainerMark(entry) && children.at(entry.path).size() != entry.value->length;
  });
}

absl::Status CheckAliases(const CheckpointIndex& source, const std::vector<size_t>& chosen) {
  bool any = false;
  for (const size_t i : chosen) any |= source.entries[i].kind == EntryKind::kAlias;
  if (!any) return absl::OkStatus();
  absl::flat_hash_set<KeyPath> kept;
  for (const size_t i : chosen) {
    if (source.entries[i].kind != EntryKind::kAsset) kept.insert(source.entries[i].path);
  }
  std::vector<std::string> lost;
  for (const size_t i : chosen) {
    const Entry& entry = source.entries[i];
    if (entry.kind != EntryKind::kAlias || kept.contains(entry.target)) continue;
    lost.push_back(absl::StrCat("\"", entry.path.ToString(), "\" is \"", entry.target.ToString(), "\""));
    if (lost.size() == kNamesInMessage) break;
  }
  if (lost.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("aliases of entries that are left out: ", absl::StrJoin(lost, ", "),
                   "; select their targets too, or leave the aliases out"));
}

// What stands in for the targets of aliases that are left out: by target, the first alias of it among the chosen.
absl::flat_hash_map<KeyPath, size_t> FindStandIns(const CheckpointIndex& source, const std::vector<size_t>& chosen) {
  absl::flat_hash_map<KeyPath, size_t> stand_ins;
  for (const size_t i : chosen) {
    if (source.entries[i].kind == EntryKind::kAlias) stand_ins.emplace(source.entries[i].target, i);
  }
  if (stand_ins.empty()) return stand_ins;
  for (const size_t i : chosen) {
    if (source.entries[i].kind == EntryKind::kTensor) stand_ins.erase(source.entries[i].path);
  }
  return stand_ins;
}

}  // namespace

absl::Status RenameTarget(ConvertPlan& plan, absl::FunctionRef<absl::StatusOr<KeyPath>(const KeyPath&)> new_path) {
  absl::flat_hash_map<KeyPath, KeyPath> renamed;  // By the new path.
  bool any = false;
  for (Entry& entry : plan.target.entries) {
    if (entry.kind == EntryKind::kAsset) continue;
    CAIRN_ASSIGN_OR_RETURN(KeyPath path, new_path(entry.path));
    any |= path != entry.path;
    const auto [other, is_new] = renamed.emplace(path, entry.path);
    if (!is_new) {
      return absl::InvalidArgumentError(absl::StrCat("\"", other->second.ToString(), "\" and \"", entry.path.ToString(),
                                                     "\" would both be named \"", path.ToString(), "\""));
    }
    entry.path = std::move(path);
    if (entry.kind == EntryKind::kAlias) {
      CAIRN_ASSIGN_OR_RETURN(entry.target, new_path(entry.target));
    }
  }
  return any ? plan.target.Check() : absl::OkStatus();
}

absl::StatusOr<ConvertPlan> MakeConvertPlan(const CheckpointIndex& source, const PlanOptions& options) {
  if (options.float_dtype.has_value() && !IsFloat(*options.float_dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected a float dtype to cast floats to, found ", DtypeName(*options.float_dtype)));
  }
  CAIRN_RETURN_IF_ERROR(CheckPatternsMatch(source, options.select));
  std::vector<size_t> chosen = ChooseEntries(source, options);
  DropBrokenMarks(source, chosen);
  absl::flat_hash_map<KeyPath, size_t> stand_ins, numbers;
  if (options.only.has_value()) stand_ins = FindStandIns(source, chosen);
  if (stand_ins.empty()) {
    CAIRN_RETURN_IF_ERROR(CheckAliases(source, chosen));
  } else {
    for (size_t i = 0; i < source.entries.size(); ++i) {
      if (source.entries[i].kind == EntryKind::kTensor) numbers.emplace(source.entries[i].path, i);
    }
  }

  ConvertPlan plan;
  plan.target.metadata = source.metadata;
  plan.target.entries.reserve(chosen.size());
  plan.steps.reserve(chosen.size());
  bool any_below_root = options.root.empty();
  for (const size_t i : chosen) {
    Entry entry = source.entries[i];
    size_t bytes_of = i;
    if (const auto stand_in = stand_ins.find(entry.target); entry.kind == EntryKind::kAlias && stand_in != stand_ins.end()) {
      if (stand_in->second == i) {
        const auto target = numbers.find(entry.target);
        if (target == numbers.end()) return CheckAliases(source, chosen);
        bytes_of = target->second;
        const Entry& tensor = source.entries[bytes_of];
        entry = Entry::Tensor(std::move(entry.path), tensor.dtype, tensor.shape, tensor.byte_size);
      } else {
        entry.target = source.entries[stand_in->second].path;
      }
    }
    ConvertPlan::Step step{bytes_of, entry.dtype, entry.dtype};
    if (entry.kind != EntryKind::kAsset && !options.root.empty()) {
      any_below_root = true;
      entry.path = WithoutRoot(entry.path, options.root);
      if (entry.kind == EntryKind::kAlias) entry.target = WithoutRoot(entry.target, options.root);
    }
    if (entry.kind == EntryKind::kTensor && options.float_dtype.has_value() && IsFloat(entry.dtype) &&
        entry.dtype != *options.float_dtype) {
      step.to = *options.float_dtype;
      if (!CanCast(step.from, step.to)) {
        return absl::InvalidArgumentError(absl::StrCat("entry \"", entry.path.ToString(), "\": no cast from ",
                                                       DtypeName(step.from), " to ", DtypeName(step.to)));
      }
      entry.dtype = step.to;
      CAIRN_ASSIGN_OR_RETURN(entry.byte_size, ByteSize(entry.dtype, entry.shape));
    }
    plan.target.entries.push_back(std::move(entry));
    plan.steps.push_back(step);
  }
  if (!any_below_root) {
    return absl::InvalidArgumentError(
        absl::StrCat("no chosen entry lies below \"", options.root.ToString(), "\""));
  }
  return plan;
}

}  // namespace cairn
