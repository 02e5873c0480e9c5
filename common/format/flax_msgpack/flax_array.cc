#include "common/format/flax_msgpack/flax_array.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/flax_msgpack/flax_codes.h"
#include "common/format/flax_msgpack/scan_errors.h"

namespace cairn {
namespace {

using Type = MsgpackToken::Type;

constexpr uint64_t kMaxDtypeNameBytes = 64;
constexpr uint64_t kMaxPositionBytes = 20;  // Digits of a uint64.

absl::StatusOr<int64_t> ScanExtent(MsgpackScanner& scanner) {
  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken token, scanner.Next());
  if (token.type != Type::kUint) return UnexpectedToken(token, "an extent, an integer from 0 on");
  if (token.number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return MalformedAt(token.offset, absl::StrCat("extent ", token.number, " is beyond a signed 64-bit integer"));
  }
  return static_cast<int64_t>(token.number);
}

absl::Status CheckRank(const MsgpackToken& token) {
  if (token.length <= kMaxRank) return absl::OkStatus();
  return MalformedAt(token.offset, absl::StrCat("rank ", token.length, ", expected at most ", kMaxRank));
}

absl::StatusOr<Dtype> ScanDtype(MsgpackScanner& scanner) {
  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken token, scanner.Next());
  if (!token.IsText()) return UnexpectedToken(token, "a dtype name (str)");
  std::string name;
  CAIRN_RETURN_IF_ERROR(scanner.Read(std::min(token.length, kMaxDtypeNameBytes + 1), &name));
  // Only NumPy's own spelling: a file with another one did not come from NumPy.
  const std::optional<Dtype> dtype = name.size() > kMaxDtypeNameBytes ? std::nullopt : ParseDtype(name);
  if (!dtype.has_value() || DtypeName(*dtype) != name || !IsNumpyDtype(*dtype)) {
    return MalformedAt(token.offset, absl::StrCat("unknown dtype ", QuotedForMessage(name)));
  }
  return *dtype;
}

absl::Status CheckBodyEnd(const MsgpackScanner& scanner, const MsgpackToken& ext) {
  if (scanner.AtEnd()) return absl::OkStatus();
  return MalformedAt(scanner.offset(), absl::StrCat(scanner.end() - scanner.offset(),
                                                    " bytes too many in the ext at offset ", ext.offset));
}

// The key "0", "1", ... of a list or tuple in its state dict, below `positions`.
absl::StatusOr<uint64_t> ScanPosition(MsgpackScanner& scanner, uint64_t positions) {
  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken token, scanner.Next());
  if (token.type != Type::kStr) return UnexpectedToken(token, "a position (str)");
  std::string text;
  CAIRN_RETURN_IF_ERROR(scanner.Read(std::min(token.length, kMaxPositionBytes + 1), &text));
  uint64_t position;
  if (!absl::SimpleAtoi(text, &position) || absl::StrCat(position) != text || position >= positions) {
    return MalformedAt(token.offset, absl::StrCat("expected a position below ", positions, ", found ",
                                                  QuotedForMessage(text)));
  }
  return position;
}

absl::StatusOr<Shape> ScanChunkedShape(MsgpackScanner& scanner) {
  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken map, scanner.Next());
  if (map.type != Type::kMap) return UnexpectedToken(map, "the shape of a chunked array (map)");
  CAIRN_RETURN_IF_ERROR(CheckRank(map));
  Shape shape(static_cast<size_t>(map.length), -1);
  for (uint64_t i = 0; i < map.length; ++i) {
    CAIRN_ASSIGN_OR_RETURN(const uint64_t position, ScanPosition(scanner, map.length));
    if (shape[position] != -1) return MalformedAt(scanner.offset(), absl::StrCat("extent ", position, " stands twice"));
    CAIRN_ASSIGN_OR_RETURN(shape[position], ScanExtent(scanner));
  }
  return shape;
}

