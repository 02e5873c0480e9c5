#include "common/format/torch/torch_legacy.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/format/torch/torch_types.h"
#include "common/pickle/pickle_values.h"

namespace cairn {
namespace {

constexpr int64_t kProtocolVersion = 1001;

absl::Status Bad(const ByteSource& source, uint64_t offset, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(source.name(), ": at offset ", offset, ": ", what));
}

int64_t LittleEndian64(absl::Span<const char> bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  return static_cast<int64_t>(value);
}

// Bytes per element of every storage that the pickle names, by key: the lengths in the file count elements.
absl::StatusOr<absl::flat_hash_map<std::string, uint32_t>> ItemSizes(const PickleTree& tree) {
  absl::flat_hash_map<std::string, uint32_t> sizes;
  for (PickleNodeId id = 0; id < tree.size(); ++id) {
    if (tree.kind(id) != PickleKind::kPersistentId || tree.kind(tree.payload(id)) != PickleKind::kTuple) continue;
    const auto items = tree.items(tree.payload(id));
    if (items.size() < 5 || !tree.IsStr(items[0], "storage") || !tree.IsGlobal(items[1])) continue;
    const std::optional<TorchStorageType> type = TorchStorageTypeOf(tree.module(items[1]), tree.name(items[1]));
    // Storages of quantized tensors: their sizes are in their names.
    uint32_t item = 0;
    if (type.has_value()) {
      item = type->item_size;
    } else if (tree.module(items[1]) == "torch") {
      item = tree.name(items[1]) == "QInt32Storage" ? 4 : 1;
    } else {
      continue;
    }
    const std::string key = tree.IsStr(items[2]) ? std::string(tree.text(items[2]))
                            : tree.kind(items[2]) == PickleKind::kInt ? absl::StrCat(tree.integer(items[2]))
                                                                      : std::string();
    sizes.try_emplace(key, item);  // The first one counts.
  }
  return sizes;
}

}  // namespace

absl::StatusOr<TorchLegacy> ReadTorchLegacy(const ByteSource& source, const PickleLimits& pickle_limits,
                                            const ReadLimits& limits) {
  TorchLegacy legacy;
  uint64_t offset = kTorchLegacyMagic.size();
  CAIRN_ASSIGN_OR_RETURN(const PickleTree version, ReadPickle(source, offset, pickle_limits));
  if (version.kind(version.root()) != PickleKind::kInt || version.integer(version.root()) != kProtocolVersion) {
    return Bad(source, offset, absl::StrCat("expected protocol version ", kProtocolVersion));
  }
  offset = version.end_offset();
  CAIRN_ASSIGN_OR_RETURN(const PickleTree system, ReadPickle(source, offset, pickle_limits));
  const std::optional<PickleMapping> about = AsMapping(system, system.root());
  if (!about.has_value()) return Bad(source, offset, "expected a dict that describes the system");
  for (const auto& [key, value] : about->pairs) {
    if (system.IsStr(key, "little_endian")) {
      legacy.big_endian = system.kind(value) == PickleKind::kBool && !system.boolean(value);
    }
  }
  CAIRN_ASSIGN_OR_RETURN(legacy.tree, ReadPickle(source, system.end_offset(), pickle_limits));
  offset = legacy.tree.end_offset();
  CAIRN_ASSIGN_OR_RETURN(const PickleTree keys, ReadPickle(source, offset, pickle_limits));
  const std::optional<PickleSequence> list = AsSequence(keys, keys.root());
  if (!list.has_value()) return Bad(source, offset, "expected the list of storages");
  if (list->items.size() > limits.max_entries) {
    return Bad(source, offset, absl::StrCat(list->items.size(), " storages, more than the limit of ", limits.max_entries));
  }
  CAIRN_ASSIGN_OR_RETURN(const auto item_sizes, ItemSizes(legacy.tree));
  offset = keys.end_offset();
  for (const PickleNodeId item : list->items) {
    const std::string key = keys.IsStr(item) ? std::string(keys.text(item))
                            : keys.kind(item) == PickleKind::kInt ? absl::StrCat(keys.integer(item))
                                                                  : std::string();
    const auto size = item_sizes.find(key);
    if (size == item_sizes.end()) return Bad(source, offset, absl::StrCat("the list names a storage \"", key, "\" that the object has not"));
    char head[8];
    if (source.size() < 8 || offset > source.size() - 8) return Bad(source, offset, absl::StrCat("the file ends before storage \"", key, "\""));
    CAIRN_RETURN_IF_ERROR(source.ReadAt(offset, absl::MakeSpan(head)));
    const int64_t elements = LittleEndian64(head);
    offset += 8;
    const std::optional<uint64_t> bytes =
        elements < 0 ? std::nullopt : CheckedMul(static_cast<uint64_t>(elements), uint64_t{size->second});
    if (!bytes.has_value() || *bytes > source.size() - offset) {
      return Bad(source, offset, absl::StrCat("storage \"", key, "\" says that it has ", elements, " elements of ", size->second,
                                              " bytes; only ", source.size() - offset, " bytes are left: the file is damaged or cut off"));
    }
    if (!legacy.storages.try_emplace(key, TorchLegacy::Storage{offset, *bytes}).second) {
      return Bad(source, offset, absl::StrCat("storage \"", key, "\" comes twice"));
    }
    offset += *bytes;
  }
  return legacy;
}

}  // namespace cairn
