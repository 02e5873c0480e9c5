#include "common/diff/arithmetic.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr uint64_t kWindowElements = 256u << 10;
constexpr size_t kShown = 3;

uint64_t BytesOf(Dtype dtype) { return static_cast<uint64_t>(BitWidth(dtype)) / 8; }

bool IsCastFloat(Dtype dtype) {
  return dtype == Dtype::kFloat16 || dtype == Dtype::kBfloat16 || dtype == Dtype::kFloat32 || dtype == Dtype::kFloat64;
}

std::string Shown(const Entry& entry) { return absl::StrCat("\"", entry.path.ToString(), "\""); }

// Numbers of Python; nothing for what has no difference.
std::optional<Value> Operate(ArithmeticOperation operation, const Value& first, const Value& second) {
  const bool difference = operation == ArithmeticOperation::kDifference;
  const auto integer = [](const Value& value) -> std::optional<int64_t> {
    if (value.kind == Value::Kind::kInt) return value.integer;
    if (value.kind == Value::Kind::kBool) return value.boolean;
    return std::nullopt;
  };
  const std::optional<int64_t> a = integer(first), b = integer(second);
  if (a && b) {
    int64_t result;
    if (difference ? __builtin_sub_overflow(*b, *a, &result) : __builtin_add_overflow(*a, *b, &result)) return std::nullopt;
    return Value::Int(result);
  }
  const auto number = [&](const Value& value, const std::optional<int64_t>& whole) -> std::optional<std::complex<double>> {
    if (whole) return static_cast<double>(*whole);
    if (value.kind == Value::Kind::kFloat) return value.number.real();
    if (value.kind == Value::Kind::kComplex) return value.number;
    return std::nullopt;
  };
  const auto x = number(first, a), y = number(second, b);
  if (!x || !y) return std::nullopt;
  const std::complex<double> result = difference ? *y - *x : *x + *y;
  const bool is_complex = first.kind == Value::Kind::kComplex || second.kind == Value::Kind::kComplex;
  return is_complex ? Value::Complex(result) : Value::Float(result.real());
}

// What must be the same on both sides: nothing, and the marks of containers.
bool IsStructure(const Value& value) {
  return value.kind == Value::Kind::kNone || value.kind == Value::Kind::kList || value.kind == Value::Kind::kTuple ||
         value.kind == Value::Kind::kDict;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ArithmeticReader>> ArithmeticReader::Open(CheckpointReader& first,
                                                                         CheckpointReader& second,
                                                                         const ArithmeticOptions& options) {
  auto reader = std::unique_ptr<ArithmeticReader>(new ArithmeticReader(first, second, options));
  CAIRN_RETURN_IF_ERROR(reader->MatchTrees());
  return reader;
}

absl::Status ArithmeticReader::MatchTrees() {
  const std::vector<Entry>& firsts = first_.index().entries;
  const std::vector<Entry>& seconds = second_.index().entries;
  absl::flat_hash_map<KeyPath, size_t> by_path;
  for (size_t i = 0; i < firsts.size(); ++i) {
    if (firsts[i].kind != EntryKind::kAsset) by_path.emplace(firsts[i].path, i);
  }
  std::vector<bool> matched(firsts.size());
  std::string missing;
  size_t problems = 0;
  const auto note = [&](absl::string_view what) {
    if (++problems <= kShown) absl::StrAppend(&missing, missing.empty() ? "" : "; ", what);
  };
  index_.metadata = second_.index().metadata;
  for (size_t i = 0; i < seconds.size(); ++i) {
    Operands operands;
    operands.second = i;
    if (seconds[i].kind == EntryKind::kAsset) {
      index_.entries.push_back(seconds[i]);
      operands_.push_back(operands);
      continue;
    }
    const auto found = by_path.find(seconds[i].path);
    if (found == by_path.end()) {
      note(absl::StrCat(Shown(seconds[i]), " is in the second alone"));
      continue;
    }
    matched[found->second] = true;
    const Entry& first = firsts[found->second];
    if (first.kind != seconds[i].kind) {
      note(absl::StrCat(Shown(first), " is of another kind"));
      continue;
    }
    if (first.kind == EntryKind::kTensor && first.shape != seconds[i].shape) {
      note(absl::StrCat(Shown(first), " has shape ", ShapeToString(first.shape), " and ", ShapeToString(seconds[i].shape)));
      continue;
    }
    operands.first = found->second;
    CAIRN_ASSIGN_OR_RETURN(Entry result, ResultOf(first, seconds[i], &operands));
    index_.entries.push_back(std::move(result));
    operands_.push_back(operands);
  }
  for (size_t i = 0; i < firsts.size(); ++i) {
    if (!matched[i] && firsts[i].kind != EntryKind::kAsset) note(absl::StrCat(Shown(firsts[i]), " is in the first alone"));
  }
  if (problems == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("arithmetic needs two trees of the same tensors: ", missing,
                                                    problems > kShown ? absl::StrCat("; and ", problems - kShown, " more") : "",
                                                    ". An exact diff takes any two trees"));
}

absl::StatusOr<Entry> ArithmeticReader::ResultOf(const Entry& first, const Entry& second, Operands* operands) const {
  Entry result = second;
  switch (second.kind) {
    case EntryKind::kTensor: {
      const std::optional<Dtype> computed = ArithmeticDtype(first.dtype, second.dtype);
      if (!computed.has_value()) {
        return absl::InvalidArgumentError(absl::StrCat(Shown(second), ": no arithmetic between ", DtypeName(first.dtype),
                                                       " and ", DtypeName(second.dtype),
                                                       "; leave it out, or make an exact diff"));
      }
      operands->computed = *computed;
      result.dtype = options_.float_dtype && IsCastFloat(*computed) ? *options_.float_dtype : *computed;
      CAIRN_ASSIGN_OR_RETURN(result.byte_size, ByteSize(result.dtype, result.shape));
      return result;
    }
    case EntryKind::kValue: {
      if (IsStructure(first.value) && first.value == second.value) return result;
      std::optional<Value> value = Operate(options_.operation, first.value, second.value);
      if (!value.has_value()) {
        return absl::InvalidArgumentError(absl::StrCat(Shown(second), ": no arithmetic between ",
                                                       ValueToString(first.value), " and ", ValueToString(second.value),
                                                       "; leave it out, or make an exact diff"));
      }
      result.value = *std::move(value);
      return result;
    }
    case EntryKind::kAlias:
      if (first.target == second.target) return result;
      return absl::FailedPreconditionError(absl::StrCat(Shown(second), ": is another name of \"", first.target.ToString(),
                                                        "\" in the first and of \"", second.target.ToString(),
                                                        "\" in the second"));
    case EntryKind::kAsset:
      break;
  }
  return result;
}

absl::Status ArithmeticReader::ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) {
  const Entry& result = index_.entries[entry];
  if (offset > result.byte_size || dst.size() > result.byte_size - offset) {
    return absl::OutOfRangeError(absl::StrCat("entry ", Shown(result), ": bytes [", offset, ", ", offset, "+", dst.size(),
                                              ") of ", result.byte_size));
  }
  Operands& operands = operands_[entry];
  if (!operands.first.has_value()) return second_.ReadAt(operands.second, offset, dst);
  const uint64_t size = BytesOf(result.dtype);
  while (!dst.empty()) {
    const uint64_t element = offset / size, skip = offset % size;
    const bool cut = skip != 0 || dst.size() < size;
    const uint64_t count = cut ? 1 : std::min<uint64_t>(dst.size() / size, kWindowElements);
    piece_.resize(cut ? size : 0);
    const absl::Span<char> to = cut ? absl::MakeSpan(piece_) : dst.subspan(0, count * size);
    CAIRN_RETURN_IF_ERROR(Compute(operands, result, element, count, to));
    const uint64_t done = cut ? std::min<uint64_t>(size - skip, dst.size()) : to.size();
    if (cut) std::memcpy(dst.data(), piece_.data() + skip, done);
    dst.remove_prefix(done);
    offset += done;
  }
  return absl::OkStatus();
}

