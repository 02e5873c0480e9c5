#include "common/format/flax_msgpack/flax_leaf.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/format/flax_msgpack/flax_codes.h"
#include "common/format/flax_msgpack/msgpack_emit.h"
#include "common/tensor/shape.h"

namespace cairn {
namespace {

constexpr uint32_t kMaxValueDepth = 64;  // What ReadLimits lets through.

// The ext header and all of its body up to the payload.
std::string ArrayHeader(Dtype dtype, absl::Span<const int64_t> shape, uint64_t payload_bytes,
                        int8_t ext_type = kFlaxArrayExt) {
  std::string body;
  MsgpackEmitter emit_body(&body);
  emit_body.ArrayHeader(3);
  emit_body.ArrayHeader(shape.size());
  for (int64_t extent : shape) emit_body.Int(extent);
  emit_body.Str(DtypeName(dtype));
  emit_body.BinHeader(payload_bytes);

  std::string header;
  MsgpackEmitter(&header).ExtHeader(ext_type, body.size() + payload_bytes);
  return header + body;
}

absl::Status CheckDtype(Dtype dtype) {
  if (IsNumpyDtype(dtype)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("dtype ", DtypeName(dtype),
                                                 ", which NumPy does not have; convert it to another one first"));
}

FlaxArrayLayout LayOutChunked(Dtype dtype, absl::Span<const int64_t> shape, uint64_t byte_size,
                              uint64_t max_chunk_bytes) {
  const uint64_t item_bytes = static_cast<uint64_t>(BitWidth(dtype)) / 8;
  const uint64_t chunk_bytes = std::max<uint64_t>(1, max_chunk_bytes / item_bytes) * item_bytes;
  const uint64_t chunks = CeilDiv(byte_size, chunk_bytes);

  std::string header;
  MsgpackEmitter emit(&header);
  emit.MapHeader(3);
  emit.Str(kFlaxChunkedMark);
  emit.Bool(true);
  emit.Str(kFlaxChunkedShape);
  emit.MapHeader(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) {
    emit.Str(absl::StrCat(i));
    emit.Int(shape[i]);
  }
  emit.Str(kFlaxChunkedChunks);
  emit.MapHeader(chunks);

  FlaxArrayLayout layout;
  for (uint64_t i = 0; i < chunks; ++i) {
    const uint64_t payload_bytes = std::min(chunk_bytes, byte_size - i * chunk_bytes);
    const auto items = static_cast<int64_t>(payload_bytes / item_bytes);
    emit.Str(absl::StrCat(i));
    layout.parts.push_back({header + ArrayHeader(dtype, {items}, payload_bytes), payload_bytes});
    header.clear();
  }
  return layout;
}

absl::Status PackBigInt(const std::string& digits, MsgpackEmitter& emit) {
  // Below int64 it would be a kInt, so only the unsigned range remains.
  uint64_t number;
  if (!absl::SimpleAtoi(digits, &number)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the integer ", digits.substr(0, 40), digits.size() > 40 ? "..." : "",
                     " has more than 64 bits, which msgpack cannot hold; store it as a str"));
  }
  emit.Uint(number);
  return absl::OkStatus();
}

absl::Status PackValue(const Value& value, uint32_t depth, MsgpackEmitter& emit);

absl::Status PackDict(const Value& dict, uint32_t depth, MsgpackEmitter& emit) {
  emit.MapHeader(dict.pairs.size());
  for (const auto& [key, item] : dict.pairs) {
    switch (key.kind) {
      case Value::Kind::kComplex:
      case Value::Kind::kList:
      case Value::Kind::kTuple:
      case Value::Kind::kDict:
      case Value::Kind::kOpaque:
        return absl::InvalidArgumentError(
            absl::StrCat("the key ", ValueToString(key), " of a dict is no plain value, as Flax wants it"));
      case Value::Kind::kString:
        if (key.text == kFlaxChunkedMark) {
          return absl::InvalidArgumentError(
              absl::StrCat("the key \"", key.text, "\" of a dict marks chunked arrays in Flax files; rename it"));
        }
        break;
      default:
        break;
    }
    CAIRN_RETURN_IF_ERROR(PackValue(key, depth + 1, emit));
    CAIRN_RETURN_IF_ERROR(PackValue(item, depth + 1, emit));
  }
  return absl::OkStatus();
}

