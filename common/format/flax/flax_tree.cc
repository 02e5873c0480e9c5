#include "common/format/flax/flax_tree.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>
#include <variant>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/format/flax_msgpack/flax_codes.h"
#include "common/format/flax_msgpack/msgpack_scan.h"
#include "common/format/flax_msgpack/scan_errors.h"

namespace cairn {
namespace {

using Type = MsgpackToken::Type;
using Segment = KeyPath::Segment;

// What a segment takes in memory besides its text.
constexpr uint64_t kSegmentBytes = 16;

// A dict key that can be a segment of a key path: str, or an int that fits.
std::optional<int64_t> IntegerKey(const MsgpackToken& token) {
  if (token.type == Type::kNegative) return token.negative;
  if (token.type == Type::kUint && token.number <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return static_cast<int64_t>(token.number);
  }
  return std::nullopt;
}

class TreeScan {
 public:
  TreeScan(const ByteSource& source, const ReadLimits& limits, FlaxTreeBudget& budget)
      : source_(source), limits_(limits), budget_(budget), scanner_(source) {}

  absl::StatusOr<FlaxTree> Scan();

 private:
  absl::Status ScanRoot();
  // The value at path_, whose header comes next.
  absl::Status ScanNode();
  absl::Status ScanMap(const MsgpackToken& map);
  absl::Status ScanList(const MsgpackToken& list);
  absl::Status ScanLeaf(const MsgpackToken& token);
  // A map or list whose parts are no entries.
  absl::Status ScanWholeValue(const MsgpackToken& token);
  absl::Status ScanText(const MsgpackToken& token, std::string* text);
  absl::StatusOr<std::optional<Segment>> ScanKey();
  absl::StatusOr<bool> IsChunked(const MsgpackToken& map);
  absl::StatusOr<bool> HoldsArrays(const MsgpackToken& list);
  absl::Status Add(const MsgpackToken& token, Entry entry, absl::Span<const FlaxPiece> pieces = {});
  absl::Status AddArray(const MsgpackToken& token, FlaxArray array);
  absl::Status InFile(const absl::Status& status) const;

