#include "tests/attacks/flax_attacks.h"

#include "absl/strings/str_cat.h"

namespace cairn::testing {
namespace {

using std::string_literals::operator""s;

std::string Good() { return PackedArray("uint8", {2}, "ab"); }

// A tree with one whole entry "good" and, behind it, "bad".
std::string WithValue(absl::string_view value) {
  return PackedMap({{PackedStr("good"), Good()}, {PackedStr("bad"), std::string(value)}});
}

std::string Nested(int levels) {
  std::string tree = "\x01";
  for (int i = 0; i < levels; ++i) tree = PackedMap({{PackedStr("a"), tree}});
  return tree;
}

void AddTreeAttacks(std::vector<FlaxAttack>& attacks) {
  attacks.push_back({"empty", "", "an empty file"});
  attacks.push_back({"root_is_list", absl::StrCat("\x91", Good()), "expected a map, the root of a tree, found array"});
  attacks.push_back({"root_is_array", Good(), "expected a map, the root of a tree, found ext of type 1"});
  attacks.push_back({"root_is_chunked_array",
                     PackedChunkedArray(PackedMap({{PackedStr("0"), "\x02"}}), PackedMap({{PackedStr("0"), Good()}})),
                     "one array alone"});
  attacks.push_back(
      {"easylm_objects", absl::StrCat("\x92", PackedKey({"a"}), PackedBin("\x01")), "found array of 2 items"});
  attacks.push_back({"two_trees", absl::StrCat(WithValue("\x01"), WithValue("\x01")), "bytes after the tree"});
  attacks.push_back({"byte_after_tree", absl::StrCat(WithValue("\x01"), "\xc0"), "1 bytes after the tree"});
  attacks.push_back({"root_key_is_none", PackedMap({{"\xc0", Good()}}), "a key of the root that is a str or an integer below 2^63, found nil"});
  attacks.push_back({"root_key_is_list", PackedMap({{"\x91\x01", Good()}}), "a key of the root that is a str or an integer below 2^63, found array of 1 items"});
  attacks.push_back({"key_above_int64", PackedMap({{"\xcf\x80\0\0\0\0\0\0\0"s, Good()}}), "a key of the root that is a str or an integer below 2^63, found int 9223372036854775808"});
  attacks.push_back({"root_claims_4g", "\xdf\xff\xff\xff\xff\xa1x\x01", "map of 4294967295 pairs"});
  attacks.push_back(
      {"root_lacks_a_pair", absl::StrCat("\x82", PackedStr("good"), Good()), "the last whole entry is \"good\""});
  attacks.push_back({"dict_claims_4g", WithValue("\xdf\xff\xff\xff\xff\xa1x\x01"), "map of 4294967295 pairs"});
  attacks.push_back({"key_no_utf8", WithValue(PackedMap({{"\xa2\xc0\x80", Good()}})), "a key that is no UTF-8"});
  attacks.push_back(
      {"long_key", WithValue(PackedMap({{"\xda\x20\0"s + std::string(8192, 'x'), "\x01"}})), "a key of 8192 bytes"});
  attacks.push_back({"path_that_shows_long",
                     WithValue(PackedMap({{"\xda\x0f\xff"s + std::string(4095, '\x01'), "\x01"}})),
                     "a path of 16384 bytes"});
  attacks.push_back(
      {"same_key_twice", PackedMap({{PackedStr("a"), Good()}, {PackedStr("a"), "\x01"}}), "stands twice in one dict"});
  attacks.push_back({"same_dict_twice",
                     PackedMap({{PackedStr("a"), PackedMap({{PackedStr("b"), Good()}})},
                                {PackedStr("a"), PackedMap({{PackedStr("c"), Good()}})}}),
                     "stands twice in one dict"});
  attacks.push_back({"same_int_key_twice", WithValue(PackedMap({{"\x01", Good()}, {"\xd0\x01", Good()}})),
                     "stands twice in one dict"});
  attacks.push_back({"deep_dicts", Nested(100), "more than 64 levels deep"});
  attacks.push_back(
      {"deep_lists_with_array", WithValue(std::string(100, '\x91') + Good()), "more than 64 levels deep"});
  attacks.push_back(
      {"placeholder", WithValue("\xd9\x21//GDAPlaceholder:params/embedding!"), "an array that several processes hold"});
  attacks.push_back({"mark_among_others",
                     WithValue(PackedMap({{PackedStr("__msgpack_chunked_array__"), "\xc3"}, {PackedStr("x"), Good()}})),
                     "a chunked array with other keys"});
  attacks.push_back({"chunked_inside_list",
                     WithValue(absl::StrCat("\x91", PackedChunkedArray(PackedMap({{PackedStr("0"), "\x02"}}),
                                                                       PackedMap({{PackedStr("0"), Good()}})))),
                     "a chunked array inside a list"});
  attacks.push_back({"array_below_odd_key", WithValue(PackedMap({{"\xc0", Good()}})), "inside a list or dict"});
  attacks.push_back({"array_before_odd_key", WithValue(PackedMap({{PackedStr("a"), Good()}, {"\xc0", "\x01"}})),
                     "inside a list or dict"});
  attacks.push_back({"list_lacks_an_item", WithValue("\x92" + Good()), "torn or no Flax file"});
}

}  // namespace

std::string PackedMap(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::string map(1, static_cast<char>(0x80 | pairs.size()));
  for (const auto& [key, value] : pairs) absl::StrAppend(&map, key, value);
  return map;
}

std::vector<FlaxAttack> FlaxAttacks() {
  std::vector<FlaxAttack> attacks;
  AddTreeAttacks(attacks);
  for (const FlaxLeafAttack& attack : FlaxLeafAttacks()) {
    attacks.push_back({"leaf_" + attack.name, WithValue(attack.leaf), attack.message});
  }
  return attacks;
}

}  // namespace cairn::testing