// Fills dtype and pieces of `array`.
absl::Status ScanChunks(MsgpackScanner& scanner, uint64_t* pieces_left, FlaxArray& array) {
  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken map, scanner.Next());
  if (map.type != Type::kMap) return UnexpectedToken(map, "the chunks of a chunked array (map)");
  if (map.length == 0) return MalformedAt(map.offset, "a chunked array without chunks");
  if (map.length > *pieces_left) {
    return MalformedAt(map.offset, absl::StrCat(map.length, " chunks, more than the limit on them leaves (",
                                                *pieces_left, ")"));
  }
  *pieces_left -= map.length;
  array.pieces.resize(static_cast<size_t>(map.length));
  for (uint64_t i = 0; i < map.length; ++i) {
    CAIRN_ASSIGN_OR_RETURN(const uint64_t position, ScanPosition(scanner, map.length));
    FlaxPiece& piece = array.pieces[position];
    // No piece begins at 0: a header is before it.
    if (piece.offset != 0) return MalformedAt(scanner.offset(), absl::StrCat("chunk ", position, " stands twice"));
    CAIRN_ASSIGN_OR_RETURN(const MsgpackToken ext, scanner.Next());
    if (ext.type != Type::kExt || ext.ext_type != kFlaxArrayExt) {
      return UnexpectedToken(ext, "a chunk (ext of type 1)");
    }
    CAIRN_ASSIGN_OR_RETURN(const FlaxArray chunk, ScanFlaxArray(scanner, ext));
    if (chunk.shape.size() != 1) {
      return MalformedAt(ext.offset, absl::StrCat("a chunk of shape ", ShapeToString(chunk.shape),
                                                  ", expected one dimension"));
    }
    if (i > 0 && chunk.dtype != array.dtype) {
      return MalformedAt(ext.offset, absl::StrCat("a chunk of ", DtypeName(chunk.dtype), " in an array of ",
                                                  DtypeName(array.dtype)));
    }
    array.dtype = chunk.dtype;
    piece = chunk.pieces.front();
  }
  return absl::OkStatus();
}

}  // namespace

// [shape, dtype name, payload]; the last two as str or bin, since old msgpack wrote both as raw strings.
absl::StatusOr<FlaxArray> ScanFlaxArray(MsgpackScanner& scanner, const MsgpackToken& ext) {
  const uint64_t outer_end = scanner.SetEnd(scanner.offset() + ext.length);
  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken body, scanner.Next());
  if (body.type != Type::kArray || body.length != 3) {
    return UnexpectedToken(body, "an array of the 3 items shape, dtype name, payload");
  }
  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken extents, scanner.Next());
  if (extents.type != Type::kArray) return UnexpectedToken(extents, "a shape (array)");
  CAIRN_RETURN_IF_ERROR(CheckRank(extents));
  FlaxArray array;
  for (uint64_t i = 0; i < extents.length; ++i) {
    CAIRN_ASSIGN_OR_RETURN(const int64_t extent, ScanExtent(scanner));
    array.shape.push_back(extent);
  }
  if (ext.ext_type == kFlaxScalarExt && !array.shape.empty()) {
    return MalformedAt(ext.offset, absl::StrCat("a numpy scalar of shape ", ShapeToString(array.shape)));
  }
  CAIRN_ASSIGN_OR_RETURN(array.dtype, ScanDtype(scanner));
  const absl::StatusOr<uint64_t> byte_size = ByteSize(array.dtype, array.shape);
  if (!byte_size.ok()) return MalformedAt(extents.offset, byte_size.status().message());
  array.byte_size = *byte_size;

  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken payload, scanner.Next());
  if (!payload.IsText()) return UnexpectedToken(payload, "a payload (bin)");
  if (payload.length != array.byte_size) {
    return MalformedAt(payload.offset, absl::StrCat("payload of ", payload.length, " bytes, but ",
                                                    DtypeName(array.dtype), ShapeToString(array.shape), " has ",
                                                    array.byte_size));
  }
  array.pieces = {{scanner.offset(), payload.length}};
  CAIRN_RETURN_IF_ERROR(scanner.Skip(payload.length));
  CAIRN_RETURN_IF_ERROR(CheckBodyEnd(scanner, ext));
  scanner.SetEnd(outer_end);
  return array;
}

