#include "common/format/easylm/easylm_reader.h"

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/easylm/easylm_object.h"
#include "common/format/flax_msgpack/flax_leaf.h"
#include "common/format/flax_msgpack/msgpack_scan.h"
#include "common/format/flax_msgpack/piece_table.h"

namespace cairn {
namespace {

// `status` with the file's name, and with the entry's where it is known. What ends too early inside a value that lies
// in the file whole is malformed, not torn.
absl::Status InFile(const absl::Status& status, absl::string_view where) {
  if (!absl::IsInvalidArgument(status) && !absl::IsOutOfRange(status)) return status;
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", status.message()));
}

class EasyLmReader final : public CheckpointReader {
 public:
  EasyLmReader(std::shared_ptr<const SourceTree> tree, std::unique_ptr<ByteSource> source, ReadOptions options)
      : tree_(std::move(tree)), source_(std::move(source)), options_(std::move(options)) {}

  absl::Status Scan();

  const CheckpointIndex& index() const override { return index_; }
  absl::Status ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) override;

 private:
  void AddLeaf(KeyPath path, FlaxLeaf leaf);
  absl::Status CheckRange(size_t entry, uint64_t offset, uint64_t length) const;

  const std::shared_ptr<const SourceTree> tree_;
  const std::unique_ptr<ByteSource> source_;
  const ReadOptions options_;
  CheckpointIndex index_;
  PieceTable pieces_;
};

void EasyLmReader::AddLeaf(KeyPath path, FlaxLeaf leaf) {
  if (Value* value = std::get_if<Value>(&leaf)) {
    pieces_.Add({});
    index_.entries.push_back(Entry::OfValue(std::move(path), std::move(*value)));
    return;
  }
  FlaxArray& array = std::get<FlaxArray>(leaf);
  pieces_.Add(array.pieces);
  index_.entries.push_back(Entry::Tensor(std::move(path), array.dtype, std::move(array.shape), array.byte_size));
}

absl::Status EasyLmReader::Scan() {
  const std::string& name = source_->name();
  const ReadLimits& limits = options_.limits;
  const bool drops_prefix = options_.variant == "trainstate_params";
  const KeyPath prefix = drops_prefix ? KeyPath::Of({"params", "params"}) : KeyPath();

  // EasyLM writes such a file for a tree without leaves; it is far more often what a crash has left.
  if (source_->size() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": an empty file, expected at least one entry"));
  }
  MsgpackScanner scanner(*source_);
  FlaxBudget budget(limits);
  absl::flat_hash_map<std::string, uint64_t> seen;  // Shown key -> offset of its object.
  std::string last_key;
  while (!scanner.AtEnd()) {
    const uint64_t begin = scanner.offset();
    absl::StatusOr<EasyLmObject> object = ScanEasyLmObject(scanner, limits);
    if (absl::IsOutOfRange(object.status())) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": torn save: the object at offset ", begin, " does not end before the file does (",
          object.status().message(), "); ",
          seen.empty() ? "no key before it is whole" : absl::StrCat("the last whole key is \"", last_key, "\""),
          "; take another save"));
    }
    if (!object.ok()) {
      return InFile(object.status(), seen.empty() ? name : absl::StrCat(name, ": after entry \"", last_key, "\""));
    }

    std::string key = object->key.ToString();
    const std::string where = absl::StrCat(name, ": entry \"", key, "\"");
    if (key.size() > limits.max_name_bytes) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": offset ", begin, ": a key of ", key.size(),
                                                     " bytes, the limit is ", limits.max_name_bytes));
    }
    if (const auto [before, is_new] = seen.emplace(key, begin); !is_new) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": stands at offset ", before->second, " and again at offset ",
                                                     begin, "; EasyLM would load the last one silently"));
    }
    if (seen.size() > limits.max_entries) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": offset ", begin, ": more than ", limits.max_entries,
                                                     " entries, the limit"));
    }

    const uint64_t value_end = object->value_offset + object->value_bytes;
    const uint64_t file_end = scanner.SetEnd(value_end);
    absl::StatusOr<FlaxLeaf> leaf = ScanFlaxLeaf(scanner, limits, budget);
    if (!leaf.ok()) return InFile(leaf.status(), where);
    if (scanner.offset() != value_end) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": offset ", scanner.offset(), ": ",
                                                     value_end - scanner.offset(),
                                                     " bytes after the leaf, expected the end of its bin"));
    }
    scanner.SetEnd(file_end);
    last_key = std::move(key);

    if (drops_prefix) {
      if (!object->key.StartsWith(prefix)) continue;
      const auto& segments = object->key.segments();
      object->key = KeyPath({segments.begin() + static_cast<ptrdiff_t>(prefix.segments().size()), segments.end()});
      if (object->key.empty()) {
        return absl::InvalidArgumentError(absl::StrCat(where, ": offset ", begin,
                                                       ": nothing is left of the key without that prefix"));
      }
    }
    AddLeaf(std::move(object->key), *std::move(leaf));
  }
  if (drops_prefix && index_.entries.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": none of its ", seen.size(), " keys begins with \"",
                                                   prefix.ToString(), "\"; for a file of parameters alone write params::"));
  }
  return InFile(index_.Check(), name);
}

absl::Status EasyLmReader::CheckRange(size_t entry, uint64_t offset, uint64_t length) const {
  if (entry >= index_.entries.size()) {
    return absl::OutOfRangeError(absl::StrCat(source_->name(), ": entry number ", entry, " of ", index_.entries.size()));
  }
  const Entry& found = index_.entries[entry];
  if (offset <= found.byte_size && length <= found.byte_size - offset) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat(source_->name(), ": entry \"", found.path.ToString(), "\": bytes [", offset,
                                            ", ", offset, "+", length, ") of ", found.byte_size));
}

absl::Status EasyLmReader::ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) {
  CAIRN_RETURN_IF_ERROR(CheckRange(entry, offset, dst.size()));
  return pieces_.ForEachRun(entry, offset, dst.size(), [&](uint64_t file_offset, uint64_t length) {
    const absl::Span<char> run = dst.first(static_cast<size_t>(length));
    dst.remove_prefix(static_cast<size_t>(length));
    return source_->ReadAt(file_offset, run);
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenEasyLmReader(std::shared_ptr<const SourceTree> source,
                                                                   const ReadOptions& options) {
  if (source->is_directory()) {
    return absl::InvalidArgumentError(absl::StrCat(source->name(), ": a folder, expected one EasyLM streaming file"));
  }
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, source->Open(""));
  auto reader = std::make_unique<EasyLmReader>(std::move(source), std::move(file), options);
  CAIRN_RETURN_IF_ERROR(reader->Scan());
  return reader;
}

}  // namespace cairn