  const ByteSource& source_;
  const ReadLimits& limits_;
  FlaxTreeBudget& budget_;
  MsgpackScanner scanner_;
  FlaxTree tree_;
  std::vector<Segment> path_;  // After an error: where it happened.
  uint32_t lists_ = 0;         // Lists around path_.
};

// `status` with the file's name, and the entry's where it is known.
absl::Status TreeScan::InFile(const absl::Status& status) const {
  if (!absl::IsInvalidArgument(status) && !absl::IsOutOfRange(status)) return status;
  std::string where = source_.name();
  if (!path_.empty()) absl::StrAppend(&where, ": entry ", QuotedForMessage(KeyPath(path_).ToString()));
  if (absl::IsInvalidArgument(status)) return absl::InvalidArgumentError(absl::StrCat(where, ": ", status.message()));
  return absl::InvalidArgumentError(absl::StrCat(
      where, ": torn or no Flax file: ", status.message(), "; ",
      tree_.entries.empty()
          ? "no entry before it is whole"
          : absl::StrCat("the last whole entry is ", QuotedForMessage(tree_.entries.back().path.ToString()))));
}

absl::Status TreeScan::Add(const MsgpackToken& token, Entry entry, absl::Span<const FlaxPiece> pieces) {
  if (budget_.entries == 0) {
    return MalformedAt(token.offset, absl::StrCat("more than ", limits_.max_entries, " entries, the limit"));
  }
  --budget_.entries;
  const size_t name_bytes = entry.path.ToString().size();
  if (name_bytes > limits_.max_name_bytes) {
    return MalformedAt(token.offset,
                       absl::StrCat("a path of ", name_bytes, " bytes, the limit is ", limits_.max_name_bytes));
  }
  const uint64_t cost = name_bytes + kSegmentBytes * entry.path.segments().size();
  if (cost > budget_.path_bytes) {
    return MalformedAt(token.offset,
                       absl::StrCat("paths of more than ", 4 * limits_.max_header_bytes, " bytes in one checkpoint"));
  }
  budget_.path_bytes -= cost;
  tree_.entries.push_back(std::move(entry));
  tree_.pieces.Add(pieces);
  return absl::OkStatus();
}

absl::Status TreeScan::AddArray(const MsgpackToken& token, FlaxArray array) {
  KeyPath path(path_);
  if (token.type == Type::kExt && token.ext_type == kFlaxScalarExt) tree_.scalars.push_back(path.ToString());
  return Add(token, Entry::Tensor(std::move(path), array.dtype, std::move(array.shape), array.byte_size), array.pieces);
}

absl::Status TreeScan::ScanWholeValue(const MsgpackToken& token) {
  scanner_.Seek(token.offset);
  CAIRN_ASSIGN_OR_RETURN(FlaxLeaf leaf, ScanFlaxLeaf(scanner_, limits_, budget_.values));
  return Add(token, Entry::OfValue(KeyPath(path_), std::move(std::get<Value>(leaf))));
}

absl::Status TreeScan::ScanLeaf(const MsgpackToken& token) {
  scanner_.Seek(token.offset);
  CAIRN_ASSIGN_OR_RETURN(FlaxLeaf leaf, ScanFlaxLeaf(scanner_, limits_, budget_.values));
  if (FlaxArray* array = std::get_if<FlaxArray>(&leaf)) return AddArray(token, std::move(*array));
  Value& value = std::get<Value>(leaf);
  if (value.kind == Value::Kind::kString && absl::StartsWith(value.text, kFlaxPlaceholder)) {
    return MalformedAt(token.offset,
                       absl::StrCat("an array that several processes hold, of which the file has the place ",
                                    QuotedForMessage(value.text), " alone; gather it in Flax and save it again"));
  }
  return Add(token, Entry::OfValue(KeyPath(path_), std::move(value)));
}

// Flax puts the mark first. Looking for it elsewhere costs a pass over the map, so only where it is likely.
absl::StatusOr<bool> TreeScan::IsChunked(const MsgpackToken& map) {
  if (map.length != 3) return false;
  const uint64_t begin = scanner_.offset();
  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken key, scanner_.Next());
  std::string name;
  if (key.type == Type::kStr && key.length <= kFlaxChunkedMark.size()) {
    CAIRN_RETURN_IF_ERROR(scanner_.Read(key.length, &name));
  }
  scanner_.Seek(begin);
  if (name != kFlaxChunkedMark && name != kFlaxChunkedShape && name != kFlaxChunkedChunks) return false;
  return IsFlaxChunkedArray(scanner_, map, limits_.max_depth);
}

// Whether an array stands anywhere in the list whose header was just read.
absl::StatusOr<bool> TreeScan::HoldsArrays(const MsgpackToken& list) {
  const uint64_t begin = scanner_.offset();
  bool found = false;
  uint64_t items = 0;
  std::vector<uint64_t> left = {list.length};  // Values still to come, per open container.
  while (!left.empty() && !found) {
    if (left.back() == 0) {
      left.pop_back();
      continue;
    }
    --left.back();
    // A pass for each list around the item: the number of items bounds them all.
    if (++items > limits_.max_entries) {
      return MalformedAt(list.offset, absl::StrCat("a list of more than ", limits_.max_entries, " items, the limit"));
    }
    CAIRN_ASSIGN_OR_RETURN(const MsgpackToken token, scanner_.Next());
    switch (token.type) {
      case Type::kExt:
        found = token.ext_type != kFlaxComplexExt;
        [[fallthrough]];
      case Type::kStr:
      case Type::kBin:
        CAIRN_RETURN_IF_ERROR(scanner_.Skip(token.length));
        break;
      case Type::kArray:
      case Type::kMap:
        if (left.size() > limits_.max_depth) {
          return MalformedAt(token.offset,
                             absl::StrCat("containers more than ", limits_.max_depth, " levels deep, the limit"));
        }
        left.push_back(token.type == Type::kMap ? 2 * token.length : token.length);
        break;
      default:
        break;
    }
  }
  scanner_.Seek(begin);
  return found;
}

absl::Status TreeScan::ScanList(const MsgpackToken& list) {
  CAIRN_ASSIGN_OR_RETURN(const bool holds_arrays, HoldsArrays(list));
  if (!holds_arrays) return ScanWholeValue(list);
  Value mark;
  mark.kind = Value::Kind::kList;
  mark.length = list.length;
  CAIRN_RETURN_IF_ERROR(Add(list, Entry::OfValue(KeyPath(path_), std::move(mark))));
  ++lists_;
  for (uint64_t i = 0; i < list.length; ++i) {
    path_.push_back(static_cast<int64_t>(i));
    CAIRN_RETURN_IF_ERROR(ScanNode());
    path_.pop_back();
  }
  --lists_;
  return absl::OkStatus();
}

// Nothing for a key that no segment can be.
absl::StatusOr<std::optional<Segment>> TreeScan::ScanKey() {
  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken token, scanner_.Next());
  if (const std::optional<int64_t> number = IntegerKey(token)) return std::optional<Segment>(*number);
  if (token.type != Type::kStr) return std::optional<Segment>();
  if (token.length > limits_.max_name_bytes) {
    return MalformedAt(token.offset,
                       absl::StrCat("a key of ", token.length, " bytes, the limit is ", limits_.max_name_bytes));
  }
  std::string name;
  CAIRN_RETURN_IF_ERROR(scanner_.Read(token.length, &name));
  if (!IsUtf8(name)) return MalformedAt(token.offset, "a key that is no UTF-8");
  if (name == kFlaxChunkedMark) {
    return MalformedAt(token.offset, "a chunked array with other keys than its mark, shape and chunks");
  }
  return std::optional<Segment>(std::move(name));
}

