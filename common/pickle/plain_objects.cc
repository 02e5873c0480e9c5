#include "common/pickle/plain_objects.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/pickle/big_int.h"
#include "common/pickle/pickle_text.h"
#include "common/pickle/pickle_values.h"

namespace cairn {
namespace {

constexpr int kMaxKeyDepth = 4;  // Tuples within the key of a dict.
constexpr size_t kMaxBigIntBytes = 16u << 10;
constexpr size_t kMaxBigIntDigits = 40'000;

bool AppendIdentity(const PickleTree& tree, PickleNodeId node, int depth, std::string* out) {
  switch (tree.kind(node)) {
    case PickleKind::kNone:
      out->push_back('n');
      return true;
    case PickleKind::kBool:
      absl::StrAppend(out, "i", tree.boolean(node) ? 1 : 0, ";");
      return true;
    case PickleKind::kInt:
      absl::StrAppend(out, "i", tree.integer(node), ";");
      return true;
    case PickleKind::kBigInt: {
      const absl::StatusOr<std::string> decimal = BigIntDecimal(tree, node);
      if (decimal.ok()) absl::StrAppend(out, "i", *decimal, ";");
      return decimal.ok();
    }
    case PickleKind::kFloat: {
      const double number = tree.number(node);
      if (std::isnan(number)) return false;
      if (number == std::trunc(number) && std::abs(number) < 9e18) {
        absl::StrAppend(out, "i", static_cast<int64_t>(number), ";");
      } else {
        absl::StrAppend(out, "f", std::bit_cast<uint64_t>(number), ";");
      }
      return true;
    }
    case PickleKind::kStr:
    case PickleKind::kBytes:
      absl::StrAppend(out, tree.IsStr(node) ? "s" : "b", tree.text(node).size(), ";", tree.text(node));
      return true;
    case PickleKind::kTuple:
      if (depth == kMaxKeyDepth || tree.items(node).size() > 64) return false;
      absl::StrAppend(out, "t", tree.items(node).size(), ";");
      for (const PickleNodeId item : tree.items(node)) {
        if (!AppendIdentity(tree, item, depth + 1, out)) return false;
      }
      return true;
    default:
      return false;
  }
}

// Python 2 wrote these as its str, which may be either.
std::optional<absl::string_view> AsText(const PickleTree& tree, PickleNodeId node) {
  if (tree.IsStr(node) || (tree.kind(node) == PickleKind::kBytes && tree.is_python2_str(node))) return tree.text(node);
  return std::nullopt;
}

// The pairs of OrderedDict([[key, value], ...]), as Python 2 wrote them.
bool AppendPairs(const PickleTree& tree, PickleNodeId list, PickleMapping* mapping) {
  if (tree.kind(list) != PickleKind::kList) return false;
  for (const PickleNodeId pair : tree.items(list)) {
    const bool is_pair = tree.kind(pair) == PickleKind::kList || tree.kind(pair) == PickleKind::kTuple;
    if (!is_pair || tree.items(pair).size() != 2) return false;
    mapping->pairs.emplace_back(tree.items(pair)[0], tree.items(pair)[1]);
  }
  return true;
}

void AppendItems(absl::Span<const PickleNodeId> items, PickleMapping* mapping) {
  mapping->pairs.reserve(mapping->pairs.size() + items.size() / 2);
  for (size_t i = 0; i + 1 < items.size(); i += 2) mapping->pairs.emplace_back(items[i], items[i + 1]);
}

void KeepLastOfEqualKeys(const PickleTree& tree, PickleMapping* mapping) {
  if (mapping->pairs.size() < 2) return;
  absl::flat_hash_map<std::string, size_t> places;
  places.reserve(mapping->pairs.size());
  size_t kept = 0;
  for (const auto& [key, value] : mapping->pairs) {
    std::optional<std::string> identity = DictKeyIdentity(tree, key);
    if (identity.has_value()) {
      const auto [place, is_new] = places.try_emplace(*std::move(identity), kept);
      if (!is_new) {
        mapping->pairs[place->second].second = value;
        continue;
      }
    }
    mapping->pairs[kept++] = {key, value};
  }
  mapping->pairs.resize(kept);
}

double HalfToDouble(uint16_t half) {
  const int exponent = half >> 10 & 0x1f;
  const int fraction = half & 0x3ff;
  double magnitude;
  if (exponent == 0x1f) {
    magnitude = fraction == 0 ? HUGE_VAL : std::nan("");
  } else if (exponent == 0) {
    magnitude = std::ldexp(fraction, -24);
  } else {
    magnitude = std::ldexp(fraction + 0x400, exponent - 25);
  }
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

// `bytes` of 1, 2, 4 or 8.
uint64_t Bits(absl::string_view bytes, bool big_endian) {
  uint64_t bits = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const size_t place = big_endian ? bytes.size() - 1 - i : i;
    bits |= uint64_t{static_cast<unsigned char>(bytes[i])} << 8 * place;
  }
  return bits;
}

std::optional<double> FloatOf(absl::string_view bytes, bool big_endian) {
  if (bytes.size() > 8) return std::nullopt;  // long double: how many of its bits count depends on the machine.
  const uint64_t bits = Bits(bytes, big_endian);
  switch (bytes.size()) {
    case 2:
      return HalfToDouble(static_cast<uint16_t>(bits));
    case 4:
      return std::bit_cast<float>(static_cast<uint32_t>(bits));
    case 8:
      return std::bit_cast<double>(bits);
    default:
      return std::nullopt;
  }
}

std::optional<Value> UnicodeOf(absl::string_view bytes, bool big_endian) {
  std::string escaped;  // As the lines of protocol 0, whose reader makes UTF-8 of it.
  for (; bytes.size() >= 4; bytes.remove_prefix(4)) {
    absl::StrAppend(&escaped, "\\U", absl::Hex(Bits(bytes.substr(0, 4), big_endian), absl::kZeroPad8));
  }
  std::optional<std::string> text = UnescapePickleUnicode(escaped);
  if (!bytes.empty() || !text.has_value() || Utf8FormOf(*text) != Utf8Form::kStrict) return std::nullopt;
  text->resize(text->find_last_not_of('\0') + 1);
  return Value::String(*std::move(text));
}

// A dtype of numpy: its letter, its size, its order of bytes.
struct NumpyDtype {
  char kind = 0;
  uint64_t size = 0;
  bool big_endian = false;
};

std::optional<NumpyDtype> AsNumpyDtype(const PickleTree& tree, PickleNodeId node) {
  if (!tree.IsCallOf(node, "numpy", "dtype") || tree.items(tree.args(node)).empty()) return std::nullopt;
  const std::optional<absl::string_view> name = AsText(tree, tree.items(tree.args(node))[0]);
  NumpyDtype dtype;
  if (!name.has_value() || name->size() < 2 || !absl::SimpleAtoi(name->substr(1), &dtype.size)) return std::nullopt;
  dtype.kind = name->front();
  for (const PickleNodeId effect : tree.effects(node)) {
    if (tree.kind(effect) != PickleKind::kBuild) return std::nullopt;
    const absl::Span<const PickleNodeId> state = tree.items(tree.items(effect)[0]);
    if (state.size() < 2) return std::nullopt;
    const std::optional<absl::string_view> order = AsText(tree, state[1]);
    if (!order.has_value() || order->size() != 1 || !absl::StrContains("<>=|", *order)) return std::nullopt;
    dtype.big_endian = *order == ">";
  }
  return dtype;
}

}  // namespace

std::optional<std::string> DictKeyIdentity(const PickleTree& tree, PickleNodeId node) {
  std::string identity;
  if (!AppendIdentity(tree, node, 0, &identity)) return std::nullopt;
  return identity;
}

std::optional<PickleMapping> AsMapping(const PickleTree& tree, PickleNodeId node) {
  PickleMapping mapping;
  if (tree.kind(node) == PickleKind::kDict) {
    AppendItems(tree.items(node), &mapping);
  } else if (tree.IsCallOf(node, "collections", "OrderedDict")) {
    const absl::Span<const PickleNodeId> args = tree.items(tree.args(node));
    if (args.size() > 1 || (args.size() == 1 && !AppendPairs(tree, args[0], &mapping))) return std::nullopt;
  } else if (tree.IsCallOf(node, "collections", "defaultdict")) {
    if (tree.items(tree.args(node)).size() > 1) return std::nullopt;
  } else {
    return std::nullopt;
  }
  for (const PickleNodeId effect : tree.effects(node)) {
    if (tree.kind(effect) == PickleKind::kSetItems) {
      AppendItems(tree.items(effect), &mapping);
    } else if (tree.kind(effect) == PickleKind::kBuild) {
      mapping.states.push_back(tree.items(effect)[0]);
    } else {
      return std::nullopt;
    }
  }
  KeepLastOfEqualKeys(tree, &mapping);
  return mapping;
}

std::optional<PickleSequence> AsSequence(const PickleTree& tree, PickleNodeId node) {
  if (tree.kind(node) == PickleKind::kList) return PickleSequence{false, tree.items(node)};
  if (tree.kind(node) == PickleKind::kTuple) return PickleSequence{true, tree.items(node)};
  if (!tree.IsCallOf(node, "torch", "Size") || !tree.effects(node).empty()) return std::nullopt;
  const absl::Span<const PickleNodeId> args = tree.items(tree.args(node));
  if (args.empty()) return PickleSequence{true, {}};
  const bool is_plain = tree.kind(args[0]) == PickleKind::kTuple || tree.kind(args[0]) == PickleKind::kList;
  if (args.size() != 1 || !is_plain) return std::nullopt;
  return PickleSequence{true, tree.items(args[0])};
}

std::optional<std::string> AsBytes(const PickleTree& tree, PickleNodeId node) {
  const PickleKind kind = tree.kind(node);
  if (kind == PickleKind::kBytes || kind == PickleKind::kByteArray ||
      (kind == PickleKind::kStr && tree.is_python2_str(node))) {
    return std::string(tree.text(node));
  }
  if (kind != PickleKind::kReduce || !tree.effects(node).empty()) return std::nullopt;
  const absl::Span<const PickleNodeId> args = tree.items(tree.args(node));
  const bool is_latin1 =
      args.size() == 2 && tree.IsStr(args[0]) && (tree.IsStr(args[1], "latin1") || tree.IsStr(args[1], "latin-1"));
  const PickleNodeId callable = tree.callable(node);
  if (tree.IsGlobal(callable, "_codecs", "encode")) {
    if (!is_latin1) return std::nullopt;
    return Utf8ToLatin1(tree.text(args[0]));
  }
  const bool is_bytearray = tree.IsGlobal(callable, "builtins", "bytearray");
  if (!is_bytearray && !tree.IsGlobal(callable, "builtins", "bytes")) return std::nullopt;
  if (args.empty()) return "";
  if (is_latin1) return Utf8ToLatin1(tree.text(args[0]));
  // One call within another at most, so that nothing recurses further.
  if (args.size() != 1 || tree.IsCallOf(args[0], "builtins", "bytearray") ||
      tree.IsCallOf(args[0], "builtins", "bytes")) {
    return std::nullopt;
  }
  return AsBytes(tree, args[0]);
}

absl::StatusOr<std::string> BigIntDecimal(const PickleTree& tree, PickleNodeId node) {
  if (tree.kind(node) == PickleKind::kInt) return absl::StrCat(tree.integer(node));
  const bool is_decimal = tree.big_int_is_decimal(node);
  const absl::string_view text = tree.kind(node) == PickleKind::kBigInt ? tree.text(node) : absl::string_view();
  if (text.empty() || text.size() > (is_decimal ? kMaxBigIntDigits : kMaxBigIntBytes)) {
    return absl::InvalidArgumentError(absl::StrCat(tree.source_name(), ": expected an int of at most ", kMaxBigIntBytes,
                                                   " bytes at offset ", tree.offset(node), ", found ",
                                                   PickleNodeName(tree, node), " of ", text.size()));
  }
  return is_decimal ? std::string(text) : TwosComplementToDecimal(text);
}

std::optional<Value> AsComplex(const PickleTree& tree, PickleNodeId node) {
  if (!tree.IsCallOf(node, "builtins", "complex") || !tree.effects(node).empty()) return std::nullopt;
  const absl::Span<const PickleNodeId> args = tree.items(tree.args(node));
  if (args.size() != 2 || tree.kind(args[0]) != PickleKind::kFloat || tree.kind(args[1]) != PickleKind::kFloat) {
    return std::nullopt;
  }
  return Value::Complex({tree.number(args[0]), tree.number(args[1])});
}

std::optional<Value> AsNumpyScalar(const PickleTree& tree, PickleNodeId node) {
  if ((!tree.IsCallOf(node, "numpy.core.multiarray", "scalar") &&
       !tree.IsCallOf(node, "numpy._core.multiarray", "scalar")) ||
      !tree.effects(node).empty()) {
    return std::nullopt;
  }
  const absl::Span<const PickleNodeId> args = tree.items(tree.args(node));
  if (args.size() != 2) return std::nullopt;
  const std::optional<NumpyDtype> dtype = AsNumpyDtype(tree, args[0]);
  std::optional<std::string> bytes = AsBytes(tree, args[1]);
  if (!dtype.has_value() || !bytes.has_value()) return std::nullopt;
  // The size of U counts characters.
  if (bytes->size() != (dtype->kind == 'U' ? dtype->size * 4 : dtype->size)) return std::nullopt;
  const bool is_word = bytes->size() == 1 || bytes->size() == 2 || bytes->size() == 4 || bytes->size() == 8;
  switch (dtype->kind) {
    case 'b':
      if (bytes->size() != 1) return std::nullopt;
      return Value::Bool((*bytes)[0] != 0);
    case 'i': {
      if (!is_word) return std::nullopt;
      const int unused = 64 - 8 * static_cast<int>(bytes->size());
      return Value::Int(static_cast<int64_t>(Bits(*bytes, dtype->big_endian) << unused) >> unused);
    }
    case 'u': {
      if (!is_word) return std::nullopt;
      const uint64_t number = Bits(*bytes, dtype->big_endian);
      if (number <= INT64_MAX) return Value::Int(static_cast<int64_t>(number));
      Value value;
      value.kind = Value::Kind::kBigInt;
      value.text = absl::StrCat(number);
      return value;
    }
    case 'f': {
      const std::optional<double> number = FloatOf(*bytes, dtype->big_endian);
      if (!number.has_value()) return std::nullopt;
      return Value::Float(*number);
    }
    case 'c': {
      const size_t half = bytes->size() / 2;
      if (bytes->size() != 8 && bytes->size() != 16) return std::nullopt;
      return Value::Complex({*FloatOf(absl::string_view(*bytes).substr(0, half), dtype->big_endian),
                             *FloatOf(absl::string_view(*bytes).substr(half), dtype->big_endian)});
    }
    case 'S':
      bytes->resize(bytes->find_last_not_of('\0') + 1);
      return Value::Bytes(*std::move(bytes));
    case 'U':
      return UnicodeOf(*bytes, dtype->big_endian);
    default:
      return std::nullopt;
  }
}

}  // namespace cairn
