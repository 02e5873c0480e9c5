#include "tests/attacks/flax_leaf_attacks.h"

#include "absl/strings/str_cat.h"

namespace cairn::testing {
namespace {

using std::string_literals::operator""s;

std::string BigEndian32(uint64_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(value >> shift & 0xff));
  return bytes;
}

std::string Repeated(absl::string_view bytes, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) absl::StrAppend(&all, bytes);
  return all;
}

// The body of an array, in an ext of its own length.
std::string ArrayOf(absl::string_view shape, absl::string_view dtype, absl::string_view payload) {
  return PackedExt(1, absl::StrCat("\x93", shape, PackedStr(dtype), payload));
}

const std::string& Mark() {
  static const auto& mark = *new std::string("\xb9__msgpack_chunked_array__");
  return mark;
}

std::string Chunk(absl::string_view position, absl::string_view array) { return absl::StrCat(PackedStr(position), array); }

void AddArrayAttacks(std::vector<FlaxLeafAttack>& attacks) {
  attacks.push_back({"bytes_after_body", PackedExt(1, absl::StrCat("\x93\x90", PackedStr("uint8"), PackedBin("a"), "xy")),
                     "2 bytes too many in the ext"});
  attacks.push_back({"ext_leaves_bin", PackedArray("uint8", {4}, "abcd").substr(0, 20), "ext of "});
  attacks.push_back({"ext_claims_4g", "\xc9\xff\xff\xff\xff\x01\x93", "ext of 4294967295 bytes"});
  attacks.push_back({"ext_unknown", PackedExt(4, "\x93"), "unknown ext type 4"});
  attacks.push_back({"ext_timestamp", PackedExt(-1, "\x01\x02\x03\x04"), "unknown ext type -1"});
  attacks.push_back({"array_of_two", PackedExt(1, "\x92\x90\xa1x"), "3 items shape, dtype name, payload"});
  attacks.push_back({"array_is_map", PackedExt(1, "\x80"), "3 items shape, dtype name, payload"});
  attacks.push_back({"shape_is_int", ArrayOf("\x01", "uint8", PackedBin("a")), "expected a shape"});
  attacks.push_back({"extent_is_negative", ArrayOf("\x91\xff", "uint8", PackedBin("a")), "found int -1"});
  attacks.push_back({"extent_is_float", ArrayOf("\x91\xca\0\0\0\0"s, "uint8", PackedBin("")), "found float"});
  attacks.push_back({"extent_above_int64", ArrayOf("\x91\xcf\x80\0\0\0\0\0\0\0"s, "uint8", PackedBin("a")),
                     "extent 9223372036854775808"});
  attacks.push_back({"shape_overflows", ArrayOf("\x92\xce\x80\0\0\0\xcf\0\0\0\x02\0\0\0\0"s, "uint8", PackedBin("")),
                     "elements"});
  attacks.push_back({"bytes_overflow", ArrayOf("\x91\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", "float64", PackedBin("")),
                     "bytes"});
  attacks.push_back({"rank_33", ArrayOf(absl::StrCat("\xdc\0\x21"s, Repeated("\x01", 33)), "uint8", PackedBin("a")),
                     "rank 33"});
  attacks.push_back({"payload_short", PackedArray("float32", {2}, "abcdefg"), "payload of 7 bytes"});
  attacks.push_back({"payload_long", PackedArray("float32", {2}, "abcdefghi"), "payload of 9 bytes"});
  attacks.push_back({"payload_claims_4g", ArrayOf("\x90", "uint8", "\xc6\xff\xff\xff\xff"), "bin of 4294967295 bytes"});
  attacks.push_back({"payload_is_array", ArrayOf("\x91\x01", "uint8", "\x91\x01"), "expected a payload (bin)"});
  attacks.push_back({"dtype_unknown", PackedArray("float31", {1}, "abcd"), "unknown dtype \"float31\""});
  attacks.push_back({"dtype_of_safetensors", PackedArray("BF16", {1}, "ab"), "unknown dtype \"BF16\""});
  attacks.push_back({"dtype_object", PackedArray("object", {1}, "abcdefgh"), "unknown dtype"});
  attacks.push_back({"dtype_text", PackedArray("str96", {1}, "abcdefghabcd"), "unknown dtype"});
  attacks.push_back({"dtype_empty", PackedArray("", {1}, "a"), "unknown dtype"});
  attacks.push_back({"dtype_is_int", PackedExt(1, "\x93\x90\x05\xc4\x00"s), "expected a dtype name"});
  attacks.push_back({"scalar_with_shape", PackedExt(3, absl::StrCat("\x93\x91\x01", PackedStr("uint8"), PackedBin("a"))),
                     "a numpy scalar of shape [1]"});
  attacks.push_back({"complex_of_three", PackedExt(2, "\x93\x01\x02\x03"), "2 floats of a complex number"});
  attacks.push_back({"complex_of_text", PackedExt(2, "\x92\xa1x\xa1y"), "expected a float"});
}

