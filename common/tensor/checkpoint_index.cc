#include "common/tensor/checkpoint_index.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

bool MarksContainer(const Entry& entry) {
  return entry.kind == EntryKind::kValue &&
         (entry.value->kind == Value::Kind::kList || entry.value->kind == Value::Kind::kTuple);
}

// Of one name space. In sorted order a path's first descendant comes right after it, and so does its double.
absl::Status CheckPaths(std::vector<const Entry*> entries, absl::string_view what) {
  std::sort(entries.begin(), entries.end(), [](const Entry* a, const Entry* b) { return a->path < b->path; });
  for (size_t i = 1; i < entries.size(); ++i) {
    const Entry& before = *entries[i - 1];
    const Entry& after = *entries[i];
    if (before.path == after.path) {
      return absl::InvalidArgumentError(absl::StrCat(what, " \"", after.path.ToString(), "\" appears twice"));
    }
    if (after.path.StartsWith(before.path) && !MarksContainer(before)) {
      return absl::InvalidArgumentError(absl::StrCat(
          what, " \"", before.path.ToString(), "\" cannot be the parent of \"", after.path.ToString(), "\""));
    }
  }
  return absl::OkStatus();
}

}  // namespace

Entry Entry::Tensor(KeyPath path, Dtype dtype, Shape shape, uint64_t byte_size) {
  Entry entry;
  entry.path = std::move(path);
  entry.kind = EntryKind::kTensor;
  entry.dtype = dtype;
  entry.shape = std::move(shape);
  entry.byte_size = byte_size;
  return entry;
}

Entry Entry::OfValue(KeyPath path, Value value) {
  Entry entry;
  entry.path = std::move(path);
  entry.kind = EntryKind::kValue;
  entry.value = std::move(value);
  return entry;
}

Entry Entry::Asset(KeyPath path, uint64_t byte_size) {
  Entry entry;
  entry.path = std::move(path);
  entry.kind = EntryKind::kAsset;
  entry.byte_size = byte_size;
  return entry;
}

Entry Entry::Alias(KeyPath path, KeyPath target) {
  Entry entry;
  entry.path = std::move(path);
  entry.kind = EntryKind::kAlias;
  entry.target = std::move(target);
  return entry;
}

uint64_t CheckpointIndex::TotalBytes() const {
  uint64_t total = 0;
  for (const Entry& entry : entries) {
    total = CheckedAdd(total, entry.byte_size).value_or(std::numeric_limits<uint64_t>::max());
  }
  return total;
}

absl::Status CheckpointIndex::Check() const {
  std::vector<const Entry*> assets, others;
  absl::flat_hash_set<KeyPath> tensors;
  bool has_alias = false;
  for (const Entry& entry : entries) {
    (entry.kind == EntryKind::kAsset ? assets : others).push_back(&entry);
    has_alias |= entry.kind == EntryKind::kAlias;
  }
  CAIRN_RETURN_IF_ERROR(CheckPaths(std::move(assets), "asset"));
  CAIRN_RETURN_IF_ERROR(CheckPaths(std::move(others), "entry"));
  if (!has_alias) return absl::OkStatus();
  for (const Entry& entry : entries) {
    if (entry.kind == EntryKind::kTensor) tensors.insert(entry.path);
  }
  for (const Entry& entry : entries) {
    if (entry.kind == EntryKind::kAlias && !tensors.contains(entry.target)) {
      return absl::InvalidArgumentError(absl::StrCat("alias \"", entry.path.ToString(), "\": its target \"",
                                                     entry.target.ToString(),
                                                     "\" is no tensor of this checkpoint"));
    }
  }
  return absl::OkStatus();
}

}  // namespace cairn
