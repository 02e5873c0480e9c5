#include "tests/attacks/safetensors_attacks.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace cairn::testing {
namespace {

std::string Length(uint64_t value) {
  std::string bytes(8, '\0');
  for (char& byte : bytes) {
    byte = static_cast<char>(value);
    value >>= 8;
  }
  return bytes;
}

// One tensor "a".
std::string Tensor(absl::string_view dtype, absl::string_view shape, absl::string_view offsets) {
  return absl::StrCat(R"("a":{"dtype":")", dtype, R"(","shape":)", shape, R"(,"data_offsets":)", offsets,
                      "}");
}

std::string Repeat(absl::string_view text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) absl::StrAppend(&all, text);
  return all;
}

constexpr absl::string_view kTwo = R"({"dtype":"U8","shape":[2],"data_offsets":[0,2]})";

}  // namespace

std::string SafetensorsFile(absl::string_view header, absl::string_view data) {
  return absl::StrCat(Length(header.size()), header, data);
}

std::vector<SafetensorsAttack> SafetensorsAttacks() {
  const auto one = [](absl::string_view dtype, absl::string_view shape, absl::string_view offsets,
                      absl::string_view data) {
    return SafetensorsFile(absl::StrCat("{", Tensor(dtype, shape, offsets), "}"), data);
  };
  return {
      // The length.
      {"empty_file", "", "expected at least the 8 bytes"},
      {"short_prefix", std::string(7, '\1'), "expected at least the 8 bytes"},
      {"length_leaves_file", absl::StrCat(Length(1000), "{}"), "leaves the file"},
      {"length_one_too_many", absl::StrCat(Length(3), "{}"), "leaves the file"},
      {"length_all_ones", absl::StrCat(Length(~uint64_t{0}), "{}"), "over the limit"},
      {"length_wraps_with_prefix", absl::StrCat(Length(~uint64_t{0} - 7), "{}"), "over the limit"},
      {"length_over_cap", absl::StrCat(Length(100'000'001), "{}"), "over the limit"},
      // The text.
      {"no_text", SafetensorsFile(""), "not JSON"},
      {"only_spaces", SafetensorsFile("        "), "not JSON"},
      {"array_document", SafetensorsFile("[]"), "expected an object"},
      {"string_document", SafetensorsFile(R"("a")"), "expected an object"},
      {"null_document", SafetensorsFile("null"), "expected an object"},
      {"unclosed_object", SafetensorsFile(R"({"a":)"), "not JSON"},
      {"unclosed_string", SafetensorsFile(R"({"a)"), "not JSON"},
      {"trailing_garbage", SafetensorsFile("{}x"), "not JSON"},
      {"second_document", SafetensorsFile("{}{}"), "not JSON"},
      {"nul_padding", SafetensorsFile(absl::string_view("{}\0\0\0\0\0\0", 8)), "NUL"},
      {"byte_order_mark", SafetensorsFile("\xef\xbb\xbf{}"), "byte order mark"},
      {"comment", SafetensorsFile("{/* */}"), "not JSON"},
      {"invalid_utf8_name", SafetensorsFile(absl::StrCat("{\"\xff\":", kTwo, "}"), "ab"), "not JSON"},
      {"overlong_utf8_name", SafetensorsFile(absl::StrCat("{\"\xc0\x80\":", kTwo, "}"), "ab"), "not JSON"},
      {"lone_surrogate_name", SafetensorsFile(absl::StrCat(R"({"\ud800":)", kTwo, "}"), "ab"), "not JSON"},
      {"control_character_name", SafetensorsFile(absl::StrCat("{\"\x01\":", kTwo, "}"), "ab"), "not JSON"},
      {"nested_arrays", SafetensorsFile(absl::StrCat(R"({"a":{"x":)", Repeat("[", 100'000))),
       "nested deeper"},
      {"nested_objects", SafetensorsFile(Repeat(R"({"a":)", 50'000)), "nested deeper"},
      // Members.
      {"name_twice", SafetensorsFile(absl::StrCat(R"({"a":)", kTwo, R"(,"a":)", kTwo, "}"), "ab"),
       "appears twice"},
      {"name_twice_by_escape",
       SafetensorsFile(
           absl::StrCat(R"({"a":)", kTwo, R"(,"\u0061":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}})"),
           "ab"),
       "appears twice"},
      {"long_name", SafetensorsFile(absl::StrCat("{\"", std::string(5000, 'n'), "\":", kTwo, "}"), "ab"),
       "over the limit"},
      {"tensor_is_array", SafetensorsFile(R"({"a":["U8",[2],[0,2]]})", "ab"),
       "expected an object, found an array"},
      {"tensor_is_null", SafetensorsFile(R"({"a":null})"), "expected an object, found null"},
      {"no_dtype", SafetensorsFile(R"({"a":{"shape":[2],"data_offsets":[0,2]}})", "ab"), "lacks \"dtype\""},
      {"no_shape", SafetensorsFile(R"({"a":{"dtype":"U8","data_offsets":[0,2]}})", "ab"), "lacks \"shape\""},
      {"no_offsets", SafetensorsFile(R"({"a":{"dtype":"U8","shape":[2]}})", "ab"), "lacks \"data_offsets\""},
      {"field_twice",
       SafetensorsFile(R"({"a":{"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]}})", "ab"),
       "has \"dtype\" twice"},
      {"unknown_dtype", one("C128", "[1]", "[0,16]", std::string(16, 'x')), "unknown dtype \"C128\""},
      {"lower_case_dtype", one("u8", "[2]", "[0,2]", "ab"), "unknown dtype"},
      {"dtype_is_number", SafetensorsFile(R"({"a":{"dtype":8,"shape":[2],"data_offsets":[0,2]}})", "ab"),
       "bad \"dtype\""},
      {"shape_is_number", one("U8", "2", "[0,2]", "ab"), "bad \"shape\""},
      {"shape_is_object", one("U8", "{}", "[0,2]", "ab"), "bad \"shape\""},
      {"shape_is_nested", one("U8", "[[2]]", "[0,2]", "ab"), "bad \"shape\""},
      {"shape_is_negative", one("U8", "[-2]", "[0,2]", "ab"), "a negative number"},
      {"shape_is_fraction", one("U8", "[2.0]", "[0,2]", "ab"), "not an integer"},
      {"shape_is_string", one("U8", R"(["2"])", "[0,2]", "ab"), "bad \"shape\""},
      {"shape_above_int64", one("U8", "[9223372036854775808]", "[0,2]", "ab"), "beyond int64"},
      {"shape_above_uint64", one("U8", "[18446744073709551616]", "[0,2]", "ab"), "not an integer"},
      {"shape_of_endless_digits", one("U8", absl::StrCat("[", std::string(100'000, '1'), "]"), "[0,2]", "ab"),
       "more than 400 digits"},
      {"shape_wraps_to_zero", one("U8", "[4294967296,4294967296]", "[0,0]", ""), "\"a\""},
      {"size_wraps_to_zero", one("U64", "[2305843009213693952]", "[0,0]", ""), "\"a\""},
      {"too_many_dimensions", one("U8", absl::StrCat("[", Repeat("1,", 40), "1]"), "[0,1]", "a"),
       "more than 32 dimensions"},
      {"offsets_one_number", one("U8", "[2]", "[0]", "ab"), "found 1 numbers"},
      {"offsets_three_numbers", one("U8", "[2]", "[0,2,2]", "ab"), "found three numbers"},
      // Coverage.
      {"offsets_reversed", one("U8", "[2]", "[2,0]", "ab"), "which end before they begin"},
      {"hole_in_front", one("U8", "[2]", "[1,3]", "abc"), "they leave a hole in the data"},
      {"overlap",
       SafetensorsFile(
           absl::StrCat(R"({"a":)", kTwo, R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})"), "abc"),
       "they overlap with those of another tensor"},
      {"same_bytes_twice", SafetensorsFile(absl::StrCat(R"({"a":)", kTwo, R"(,"b":)", kTwo, "}"), "ab"),
       "they overlap with those of another tensor"},
      {"hole_between",
       SafetensorsFile(
           absl::StrCat(R"({"a":)", kTwo, R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}})"),
           "abcd"),
       "they leave a hole in the data"},
      {"offsets_at_the_end_of_uint64", one("U8", "[2]", "[18446744073709551613,18446744073709551615]", "ab"),
       "they leave a hole in the data"},
      {"larger_than_its_shape", one("U8", "[2]", "[0,3]", "abc"), "expected 2 for U8 [2]"},
      {"smaller_than_its_shape", one("F32", "[2]", "[0,4]", "abcd"), "expected 8 for F32 [2]"},
      {"half_a_byte", one("F4", "[3]", "[0,2]", "ab"), "\"a\""},
      {"data_cut_short", one("U8", "[2]", "[0,2]", "a"), "cut short"},
      {"data_of_terabytes", one("U8", "[1099511627776]", "[0,1099511627776]", "a"), "cut short"},
      {"bytes_after_the_data", one("U8", "[2]", "[0,2]", "abPK\3\4"), "longer than its header says"},
      {"bytes_after_an_empty_header", SafetensorsFile("{}", "x"), "longer than its header says"},
      // Metadata.
      {"metadata_is_array", SafetensorsFile(R"({"__metadata__":[]})"), "\"__metadata__\" expected an object"},
      {"metadata_is_text", SafetensorsFile(R"({"__metadata__":"x"})"), "\"__metadata__\" expected an object"},
      {"metadata_value_is_number", SafetensorsFile(R"({"__metadata__":{"k":1}})"),
       "expected a string, found a number"},
      {"metadata_value_is_object", SafetensorsFile(R"({"__metadata__":{"k":{}}})"),
       "expected a string, found an object"},
      {"metadata_twice", SafetensorsFile(R"({"__metadata__":{},"__metadata__":{}})"), "appears twice"},
      {"metadata_key_twice", SafetensorsFile(R"({"__metadata__":{"k":"1","k":"2"}})"), "has \"k\" twice"},
      {"tensor_named_metadata", SafetensorsFile(absl::StrCat(R"({"__metadata__":)", kTwo, "}"), "ab"),
       "expected a string, found an array"},
  };
}

}  // namespace cairn::testing
