#include "tests/attacks/pickle_attacks.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace cairn::testing {
namespace {

// Of bytes with zeros in them.
template <size_t kSize>
std::string Raw(const char (&bytes)[kSize]) {
  return std::string(bytes, kSize - 1);
}

std::string Repeat(absl::string_view bytes, size_t times) {
  std::string repeated;
  for (size_t i = 0; i < times; ++i) absl::StrAppend(&repeated, bytes);
  return repeated;
}

}  // namespace

std::vector<PickleAttack> PickleAttacks() {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  const auto exhausted = absl::StatusCode::kResourceExhausted;
  const auto unimplemented = absl::StatusCode::kUnimplemented;
  return {
      {"empty", "", invalid, "ends at offset 0 without STOP"},
      {"no_stop", Raw("\x80\x02N"), invalid, "ends at offset 3 without STOP"},
      {"zip", Raw("PK\x03\x04"), invalid, "PERSID (0x50) at offset 0: truncated: expected a line with a persistent id"},
      {"no_opcode", Raw("\x80\x02\xff."), invalid, "0xff at offset 2: unknown opcode"},
      {"protocol_6", Raw("\x80\x06N."), invalid, "PROTO (0x80) at offset 0: unknown protocol 6"},
      {"protocol_cut", Raw("\x80"), invalid, "truncated: expected 1 more bytes, found 0"},
      {"stop_on_nothing", ".", invalid, "STOP (0x2e) at offset 0: stack underflow: expected 1 object"},
      {"stop_below_mark", "N(.", invalid,
       "stack underflow: expected 1 object on the stack above the last mark, found 0"},

      // Lengths that are not there.
      {"str_longer_than_file",
       Raw("X\xff\xff\xff\xff"
           "a."),
       invalid, "BINUNICODE (0x58) at offset 0: truncated: expected 4294967295 more bytes, found 2"},
      {"str8_wraps",
       Raw("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
           "a."),
       invalid, "expected 18446744073709551615 more bytes"},
      {"bytes8_huge",
       Raw("\x8e\0\0\0\0\0\0\0\x80"
           "a."),
       invalid, "BINBYTES8 (0x8e) at offset 0: truncated"},
      {"bytearray8_huge",
       Raw("\x96\0\0\0\0\0\0\0\x40"
           "a."),
       invalid, "BYTEARRAY8 (0x96) at offset 0: truncated"},
      {"frame_longer_than_file", Raw("\x80\x04\x95\xff\0\0\0\0\0\0\0N."), invalid,
       "FRAME (0x95) at offset 2: truncated: expected 255 more bytes, found 2"},
      {"binstring_negative",
       Raw("T\xff\xff\xff\xff"
           "a."),
       invalid, "BINSTRING (0x54) at offset 0: negative length -1"},
      {"long4_negative", Raw("\x8b\xff\xff\xff\xff."), invalid, "LONG4 (0x8b) at offset 0: negative length -1"},
      {"long1_cut",
       Raw("\x8a\x05"
           "abc"),
       invalid, "LONG1 (0x8a) at offset 0: truncated: expected 5 more bytes, found 3"},
      {"int_cut", Raw("J\0\0"), invalid, "BININT (0x4a) at offset 0: truncated: expected 4 more bytes, found 2"},
      {"float_cut", Raw("G\0\0"), invalid, "BINFLOAT (0x47) at offset 0: truncated"},
      {"line_without_end", "I123", invalid, "INT (0x49) at offset 0: truncated: expected a line with an int"},
      {"global_without_name", "cos\n", invalid, "GLOBAL (0x63) at offset 0: truncated: expected a line with a name"},
      {"name_without_end", absl::StrCat("c", std::string(100'000, 'a')), exhausted,
       "expected a line of at most 4096 bytes with a module"},

      // Texts that are none.
      {"int_of_letters", "Iabc\n.", invalid, "INT (0x49) at offset 0: expected a decimal number"},
      {"int_of_nothing", "I\n.", invalid, "expected a decimal number"},
      {"long_of_sign", "L-L\n.", invalid, "LONG (0x4c) at offset 0: expected a decimal number"},
      {"float_of_letters", "Fabc\n.", invalid, "FLOAT (0x46) at offset 0: expected a float"},
      {"string_without_quotes", "Sabc\n.", invalid, "STRING (0x53) at offset 0: expected a quoted str"},
      {"string_with_one_quote", "S'\n.", invalid, "expected a quoted str"},
      {"string_with_half_escape", "S'\\x1'\n.", invalid, "expected a quoted str"},
      {"unicode_with_half_escape", "V\\u12\n.", invalid, "UNICODE (0x56) at offset 0: expected \\u with 4 hex digits"},
      {"unicode_beyond_unicode", "V\\U00110000\n.", invalid, "expected \\u with 4 hex digits"},
      {"str_no_utf8", Raw("X\x01\0\0\0\xff."), invalid, "BINUNICODE (0x58) at offset 0: expected UTF-8"},
      {"str_overlong", Raw("X\x02\0\0\0\xc0\x80."), invalid, "expected UTF-8"},
      {"str_half_surrogate", Raw("X\x02\0\0\0\xed\xa0."), invalid, "expected UTF-8"},
      {"global_no_utf8", "c\xff\nname\n.", invalid, "expected module and name in UTF-8"},

      // The memo.
      {"memo_miss", Raw("h\x07."), invalid, "BINGET (0x68) at offset 0: no memo entry 7"},
      {"memo_miss_text", "g12\n.", invalid, "GET (0x67) at offset 0: no memo entry 12"},
      {"memo_index_bomb", Raw("Nr\x00\x28\x6b\xee."), exhausted,
       "LONG_BINPUT (0x72) at offset 1: memo entry 4000000000, beyond the limit"},
      {"memo_index_bomb_text", "Np99999999999999999\n.", exhausted,
       "PUT (0x70) at offset 1: memo entry 99999999999999999"},
      {"memo_negative", "Np-1\n.", invalid, "expected the number of a memo entry"},
      {"memo_long_get", Raw("j\xff\xff\xff\xff."), invalid, "LONG_BINGET (0x6a) at offset 0: no memo entry 4294967295"},
      {"put_on_nothing", Raw("q\0."), invalid, "BINPUT (0x71) at offset 0: stack underflow"},
      {"memoize_on_nothing", Raw("\x94."), invalid, "MEMOIZE (0x94) at offset 0: stack underflow"},
      {"memoize_mark", Raw("N(\x94."), invalid, "above the last mark"},

      // The stack.
      {"pop_on_nothing", "0.", invalid, "POP (0x30) at offset 0: stack underflow"},
      {"dup_on_nothing", "2.", invalid, "DUP (0x32) at offset 0: stack underflow"},
      {"tuple_without_mark", "Nt.", invalid, "TUPLE (0x74) at offset 1: no mark on the stack"},
      {"tuple2_of_one", Raw("N\x86."), invalid,
       "TUPLE2 (0x86) at offset 1: stack underflow: expected 2 objects on the stack, found 1"},
      {"pop_mark_without_mark", "N1.", invalid, "POP_MARK (0x31) at offset 1: no mark"},
      {"appends_to_nothing", "(Ne.", invalid, "APPENDS (0x65) at offset 2: stack underflow"},
      {"appends_across_mark", "](N(Ne.", invalid, "APPENDS (0x65) at offset 5: does not apply to None"},
      {"append_to_tuple", ")Na.", invalid, "APPEND (0x61) at offset 2: does not apply to tuple"},
      {"append_to_global", "cos\nsystem\nNa.", invalid, "does not apply to os.system"},
      {"setitem_to_list", "]NNs.", invalid, "SETITEM (0x73) at offset 3: does not apply to list"},
      {"setitems_odd", "}(NNNu.", invalid,
       "SETITEMS (0x75) at offset 5: expected key and value in turn, found 3 objects"},
      {"dict_odd", "(Nd.", invalid, "DICT (0x64) at offset 2: expected key and value in turn"},
      {"additems_to_dict", Raw("}(N\x90."), invalid, "ADDITEMS (0x90) at offset 3: does not apply to dict"},
      {"build_of_dict", "}}b.", invalid, "BUILD (0x62) at offset 2: does not apply to dict"},
      {"build_of_global", "cos\nsystem\n}b.", invalid, "does not apply to os.system"},
      {"reduce_without_tuple", "cos\nsystem\n]R.", invalid,
       "REDUCE (0x52) at offset 12: expected a tuple of arguments, found list"},
      {"newobj_without_tuple", Raw("ca\nb\nN\x81."), invalid,
       "NEWOBJ (0x81) at offset 6: expected a tuple of arguments, found None"},
      {"newobj_ex_without_dict", Raw("ca\nb\n))\x92."), invalid,
       "NEWOBJ_EX (0x92) at offset 7: expected a dict of keyword arguments, found tuple"},
      {"obj_of_nothing", "(o.", invalid, "OBJ (0x6f) at offset 1: stack underflow: expected a class"},
      {"inst_without_mark", "ia\nb\n.", invalid, "INST (0x69) at offset 0: no mark"},
      {"stack_global_of_ints", Raw("K\x01K\x02\x93."), invalid,
       "STACK_GLOBAL (0x93) at offset 4: expected module and name as str, found int and int"},
      {"stack_global_of_one",
       Raw("\x8c\x01"
           "a\x93."),
       invalid, "STACK_GLOBAL (0x93) at offset 3: stack underflow"},

      // What only a running Python knows.
      {"ext1", Raw("\x82\x01."), unimplemented, "EXT1 (0x82) at offset 0: an extension code"},
      {"ext2", Raw("\x83\x01\x01."), unimplemented, "EXT2 (0x83) at offset 0"},
      {"ext4", Raw("\x84\x01\x01\x01\x01."), unimplemented, "EXT4 (0x84) at offset 0"},
      {"next_buffer", Raw("\x80\x05\x97."), unimplemented, "NEXT_BUFFER (0x97) at offset 2: an out-of-band buffer"},
      {"readonly_buffer", Raw("\x80\x05\x98."), unimplemented, "READONLY_BUFFER (0x98) at offset 2"},
  };
}

std::vector<std::pair<std::string, std::string>> PickleSamples() {
  return {
      {"text", Raw("(lp0\nI00\naI01\naI-5\naL123456789012345678901234567890L\naF1.5\naS'a\\n\\x00\\''"
                   "\naV\\u20ac\\U0001f600\xe4\n"
                   "a(dp1\ng0\nNsaP17\na(tp2\na20.")},
      {"text_list", "(I1\n(I2\nI3\nt(I4\nI5\nd1(l."},
      {"old_classes", Raw("((ia\nB\n(ca\nB\nK\x01o}b1(ca\nB\nK\x01o}(K\x01K\x02ub.")},
      {"binary",
       Raw("\x80\x02}q\0(X\x01\0\0\0aq\x01K\x05M\x01\x02J\xff\xff\xff\xff\x8a\x09\0\0\0\0\0\0\0\0\x01G?\xf0\0\0\0\0\0\0"
           "U\x01zT\x02\0\0\0zz\x88\x89\x85\x86\x87)N2u.")},
      {"torch_size", Raw("\x80\x02"
                         "ctorch\nSize\nq\0K\x02K\x03\x86q\x01\x85q\x02Rq\x03.")},
      {"legacy_magic", Raw("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19.\x80\x02M\xe9\x03.")},
      {"tensor", Raw("\x80\x02"
                     "ctorch._utils\n_rebuild_tensor_v2\nq\0((X\x07\0\0\0storageq\x01"
                     "ctorch\nFloatStorage\nq\x02"
                     "X\x01\0\0\0"
                     "0q\x03X\x03\0\0\0cpuq\x04K\x06tq\x05QK\0K\x02K\x03\x86K\x03K\x01\x86\x89"
                     "ccollections\n"
                     "OrderedDict\n)Rq\x06tq\x07Rq\x08.")},
      {"ordered_dict", Raw("\x80\x02"
                           "ccollections\nOrderedDict\n)Rq\0(K\x01K\x02K\x03K\x04u}X\x09\0\0\0_metadata}sb.")},
      {"protocol_4", Raw("\x80\x04\x95\x3a\0\0\0\0\0\0\0\x8c\x08"
                         "argparse\x94\x8c\x09Namespace\x94\x93\x94)\x81\x94}\x94\x8c\x01x"
                         "\x94\x8f\x94(K\x01K\x02\x90(K\x01\x91"
                         "C\x01z\x87sb]\x94(K\x01K\x02"
                         "e0.")},
      {"protocol_5", Raw("\x80\x05(\x96\x02\0\0\0\0\0\0\0zz\x8e\x01\0\0\0\0\0\0\0zB\x01\0\0\0z\x8d\x01\0\0\0\0\0\0\0z"
                         "\x8b\x01\0\0\0\x05\x8c\x01"
                         "a\x8c\x01"
                         "b\x93)}\x8c\x01kK\x01s\x92t.")},
      {"cycles", Raw("\x80\x02]q\0(h\0h\0\x85q\x01h\x01"
                     "e.")},
      {"cycle_through_tuple", Raw("\x80\x02]q\0(\x88h\0N\x86q\x01"
                                  "e0h\x01.")},
      {"surrogate", Raw("X\x04\0\0\0\xed\xa0\x80z.")},
      {"nested", absl::StrCat(")", Repeat("\x85", 2000), ".")},
      {"billion_laughs", absl::StrCat("]", Repeat("2222\x86\x86\x86\x85", 40), ".")},
      {"getattr", Raw("\x80\x02"
                      "c__builtin__\ngetattr\nca\nOuter\nX\x05\0\0\0Inner\x86R)\x81.")},
      {"numpy",
       Raw("\x80\x02"
           "cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\0\0\0i4\x89\x88\x87R(K\x03X\x01\0\0\0<NNNJ\xff\xff"
           "\xff\xffJ\xff\xff\xff\xffK\0tb"
           "c_codecs\nencode\nX\x04\0\0\0\x05\0\0\0X\x06\0\0\0latin1\x86R\x86R.")},
  };
}

}  // namespace cairn::testing
