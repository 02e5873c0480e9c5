#include "common/pickle/pickle_values.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/pickle/pickle_reader.h"
#include "common/pickle/pickle_subtree.h"
#include "common/pickle/plain_objects.h"

namespace cairn {
namespace {

// Module state dicts carry the versions of their modules; no other attribute of a dict may get lost.
bool IsModuleMetadata(const PickleTree& tree, PickleNodeId state) {
  const absl::Span<const PickleNodeId> items = tree.items(state);
  return tree.kind(state) == PickleKind::kDict &&
         (items.empty() || (items.size() == 2 && tree.IsStr(items[0], "_metadata")));
}

}  // namespace

bool PickleValues::Charge(uint64_t values, uint64_t bytes) {
  values_ += values;
  bytes_ += bytes;
  total_ += values + bytes;
  if (values_ > options_.max_values || bytes_ > options_.max_value_bytes) too_big_ = true;
  return !too_big_ && total_ <= options_.max_total_bytes;
}

absl::StatusOr<Value> PickleValues::ToValue(PickleNodeId node) {
  values_ = bytes_ = 0;
  too_big_ = false;
  absl::StatusOr<Value> value = Convert(node, 0);
  if (too_big_) {
    bytes_ = 0;
    value = Opaque(node);
  }
  if (total_ > options_.max_total_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(tree_.source_name(), ": the values of one pickle take more than ",
                                                     options_.max_total_bytes, " bytes, the one at offset ",
                                                     tree_.offset(node), " included"));
  }
  return value;
}

absl::StatusOr<Value> PickleValues::Opaque(PickleNodeId node) {
  if (!persistent_ids_.has_value()) persistent_ids_.emplace(tree_);
  if (persistent_ids_->IsReachedFrom(node)) {
    return absl::FailedPreconditionError(absl::StrCat(
        tree_.source_name(), ": ", PickleNodeName(tree_, node), " at offset ", tree_.offset(node),
        " holds what lies outside of the pickle (a persistent id, a tensor for example), so that it cannot be "
        "carried along"));
  }
  // What is left of the budgets, so that many objects that share a big one cannot cost its size times their number.
  const uint64_t left = options_.max_total_bytes - std::min(total_, options_.max_total_bytes);
  absl::StatusOr<std::string> pickle = SubtreeAsPickle(tree_, node, std::min(left, options_.max_value_bytes));
  if (!pickle.ok()) {
    if (pickle.status().code() == absl::StatusCode::kResourceExhausted)
      total_ += std::min(left + 1, options_.max_value_bytes);
    return pickle.status();
  }
  Charge(1, pickle->size());
  return Value::Opaque(*std::move(pickle));
}