absl::Status PackValue(const Value& value, uint32_t depth, MsgpackEmitter& emit) {
  const bool is_container = value.kind == Value::Kind::kList || value.kind == Value::Kind::kDict;
  if (is_container && depth >= kMaxValueDepth) {
    return absl::InvalidArgumentError(absl::StrCat("a value of more than ", kMaxValueDepth, " levels"));
  }
  constexpr uint64_t kMaxLength = 0xffffffff;
  if (value.text.size() > kMaxLength || value.items.size() > kMaxLength || value.pairs.size() > kMaxLength) {
    return absl::InvalidArgumentError("a value of 2^32 bytes or items, which msgpack cannot hold");
  }
  switch (value.kind) {
    case Value::Kind::kNone:
      emit.Nil();
      return absl::OkStatus();
    case Value::Kind::kBool:
      emit.Bool(value.boolean);
      return absl::OkStatus();
    case Value::Kind::kInt:
      emit.Int(value.integer);
      return absl::OkStatus();
    case Value::Kind::kBigInt:
      return PackBigInt(value.text, emit);
    case Value::Kind::kFloat:
      emit.Float(value.number.real());
      return absl::OkStatus();
    case Value::Kind::kComplex: {
      constexpr uint64_t kBodyBytes = 1 + 2 * 9;  // An array header and two floats.
      emit.ExtHeader(kFlaxComplexExt, kBodyBytes);
      emit.ArrayHeader(2);
      emit.Float(value.number.real());
      emit.Float(value.number.imag());
      return absl::OkStatus();
    }
    case Value::Kind::kString:
      if (!IsUtf8(value.text)) return absl::InvalidArgumentError("a str that is no UTF-8, which msgpack cannot hold");
      emit.Str(value.text);
      return absl::OkStatus();
    case Value::Kind::kBytes:
      emit.Bin(value.text);
      return absl::OkStatus();
    case Value::Kind::kList:
      emit.ArrayHeader(value.items.size());
      for (const Value& item : value.items) CAIRN_RETURN_IF_ERROR(PackValue(item, depth + 1, emit));
      return absl::OkStatus();
    case Value::Kind::kTuple:
      return absl::InvalidArgumentError(
          "a tuple as a value, which Flax does not pack; make its items entries of their own, or a list");
    case Value::Kind::kOpaque:
      return absl::InvalidArgumentError(
          "an object of a class of Python's, kept as a pickle, which Flax files cannot hold; leave it out, or write a "
          "format of PyTorch");
    case Value::Kind::kDict:
      return PackDict(value, depth, emit);
  }
  return absl::InvalidArgumentError(absl::StrCat("a value of unknown kind ", static_cast<int>(value.kind)));
}

}  // namespace

absl::StatusOr<FlaxArrayLayout> LayOutFlaxScalar(Dtype dtype) {
  CAIRN_RETURN_IF_ERROR(CheckDtype(dtype));
  CAIRN_ASSIGN_OR_RETURN(const uint64_t byte_size, ByteSize(dtype, {}));
  FlaxArrayLayout layout;
  layout.parts.push_back({ArrayHeader(dtype, {}, byte_size, kFlaxScalarExt), byte_size});
  layout.total_bytes = layout.parts.front().header.size() + byte_size;
  return layout;
}

absl::StatusOr<FlaxArrayLayout> LayOutFlaxArray(Dtype dtype, absl::Span<const int64_t> shape,
                                                uint64_t max_chunk_bytes) {
  CAIRN_RETURN_IF_ERROR(CheckDtype(dtype));
  CAIRN_ASSIGN_OR_RETURN(const uint64_t byte_size, ByteSize(dtype, shape));
  FlaxArrayLayout layout;
  if (byte_size > max_chunk_bytes) {
    layout = LayOutChunked(dtype, shape, byte_size, max_chunk_bytes);
  } else {
    layout.parts.push_back({ArrayHeader(dtype, shape, byte_size), byte_size});
  }
  for (const FlaxArrayLayout::Part& part : layout.parts) {
    layout.total_bytes += part.header.size() + part.payload_bytes;
  }
  return layout;
}

absl::StatusOr<std::string> EncodeFlaxValue(const Value& value) {
  std::string encoded;
  MsgpackEmitter emit(&encoded);
  CAIRN_RETURN_IF_ERROR(PackValue(value, 0, emit));
  return encoded;
}

}  // namespace cairn
