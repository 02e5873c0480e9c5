#include "common/format/easylm/flax_leaf.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/format/easylm/flax_codes.h"
#include "common/tensor/shape.h"
#include "msgpack.hpp"

namespace cairn {
namespace {

constexpr uint32_t kMaxValueDepth = 64;

// What msgpack::packer writes to.
struct StringStream {
  void write(const char* bytes, size_t size) { text.append(bytes, size); }
  std::string text;
};
using Packer = msgpack::packer<StringStream>;

void PackText(Packer& packer, absl::string_view text) {
  packer.pack_str(static_cast<uint32_t>(text.size()));
  packer.pack_str_body(text.data(), static_cast<uint32_t>(text.size()));
}

// The ext header and all of its body up to the payload. `payload_bytes` < 2^32 less the body's own headers.
std::string ArrayHeader(Dtype dtype, absl::Span<const int64_t> shape, uint64_t payload_bytes) {
  StringStream body;
  Packer packer(body);
  packer.pack_array(3);
  packer.pack_array(static_cast<uint32_t>(shape.size()));
  for (int64_t extent : shape) packer.pack_int64(extent);
  PackText(packer, DtypeName(dtype));
  packer.pack_bin(static_cast<uint32_t>(payload_bytes));

  StringStream header;
  Packer(header).pack_ext(body.text.size() + payload_bytes, kFlaxArrayExt);
  return header.text + body.text;
}

FlaxArrayLayout LayOutChunked(Dtype dtype, absl::Span<const int64_t> shape, uint64_t byte_size,
                              uint64_t max_chunk_bytes) {
  const uint64_t item_bytes = static_cast<uint64_t>(BitWidth(dtype)) / 8;
  const uint64_t chunk_bytes = std::max<uint64_t>(1, max_chunk_bytes / item_bytes) * item_bytes;
  const uint64_t chunks = CeilDiv(byte_size, chunk_bytes);

  StringStream stream;
  Packer packer(stream);
  packer.pack_map(3);
  PackText(packer, kFlaxChunkedMark);
  packer.pack_true();
  PackText(packer, kFlaxChunkedShape);
  packer.pack_map(static_cast<uint32_t>(shape.size()));
  for (size_t i = 0; i < shape.size(); ++i) {
    PackText(packer, absl::StrCat(i));
    packer.pack_int64(shape[i]);
  }
  PackText(packer, kFlaxChunkedChunks);
  packer.pack_map(static_cast<uint32_t>(chunks));

  FlaxArrayLayout layout;
  for (uint64_t i = 0; i < chunks; ++i) {
    const uint64_t payload_bytes = std::min(chunk_bytes, byte_size - i * chunk_bytes);
    const auto items = static_cast<int64_t>(payload_bytes / item_bytes);
    PackText(packer, absl::StrCat(i));
    layout.parts.push_back({std::move(stream.text) + ArrayHeader(dtype, {items}, payload_bytes), payload_bytes});
    stream.text.clear();
  }
  return layout;
}

absl::Status PackBigInt(const std::string& digits, Packer& packer) {
  // Below int64 it would be a kInt, so only the unsigned range remains.
  uint64_t number;
  if (!absl::SimpleAtoi(digits, &number)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the integer ", digits.substr(0, 40), digits.size() > 40 ? "..." : "",
                     " has more than 64 bits, which msgpack cannot hold; store it as a str"));
  }
  packer.pack_uint64(number);
  return absl::OkStatus();
}

absl::Status PackValue(const Value& value, uint32_t depth, Packer& packer);

absl::Status PackDict(const Value& dict, uint32_t depth, Packer& packer) {
  packer.pack_map(static_cast<uint32_t>(dict.pairs.size()));
  for (const auto& [key, item] : dict.pairs) {
    switch (key.kind) {
      case Value::Kind::kComplex:
      case Value::Kind::kList:
      case Value::Kind::kTuple:
      case Value::Kind::kDict:
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
    CAIRN_RETURN_IF_ERROR(PackValue(key, depth + 1, packer));
    CAIRN_RETURN_IF_ERROR(PackValue(item, depth + 1, packer));
  }
  return absl::OkStatus();
}

absl::Status PackValue(const Value& value, uint32_t depth, Packer& packer) {
  if (depth > kMaxValueDepth) {
    return absl::InvalidArgumentError(absl::StrCat("a value of more than ", kMaxValueDepth, " levels"));
  }
  constexpr uint64_t kMaxLength = 0xffffffff;
  if (value.text.size() > kMaxLength || value.items.size() > kMaxLength || value.pairs.size() > kMaxLength) {
    return absl::InvalidArgumentError("a value of 2^32 bytes or items, which msgpack cannot hold");
  }
  switch (value.kind) {
    case Value::Kind::kNone:
      packer.pack_nil();
      return absl::OkStatus();
    case Value::Kind::kBool:
      value.boolean ? packer.pack_true() : packer.pack_false();
      return absl::OkStatus();
    case Value::Kind::kInt:
      packer.pack_int64(value.integer);
      return absl::OkStatus();
    case Value::Kind::kBigInt:
      return PackBigInt(value.text, packer);
    case Value::Kind::kFloat:
      packer.pack_double(value.number.real());
      return absl::OkStatus();
    case Value::Kind::kComplex: {
      StringStream body;
      Packer(body).pack_array(2).pack_double(value.number.real()).pack_double(value.number.imag());
      packer.pack_ext(body.text.size(), kFlaxComplexExt);
      packer.pack_ext_body(body.text.data(), static_cast<uint32_t>(body.text.size()));
      return absl::OkStatus();
    }
    case Value::Kind::kString:
      if (!IsUtf8(value.text)) return absl::InvalidArgumentError("a str that is no UTF-8, which msgpack cannot hold");
      PackText(packer, value.text);
      return absl::OkStatus();
    case Value::Kind::kBytes:
      packer.pack_bin(static_cast<uint32_t>(value.text.size()));
      packer.pack_bin_body(value.text.data(), static_cast<uint32_t>(value.text.size()));
      return absl::OkStatus();
    case Value::Kind::kList:
      packer.pack_array(static_cast<uint32_t>(value.items.size()));
      for (const Value& item : value.items) CAIRN_RETURN_IF_ERROR(PackValue(item, depth + 1, packer));
      return absl::OkStatus();
    case Value::Kind::kTuple:
      return absl::InvalidArgumentError(
          "a tuple as a value, which Flax does not pack; make its items entries of their own, or a list");
    case Value::Kind::kDict:
      return PackDict(value, depth, packer);
  }
  return absl::InvalidArgumentError(absl::StrCat("a value of unknown kind ", static_cast<int>(value.kind)));
}

}  // namespace

absl::StatusOr<FlaxArrayLayout> LayOutFlaxArray(Dtype dtype, absl::Span<const int64_t> shape,
                                                uint64_t max_chunk_bytes) {
  if (!IsNumpyDtype(dtype)) {
    return absl::InvalidArgumentError(absl::StrCat("dtype ", DtypeName(dtype),
                                                   ", which NumPy does not have; convert it to another one first"));
  }
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
  StringStream stream;
  Packer packer(stream);
  CAIRN_RETURN_IF_ERROR(PackValue(value, 0, packer));
  return std::move(stream.text);
}

}  // namespace cairn