// A status that nobody sees where too_big_ is set.
absl::StatusOr<Value> PickleValues::Convert(PickleNodeId node, uint32_t depth) {
  const auto give_up = [] { return absl::ResourceExhaustedError("too big"); };
  if (!Charge(1, 0)) return give_up();
  switch (tree_.kind(node)) {
    case PickleKind::kNone:
      return Value::None();
    case PickleKind::kBool:
      return Value::Bool(tree_.boolean(node));
    case PickleKind::kInt:
      return Value::Int(tree_.integer(node));
    case PickleKind::kFloat:
      return Value::Float(tree_.number(node));
    case PickleKind::kBigInt: {
      absl::StatusOr<std::string> decimal = BigIntDecimal(tree_, node);
      if (!decimal.ok()) return Opaque(node);
      if (!Charge(0, decimal->size())) return give_up();
      Value value;
      value.kind = Value::Kind::kBigInt;
      value.text = *std::move(decimal);
      return value;
    }
    case PickleKind::kStr:
      if (tree_.has_surrogates(node)) return Opaque(node);
      if (!Charge(0, tree_.text(node).size())) return give_up();
      return Value::String(std::string(tree_.text(node)));
    case PickleKind::kBytes:
    case PickleKind::kByteArray:
      if (!Charge(0, tree_.text(node).size())) return give_up();
      return Value::Bytes(std::string(tree_.text(node)));
    default:
      break;
  }
  if (const std::optional<PickleSequence> sequence = AsSequence(tree_, node); sequence.has_value()) {
    if (depth == options_.max_depth) {
      too_big_ = true;
      return give_up();
    }
    Value value;
    value.kind = sequence->is_tuple ? Value::Kind::kTuple : Value::Kind::kList;
    for (const PickleNodeId item : sequence->items) {
      CAIRN_ASSIGN_OR_RETURN(Value converted, Convert(item, depth + 1));
      value.items.push_back(std::move(converted));
    }
    return value;
  }
  if (const std::optional<PickleMapping> mapping = AsMapping(tree_, node);
      mapping.has_value() && std::all_of(mapping->states.begin(), mapping->states.end(),
                                         [&](PickleNodeId s) { return IsModuleMetadata(tree_, s); })) {
    if (depth == options_.max_depth) too_big_ = true;
    if (!Charge(mapping->pairs.size(), 0)) return give_up();
    Value value;
    value.kind = Value::Kind::kDict;
    for (const auto& [key, item] : mapping->pairs) {
      CAIRN_ASSIGN_OR_RETURN(Value converted_key, Convert(key, depth + 1));
      CAIRN_ASSIGN_OR_RETURN(Value converted, Convert(item, depth + 1));
      value.pairs.emplace_back(std::move(converted_key), std::move(converted));
    }
    return value;
  }
  if (std::optional<std::string> bytes = AsBytes(tree_, node); bytes.has_value()) {
    if (!Charge(0, bytes->size())) return give_up();
    return Value::Bytes(*std::move(bytes));
  }
  if (std::optional<Value> number = AsComplex(tree_, node); number.has_value()) return *std::move(number);
  if (std::optional<Value> scalar = AsNumpyScalar(tree_, node); scalar.has_value()) {
    if (!Charge(0, scalar->text.size())) return give_up();
    return *std::move(scalar);
  }
  return Opaque(node);
}

absl::Status WriteValue(const Value& value, PickleWriter& writer) {
  switch (value.kind) {
    case Value::Kind::kNone:
      writer.None();
      break;
    case Value::Kind::kBool:
      writer.Bool(value.boolean);
      break;
    case Value::Kind::kInt:
      writer.Int(value.integer);
      break;
    case Value::Kind::kBigInt:
      writer.BigInt(value.text);
      break;
    case Value::Kind::kFloat:
      writer.Float(value.number.real());
      break;
    case Value::Kind::kComplex:
      writer.Complex(value.number.real(), value.number.imag());
      break;
    case Value::Kind::kString:
      writer.Str(value.text);
      break;
    case Value::Kind::kBytes:
      writer.Bytes(value.text);
      break;
    case Value::Kind::kList:
    case Value::Kind::kTuple: {
      if (value.items.empty() && value.length != 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("expected a value that is whole, found the mark of a ", ValueToString(value)));
      }
      const size_t size = value.items.size();
      value.kind == Value::Kind::kList ? writer.BeginList()
                                       : writer.BeginTuple(size <= 3 ? static_cast<int32_t>(size) : -1);
      for (const Value& item : value.items) CAIRN_RETURN_IF_ERROR(WriteValue(item, writer));
      writer.End();
      break;
    }
    case Value::Kind::kDict:
      writer.BeginDict();
      for (const auto& [key, item] : value.pairs) {
        CAIRN_RETURN_IF_ERROR(WriteValue(key, writer));
        CAIRN_RETURN_IF_ERROR(WriteValue(item, writer));
      }
      writer.End();
      break;
    case Value::Kind::kOpaque: {
      const absl::StatusOr<PickleTree> tree = ReadPickle(value.text, "opaque value");
      CAIRN_RETURN_IF_ERROR(tree.status());
      if (tree->end_offset() != value.text.size()) {
        return absl::InvalidArgumentError(absl::StrCat("opaque value: expected one pickle, found ",
                                                       value.text.size() - tree->end_offset(), " bytes after it"));
      }
      return WriteSubtree(*tree, tree->root(), writer);
    }
  }
  return writer.status();
}

}  // namespace cairn