absl::Status TreeScan::ScanMap(const MsgpackToken& map) {
  const size_t entries_before = tree_.entries.size(), scalars_before = tree_.scalars.size();
  absl::flat_hash_set<Segment> seen;
  for (uint64_t i = 0; i < map.length; ++i) {
    const uint64_t key_offset = scanner_.offset();
    CAIRN_ASSIGN_OR_RETURN(std::optional<Segment> key, ScanKey());
    if (!key.has_value()) {
      if (path_.empty()) {
        scanner_.Seek(key_offset);
        CAIRN_ASSIGN_OR_RETURN(const MsgpackToken token, scanner_.Next());
        return UnexpectedToken(token, "a key of the root that is a str or an integer below 2^63");
      }
      // A dict that is a value, then.
      tree_.entries.resize(entries_before);
      tree_.pieces.Truncate(entries_before);
      tree_.scalars.resize(scalars_before);
      return ScanWholeValue(map);
    }
    path_.push_back(*key);
    if (!seen.insert(*std::move(key)).second) {
      return MalformedAt(key_offset, "its key stands twice in one dict; Flax would load the last one silently");
    }
    CAIRN_RETURN_IF_ERROR(ScanNode());
    path_.pop_back();
  }
  return absl::OkStatus();
}

absl::Status TreeScan::ScanNode() {
  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken token, scanner_.Next());
  if (token.type != Type::kMap && token.type != Type::kArray) return ScanLeaf(token);
  if (token.length == 0) return ScanWholeValue(token);
  if (path_.size() >= limits_.max_depth) {
    return MalformedAt(token.offset,
                       absl::StrCat("containers more than ", limits_.max_depth, " levels deep, the limit"));
  }
  if (token.type == Type::kArray) return ScanList(token);
  CAIRN_ASSIGN_OR_RETURN(const bool chunked, IsChunked(token));
  if (!chunked) return ScanMap(token);
  if (lists_ > 0) return MalformedAt(token.offset, "a chunked array inside a list, where Flax does not join it");
  CAIRN_ASSIGN_OR_RETURN(FlaxArray array, ScanFlaxChunkedArray(scanner_, token, &budget_.values.items));
  return AddArray(token, std::move(array));
}

