#include "tests/attacks/npz_attacks.h"

#include "absl/strings/str_cat.h"
#include "common/zip/zip_records.h"
#include "tests/attacks/zip_files.h"

namespace cairn::testing {
namespace {

std::string Repeat(absl::string_view text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) absl::StrAppend(&all, text);
  return all;
}

}  // namespace

std::string NpyFile(absl::string_view header, absl::string_view data, int version) {
  std::string file = absl::StrCat("\x93NUMPY", std::string(1, static_cast<char>(version)), std::string(1, '\0'));
  if (version == 1) {
    zip::Put16(&file, header.size());
  } else {
    zip::Put32(&file, header.size());
  }
  return absl::StrCat(file, header, data);
}

std::string NpzOf(const std::string& npy) { return HandmadeZip({{.name = "a.npy", .content = npy}}); }

std::vector<NpzAttack> NpzAttacks() {
  const auto header = [](absl::string_view text, absl::string_view data = "") { return NpzOf(NpyFile(text, data)); };
  const auto typed = [&](absl::string_view descr, absl::string_view shape, absl::string_view data) {
    return header(absl::StrCat("{'descr': '", descr, "', 'fortran_order': False, 'shape': ", shape, ", }\n"), data);
  };
  const auto shaped = [&](absl::string_view shape, absl::string_view data) { return typed("|u1", shape, data); };
  std::string long_header;
  zip::Put32(&long_header, 0xffffffff);
  return {
      // The front.
      {"empty_member", NpzOf(""), "expected it to begin with 934e554d5059"},
      {"pickle", NpzOf("\x80\x02}q\x00.pppppp"), "expected it to begin with 934e554d5059"},
      {"magic_alone", NpzOf("\x93NUMPY\x01"), "expected it to begin with 934e554d5059"},
      {"version_0", NpzOf(NpyFile("{}", "", 0)), "version 0.0"},
      {"version_4", NpzOf(NpyFile("{}", "", 4)), "version 4.0"},
      {"minor_version", NpzOf(std::string("\x93NUMPY\x01\x01\x02\x00{}", 12)), "version 1.1"},
      {"cut_in_length", NpzOf(std::string("\x93NUMPY\x02\x00\x02\x00", 10)), "cut within its header"},
      {"header_leaves_file", NpzOf(std::string("\x93NUMPY\x01\x00\x64\x00{}", 12)), "leaves the file"},
      {"header_of_4_gigabytes", NpzOf(absl::StrCat(absl::string_view("\x93NUMPY\x02\x00", 8), long_header, "{}")),
       "over the limit"},
      // The dict.
      {"no_text", header(""), "expected '{' at its byte 0, found its end"},
      {"only_spaces", header("   \n"), "expected '{'"},
      {"list", header("[]"), "expected '{'"},
      {"unclosed", header("{'descr': '|u1', "), "expected a string"},
      {"behind_the_dict", header("{'descr': '|u1', 'fortran_order': False, 'shape': ()} x", "a"),
       "expected nothing behind the dict"},
      {"code", header("__import__('os').system('true')"), "expected '{'"},
      {"empty_dict", header("{}\n"), "lacks 'descr'"},
      {"no_descr", header("{'fortran_order': False, 'shape': ()}"), "lacks 'descr'"},
      {"no_order", header("{'descr': '|u1', 'shape': ()}"), "lacks 'fortran_order'"},
      {"no_shape", header("{'descr': '|u1', 'fortran_order': False}"), "lacks 'shape'"},
      {"descr_twice", header("{'descr': '|u1', 'descr': '|u1'}"), "has 'descr' twice"},
      {"unknown_key", header("{'descr': '|u1', 'mode': 1}"), "unknown key \"mode\""},
      {"comma_alone", header("{,}"), "expected a string"},
      {"two_commas", header("{'descr': '|u1',, }"), "expected a string"},
      {"no_colon", header("{'descr' '|u1'}"), "expected ':'"},
      {"unclosed_string", header("{'descr"), "expected a string that ends"},
      {"escape_in_string", header("{'descr': '\\x3cf4'}"), "without escapes"},
      {"order_is_number", header("{'fortran_order': 0}"), "expected True or False"},
      {"order_is_text", header("{'fortran_order': 'False'}"), "expected True or False"},
      {"unclosed_list", header("{'descr': [('a', '<f4')"), "expected a list that ends"},
      {"deep_list", header(absl::StrCat("{'descr': ", Repeat("[", 60'000))), "expected a list that ends"},
      {"empty_descr", header("{'descr': ''}"), "empty 'descr'"},
      // The shape.
      {"shape_is_number", shaped("3", "abc"), "expected '('"},
      {"shape_is_list", shaped("[3]", "abc"), "expected '('"},
      {"number_in_parentheses", shaped("(3)", "abc"), "expected a comma"},
      {"shape_is_negative", shaped("(-3,)", "abc"), "expected an extent"},
      {"shape_is_float", shaped("(3.0,)", "abc"), "expected a comma"},
      {"shape_is_none", shaped("(None,)", "abc"), "expected an extent"},
      {"shape_is_nested", shaped("((3,),)", "abc"), "expected an extent"},
      {"leading_zero", shaped("(03,)", "abc"), "without leading zeros"},
      {"two_numbers", shaped("(3 1)", "abc"), "expected a comma"},
      {"shape_beyond_uint64", shaped("(18446744073709551616,)", ""), "beyond 64 bits"},
      {"endless_digits", shaped(absl::StrCat("(", std::string(60'000, '9'), ",)"), ""), "beyond 64 bits"},
      {"shape_beyond_int64", shaped("(9223372036854775808,)", ""), "beyond int64"},
      {"shape_wraps_to_zero", shaped("(4294967296, 4294967296)", ""), "a.npy"},
      {"size_wraps_to_zero", typed("<f8", "(2305843009213693952,)", ""), "a.npy"},
      {"too_many_dimensions", shaped(absl::StrCat("(", Repeat("1, ", 33), ")"), "a"), "a.npy"},
      {"data_missing", shaped("(3,)", "ab"), "has 2 bytes of data, expected 3"},
      {"data_left", shaped("(3,)", "abcd"), "has 4 bytes of data, expected 3"},
      {"absurd_array", typed("<f8", "(1000000000000,)", "abcdefgh"), "expected 8000000000000"},
      // The dtype.
      {"object", typed("|O", "()", "\x80\x02N."), "Python objects (a pickle)"},
      {"structured", header("{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (), }", "abcd"),
       "structured dtype"},
      {"void", typed("|V2", "(1,)", "ab"), "ml_dtypes"},
      {"float8", typed("<f1", "(1,)", "a"), "ml_dtypes"},
      {"long_double", typed("<f16", "()", std::string(16, 'a')), "no checkpoint has"},
      {"dates", typed("<M8[s]", "(1,)", "abcdefgh"), "dates or times"},
      {"differences", typed("<m8[ns]", "(1,)", "abcdefgh"), "dates or times"},
      {"texts", typed("<U1", "(2,)", std::string(8, '\0')), "only a single text"},
      {"no_byte_order", typed("f4", "(1,)", "abcd"), "no checkpoint has"},
      {"unknown_dtype", typed("<q9", "(1,)", "abcdefghi"), "no checkpoint has"},
      {"bool_of_two_bytes", typed("<b2", "(1,)", "ab"), "no checkpoint has"},
      {"text_without_size", typed("<U", "()", ""), "no checkpoint has"},
      {"text_of_negative_size", typed("<U-1", "()", ""), "no checkpoint has"},
      {"text_beyond_32_bits", typed("<U4294967296", "()", ""), "no checkpoint has"},
      {"text_of_16_gigabytes", typed("<U4294967295", "()", ""), "expected 17179869180"},
      {"surrogate", typed("<U1", "()", std::string("\x00\xd8\x00\x00", 4)), "character 0 of the text is 0xd800"},
      {"beyond_unicode", typed("<U2", "()", std::string("a\x00\x00\x00\x00\x00\x11\x00", 8)),
       "character 1 of the text is 0x110000"},
      // The archive.
      {"other_member", HandmadeZip({{.name = "readme.txt"}}), "does not end in .npy"},
      {"torch", HandmadeZip({{.name = "archive/data.pkl", .content = "\x80\x02}."}}), "does not end in .npy"},
      {"unmarked_name", HandmadeZip({{.name = "\xc3\xa9.npy", .content = NpyFile("{}")}}), "in an encoding that"},
      {"data_changed",
       HandmadeZip({{.name = "a.npy",
                     .content = NpyFile("{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }", "a"),
                     .crc = 1}}),
       "it is damaged"},
  };
}

}  // namespace cairn::testing