void AddChunkAttacks(std::vector<FlaxLeafAttack>& attacks) {
  const std::string shape = absl::StrCat("\x81", PackedStr("0"), "\x04");
  const std::string half = PackedArray("uint8", {2}, "ab");
  attacks.push_back({"chunks_missing", absl::StrCat("\x83", Mark(), "\xc3", PackedStr("shape"), shape, PackedStr("shape"), shape),
                     "once each"});
  attacks.push_back({"chunks_none", PackedChunkedArray(shape, "\x80"), "without chunks"});
  attacks.push_back({"chunks_list", PackedChunkedArray(shape, "\x90"), "chunks of a chunked array (map)"});
  attacks.push_back({"chunk_twice", PackedChunkedArray(shape, absl::StrCat("\x82", Chunk("0", half), Chunk("0", half))),
                     "chunk 0 stands twice"});
  attacks.push_back({"chunk_beyond", PackedChunkedArray(shape, absl::StrCat("\x82", Chunk("0", half), Chunk("2", half))),
                     "expected a position below 2"});
  attacks.push_back({"chunk_01", PackedChunkedArray(shape, absl::StrCat("\x82", Chunk("0", half), Chunk("01", half))),
                     "found \"01\""});
  attacks.push_back({"chunk_of_other_dtype", PackedChunkedArray(shape, absl::StrCat("\x82", Chunk("0", half), Chunk("1", PackedArray("int8", {2}, "ab")))),
                     "a chunk of int8 in an array of uint8"});
  attacks.push_back({"chunk_of_rank_2", PackedChunkedArray(shape, absl::StrCat("\x81", Chunk("0", PackedArray("uint8", {2, 2}, "abcd")))),
                     "expected one dimension"});
  attacks.push_back({"chunk_is_int", PackedChunkedArray(shape, absl::StrCat("\x81", PackedStr("0"), "\x05")), "expected a chunk"});
  attacks.push_back({"chunks_too_few", PackedChunkedArray(shape, absl::StrCat("\x81", Chunk("0", half))), "chunks of 2 bytes together"});
  attacks.push_back({"chunks_claim_4g", PackedChunkedArray(shape, "\xdf\x7f\xff\xff\xff"), "map of 2147483647 pairs"});
  attacks.push_back({"chunked_shape_array", PackedChunkedArray("\x91\x04", absl::StrCat("\x81", Chunk("0", half))), "(map), found array"});
  attacks.push_back({"chunked_extent_twice", PackedChunkedArray(absl::StrCat("\x82", PackedStr("0"), "\x04", PackedStr("0"), "\x01"), "\x80"),
                     "extent 0 stands twice"});
  attacks.push_back({"chunked_rank_40", PackedChunkedArray(absl::StrCat("\xde\0\x28"s, Repeated("\xa1x\x01", 40)), "\x80"), "rank 40"});
  attacks.push_back({"chunked_not_marked", absl::StrCat("\x83", Mark(), "\xc2", PackedStr("shape"), shape, PackedStr("chunks"), "\x80"),
                     "the mark of a chunked array"});
  attacks.push_back({"chunked_with_more_keys", absl::StrCat("\x84", Mark(), "\xc3", PackedStr("shape"), shape, PackedStr("chunks"), "\x80",
                                                                      PackedStr("x"), "\x01"),
                     "a chunked array with other keys"});
}

void AddValueAttacks(std::vector<FlaxLeafAttack>& attacks) {
  attacks.push_back({"deep_lists", absl::StrCat(Repeated("\x91", 100), "\x01"), "more than 64 levels"});
  attacks.push_back({"deep_lists_in_three_keys",
                     absl::StrCat("\x83", PackedStr("a"), Repeated("\x91", 100), "\x01", "\xa1x\x01\xa1y\x01"),
                     "levels deep"});
  attacks.push_back({"list_claims_4g", "\xdd\xff\xff\xff\xff\x01", "array of 4294967295 items"});
  attacks.push_back({"map_claims_4g", "\xdf\xff\xff\xff\xff\x01\x01", "map of 4294967295 pairs"});
  attacks.push_back({"str_claims_4g", "\xdb\xff\xff\xff\xffx", "str of 4294967295 bytes"});
  attacks.push_back({"dict_key_is_list", "\x81\x91\x01\x02", "a plain key of a dict"});
  attacks.push_back({"dict_key_twice", "\x82\xa1x\x01\xa1x\x02", "stands twice in one dict"});
  attacks.push_back({"str_no_utf8", "\xa1\xff", "a str that is no UTF-8"});
  attacks.push_back({"int_is_cut", "\xcf\x01\x02", "the bytes end"});
}

}  // namespace

std::string PackedStr(absl::string_view text) { return absl::StrCat(std::string(1, static_cast<char>(0xa0 | text.size())), text); }

std::string PackedKey(const std::vector<std::string>& segments) {
  std::string key(1, static_cast<char>(0x90 | segments.size()));
  for (const std::string& segment : segments) absl::StrAppend(&key, PackedStr(segment));
  return key;
}

std::string PackedBin(absl::string_view bytes) { return absl::StrCat("\xc6", BigEndian32(bytes.size()), bytes); }

std::string PackedExt(int8_t type, absl::string_view body) {
  return absl::StrCat("\xc9", BigEndian32(body.size()), std::string(1, static_cast<char>(type)), body);
}

std::string PackedArray(absl::string_view dtype, const std::vector<uint8_t>& shape, absl::string_view payload) {
  std::string extents(1, static_cast<char>(0x90 | shape.size()));
  for (uint8_t extent : shape) extents.push_back(static_cast<char>(extent));
  return ArrayOf(extents, dtype, PackedBin(payload));
}

std::string PackedChunkedArray(absl::string_view shape, absl::string_view chunks) {
  return absl::StrCat("\x83", Mark(), "\xc3", PackedStr("shape"), shape, PackedStr("chunks"), chunks);
}

std::vector<FlaxLeafAttack> FlaxLeafAttacks() {
  std::vector<FlaxLeafAttack> attacks;
  AddArrayAttacks(attacks);
  AddChunkAttacks(attacks);
  AddValueAttacks(attacks);
  return attacks;
}

}  // namespace cairn::testing