absl::Status TreeScan::ScanRoot() {
  if (source_.size() == 0) return absl::InvalidArgumentError("an empty file, expected one map");
  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken root, scanner_.Next());
  if (root.type != Type::kMap) return UnexpectedToken(root, "a map, the root of a tree");
  CAIRN_ASSIGN_OR_RETURN(const bool chunked, IsChunked(root));
  if (chunked) return MalformedAt(root.offset, "one array alone, expected a tree with names");
  CAIRN_RETURN_IF_ERROR(ScanMap(root));
  if (scanner_.AtEnd()) return absl::OkStatus();
  return MalformedAt(scanner_.offset(), absl::StrCat(source_.size() - scanner_.offset(),
                                                     " bytes after the tree, expected the end of the file"));
}

absl::StatusOr<FlaxTree> TreeScan::Scan() {
  CAIRN_RETURN_IF_ERROR(InFile(ScanRoot()));
  return std::move(tree_);
}

// --- Detection

constexpr uint64_t kSniffBytes = 4096;
constexpr uint32_t kSniffDepth = 16;

enum class Verdict { kNo, kGoOn, kEnough };

// Walks down the front of a map. `*evidence`: something that no run of small numbers looks like.
Verdict SniffMap(MsgpackScanner& scanner, uint64_t pairs, uint32_t depth, bool* evidence) {
  for (uint64_t i = 0; i < pairs; ++i) {
    if (scanner.offset() > kSniffBytes) return Verdict::kEnough;
    const absl::StatusOr<MsgpackToken> key = scanner.Next();
    if (!key.ok()) return absl::IsOutOfRange(key.status()) ? Verdict::kEnough : Verdict::kNo;
    if (key->type == Type::kStr) {
      std::string name;
      if (key->length > kSniffBytes || !scanner.Read(key->length, &name).ok()) return Verdict::kEnough;
      if (!IsUtf8(name)) return Verdict::kNo;
      *evidence = true;
    } else if (key->type != Type::kUint && key->type != Type::kNegative) {
      return Verdict::kNo;
    }
    const absl::StatusOr<MsgpackToken> value = scanner.Next();
    if (!value.ok()) return absl::IsOutOfRange(value.status()) ? Verdict::kEnough : Verdict::kNo;
    switch (value->type) {
      case Type::kMap: {
        if (depth == kSniffDepth) return Verdict::kEnough;
        const Verdict below = SniffMap(scanner, value->length, depth + 1, evidence);
        if (below != Verdict::kGoOn) return below;
        break;
      }
      case Type::kArray:
        return Verdict::kEnough;
      case Type::kExt: {
        const uint64_t end = scanner.offset() + value->length;
        const absl::StatusOr<MsgpackToken> body = scanner.Next();
        if (body.ok() &&
            (body->type != Type::kArray || body->length != (value->ext_type == kFlaxComplexExt ? 2u : 3u))) {
          return Verdict::kNo;
        }
        if (value->ext_type < kFlaxArrayExt || value->ext_type > kFlaxScalarExt) return Verdict::kNo;
        *evidence = true;
        scanner.Seek(end);
        break;
      }
      case Type::kStr:
      case Type::kBin:
        scanner.Seek(scanner.offset() + value->length);
        break;
      default:
        break;
    }
  }
  return Verdict::kGoOn;
}

}  // namespace

absl::StatusOr<FlaxTree> ScanFlaxTree(const ByteSource& source, const ReadLimits& limits, FlaxTreeBudget& budget) {
  return TreeScan(source, limits, budget).Scan();
}

bool LooksLikeFlaxTree(const ByteSource& source) {
  MsgpackScanner scanner(source, MsgpackScanner::kMinWindowBytes);
  // A file that is cut short is one all the same: Open() says what is wrong with it.
  scanner.SetEnd(uint64_t{1} << 62);
  const absl::StatusOr<MsgpackToken> root = scanner.Next();
  if (!root.ok() || root->type != Type::kMap) return false;
  bool evidence = false;
  const Verdict verdict = SniffMap(scanner, root->length, 0, &evidence);
  if (verdict == Verdict::kNo || !evidence) return false;
  return verdict == Verdict::kEnough || scanner.offset() >= source.size();
}

}  // namespace cairn