absl::StatusOr<std::complex<double>> ScanFlaxComplex(MsgpackScanner& scanner, const MsgpackToken& ext) {
  const uint64_t outer_end = scanner.SetEnd(scanner.offset() + ext.length);
  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken body, scanner.Next());
  if (body.type != Type::kArray || body.length != 2) {
    return UnexpectedToken(body, "an array of the 2 floats of a complex number");
  }
  double parts[2];
  for (double& part : parts) {
    CAIRN_ASSIGN_OR_RETURN(const MsgpackToken token, scanner.Next());
    if (token.type != Type::kFloat) return UnexpectedToken(token, "a float of a complex number");
    part = token.real;
  }
  CAIRN_RETURN_IF_ERROR(CheckBodyEnd(scanner, ext));
  scanner.SetEnd(outer_end);
  return std::complex<double>(parts[0], parts[1]);
}

absl::StatusOr<bool> IsFlaxChunkedArray(MsgpackScanner& scanner, const MsgpackToken& map, uint32_t max_depth) {
  if (map.length != 3) return false;
  const uint64_t begin = scanner.offset();
  bool found = false;
  for (uint64_t i = 0; i < map.length && !found; ++i) {
    CAIRN_ASSIGN_OR_RETURN(const MsgpackToken key, scanner.Next());
    std::string name;
    if (key.type == Type::kStr && key.length == kFlaxChunkedMark.size()) {
      CAIRN_RETURN_IF_ERROR(scanner.Read(key.length, &name));
    } else {
      scanner.Seek(key.offset);
      CAIRN_RETURN_IF_ERROR(scanner.SkipValue(max_depth));
    }
    found = name == kFlaxChunkedMark;
    if (!found) CAIRN_RETURN_IF_ERROR(scanner.SkipValue(max_depth));
  }
  scanner.Seek(begin);
  return found;
}

absl::StatusOr<FlaxArray> ScanFlaxChunkedArray(MsgpackScanner& scanner, const MsgpackToken& map,
                                               uint64_t* pieces_left) {
  FlaxArray array;
  bool has_mark = false, has_shape = false, has_chunks = false;
  for (uint64_t i = 0; i < map.length; ++i) {
    CAIRN_ASSIGN_OR_RETURN(const MsgpackToken key, scanner.Next());
    if (key.type != Type::kStr) return UnexpectedToken(key, "a key of a chunked array (str)");
    std::string name;
    CAIRN_RETURN_IF_ERROR(scanner.Read(std::min<uint64_t>(key.length, 81), &name));
    if (name == kFlaxChunkedMark && !std::exchange(has_mark, true)) {
      CAIRN_ASSIGN_OR_RETURN(const MsgpackToken mark, scanner.Next());
      if (mark.type != Type::kBool || !mark.boolean) return UnexpectedToken(mark, "true, the mark of a chunked array");
    } else if (name == kFlaxChunkedShape && !std::exchange(has_shape, true)) {
      CAIRN_ASSIGN_OR_RETURN(array.shape, ScanChunkedShape(scanner));
    } else if (name == kFlaxChunkedChunks && !std::exchange(has_chunks, true)) {
      CAIRN_RETURN_IF_ERROR(ScanChunks(scanner, pieces_left, array));
    } else {
      return MalformedAt(key.offset, absl::StrCat("a chunked array with the key ", QuotedForMessage(name),
                                                  "; expected its mark, shape and chunks, once each"));
    }
  }
  // Three different keys of three: all of them are there.
  const absl::StatusOr<uint64_t> byte_size = ByteSize(array.dtype, array.shape);
  if (!byte_size.ok()) return MalformedAt(map.offset, byte_size.status().message());
  array.byte_size = *byte_size;
  uint64_t chunk_bytes = 0;  // Cannot overflow: the pieces lie side by side in the file.
  for (const FlaxPiece& piece : array.pieces) chunk_bytes += piece.length;
  if (chunk_bytes != array.byte_size) {
    return MalformedAt(map.offset, absl::StrCat("chunks of ", chunk_bytes, " bytes together, but ",
                                                DtypeName(array.dtype), ShapeToString(array.shape), " has ",
                                                array.byte_size));
  }
  return array;
}

}  // namespace cairn
