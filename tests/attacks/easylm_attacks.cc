#include "tests/attacks/easylm_attacks.h"

#include "absl/strings/str_cat.h"

namespace cairn::testing {
namespace {

using std::string_literals::operator""s;

std::string Repeated(absl::string_view bytes, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) absl::StrAppend(&all, bytes);
  return all;
}

// One whole entry "good", to stand before the wrong one.
std::string Good() { return EasyLmObjectBytes({"good"}, PackedArray("uint8", {2}, "ab")); }

// A file whose entry "bad" has this value.
std::string WithValue(absl::string_view value) { return Good() + EasyLmObjectBytes({"bad"}, value); }

void AddObjectAttacks(std::vector<EasyLmAttack>& attacks) {
  const std::string leaf = PackedBin("\x01");
  attacks.push_back({"flax_map_instead_of_objects", absl::StrCat("\x81", PackedStr("a"), "\x01"), "found map"});
  attacks.push_back({"object_of_three", absl::StrCat(Good(), "\x93", PackedKey({"a"}), leaf, "\x01"),
                     "expected an array of the 2 items key, value, found array of 3 items"});
  attacks.push_back({"key_is_str", absl::StrCat(Good(), "\x92", PackedStr("a"), leaf), "expected a key (array of str)"});
  attacks.push_back({"key_of_int", absl::StrCat(Good(), "\x92\x91\x07", leaf), "segment of a key (str), found int 7"});
  attacks.push_back({"key_of_bin", absl::StrCat(Good(), "\x92\x91", PackedBin("a"), leaf), "segment of a key (str), found bin"});
  attacks.push_back({"key_nested", absl::StrCat(Good(), "\x92\x91\x91", PackedStr("a"), leaf), "found array"});
  attacks.push_back({"empty_key", absl::StrCat(Good(), "\x92\x90", leaf), "an empty key"});
  attacks.push_back({"key_no_utf8", absl::StrCat(Good(), "\x92\x91\xa2\xc0\x80", leaf), "no UTF-8"});
  attacks.push_back({"key_surrogate", absl::StrCat(Good(), "\x92\x91\xa3\xed\xa0\x80", leaf), "no UTF-8"});
  attacks.push_back({"key_of_many_segments", absl::StrCat(Good(), "\x92\xdc\0\x64"s, Repeated("\xa1x", 100), leaf),
                     "100 segments"});
  attacks.push_back({"key_claims_4g_segments", absl::StrCat(Good(), "\x92\xdd\xff\xff\xff\xff\xa1x"), "torn save"});
  attacks.push_back({"long_key", absl::StrCat(Good(), "\x92\x91\xda\x20\0"s, std::string(8192, 'x'), leaf),
                     "a key of 8192 bytes"});
  attacks.push_back({"key_that_shows_long", absl::StrCat(Good(), "\x92\x91\xda\x0f\xff"s, std::string(4095, '\x01'), leaf),
                     "a key of 16380 bytes"});
  attacks.push_back({"value_without_bin", absl::StrCat(Good(), "\x92", PackedKey({"a"}), PackedArray("uint8", {1}, "a")),
                     "expected a value (bin), found ext of type 1"});
  attacks.push_back({"value_is_str", absl::StrCat(Good(), "\x92", PackedKey({"a"}), PackedStr("a")), "found str"});
  attacks.push_back({"unused_byte", absl::StrCat(Good(), "\xc1"), "byte 0xc1 begins no msgpack value"});
  attacks.push_back({"duplicate_key", absl::StrCat(Good(), Good()), "stands at offset 0 and again at offset"});
  attacks.push_back({"leaf_and_parent", absl::StrCat(Good(), EasyLmObjectBytes({"good", "child"}, "\x01")),
                     "cannot be the parent"});
  attacks.push_back({"torn_first", Good().substr(0, 20), "no key before it is whole"});
  attacks.push_back({"torn_payload", absl::StrCat(Good(), Good().substr(0, Good().size() - 1)), "last whole key is \"good\""});
  attacks.push_back({"torn_header", absl::StrCat(Good(), "\x92"), "last whole key is \"good\""});
  attacks.push_back({"bin_claims_4g", absl::StrCat(Good(), "\x92", PackedKey({"a"}), "\xc6\xff\xff\xff\xff", "x"),
                     "bin of 4294967295 bytes"});
}

// Leaves that are none here only.
void AddValueAttacks(std::vector<EasyLmAttack>& attacks) {
  attacks.push_back({"empty_bin", WithValue(""), "entry \"bad\": offset"});
  attacks.push_back({"bytes_after_leaf", WithValue(PackedArray("uint8", {1}, "a") + "xyz"), "3 bytes after the leaf"});
  attacks.push_back({"array_inside_list", WithValue("\x91" + PackedArray("uint8", {1}, "a")), "ext of type 1 inside a list or dict"});
  attacks.push_back({"tree_inside_value", WithValue(absl::StrCat("\x81", PackedStr("a"), PackedArray("uint8", {1}, "a"))),
                     "inside a list or dict"});
  attacks.push_back({"chunked_inside_list", WithValue(absl::StrCat("\x91", PackedChunkedArray("\x80", "\x80"))), "a chunked array inside a list or dict"});
}

}  // namespace

std::string EasyLmObjectBytes(const std::vector<std::string>& key, absl::string_view value) {
  return absl::StrCat("\x92", PackedKey(key), PackedBin(value));
}

std::vector<EasyLmAttack> EasyLmAttacks() {
  std::vector<EasyLmAttack> attacks;
  AddObjectAttacks(attacks);
  AddValueAttacks(attacks);
  for (const FlaxLeafAttack& attack : FlaxLeafAttacks()) {
    attacks.push_back({attack.name, WithValue(attack.leaf), attack.message});
  }
  return attacks;
}

}  // namespace cairn::testing