absl::Status ArithmeticReader::Compute(Operands& operands, const Entry& result, uint64_t element, uint64_t count,
                                       absl::Span<char> dst) {
  const Dtype first = first_.index().entries[*operands.first].dtype;
  const Dtype second = second_.index().entries[operands.second].dtype;
  from_first_.resize(count * BytesOf(first));
  from_second_.resize(count * BytesOf(second));
  CAIRN_RETURN_IF_ERROR(first_.ReadAt(*operands.first, element * BytesOf(first), absl::MakeSpan(from_first_)));
  CAIRN_RETURN_IF_ERROR(second_.ReadAt(operands.second, element * BytesOf(second), absl::MakeSpan(from_second_)));
  CAIRN_RETURN_IF_ERROR(diff_internal::ComputeElements(options_.operation, first, from_first_, second, from_second_,
                                                       result.dtype, dst));
  if (options_.operation != ArithmeticOperation::kDifference || element + count <= operands.counted) {
    return absl::OkStatus();
  }
  // What the inverse gives, in the second's dtype.
  const uint64_t skip = operands.counted > element ? operands.counted - element : 0;
  const uint64_t size = BytesOf(second);
  back_.resize(count * size);
  CAIRN_RETURN_IF_ERROR(diff_internal::ComputeElements(ArithmeticOperation::kSum, first, from_first_, result.dtype, dst,
                                                       second, absl::MakeSpan(back_)));
  for (uint64_t i = skip; i < count; ++i) {
    inexact_ += std::memcmp(back_.data() + i * size, from_second_.data() + i * size, size) != 0;
  }
  elements_ += count - skip;
  operands.counted = element + count;
  return absl::OkStatus();
}

absl::Status ArithmeticReader::WillRead(absl::Span<const EntryRange> ranges) {
  std::vector<EntryRange> of_first, of_second;
  for (const EntryRange& range : ranges) {
    const Operands& operands = operands_[range.entry];
    const Entry& second = second_.index().entries[operands.second];
    of_second.push_back({operands.second, 0, second.byte_size});
    if (operands.first) of_first.push_back({*operands.first, 0, first_.index().entries[*operands.first].byte_size});
  }
  CAIRN_RETURN_IF_ERROR(first_.WillRead(of_first));
  return second_.WillRead(of_second);
}

}  // namespace cairn
