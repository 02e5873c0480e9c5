#include "tests/attacks/cairndiff_attacks.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/digest.h"
#include "common/format/cairndiff/diff_fields.h"

namespace cairn::testing {
namespace {

using diff_fields::PutFixed32;
using diff_fields::PutFixed64;
using diff_fields::PutNumber;
using diff_fields::PutText;

constexpr uint8_t kTensor = 1, kValue = 2, kAsset = 3, kAlias = 4;
constexpr uint8_t kUint8 = 6;
constexpr uint8_t kNoBase = 0, kAlike = 1, kOtherShape = 2;

std::string Number(uint64_t number) {
  std::string out;
  PutNumber(number, &out);
  return out;
}

std::string Text(absl::string_view text) {
  std::string out;
  PutText(text, &out);
  return out;
}

std::string Byte(uint8_t byte) { return std::string(1, static_cast<char>(byte)); }

std::string Name(absl::string_view name) { return absl::StrCat(Number(1), Byte(0), Text(name)); }

std::string Piece(absl::string_view bytes) { return std::string(DigestOf(bytes, DigestAlgorithm::kXxh3).AsBytes()); }

std::string Sha256(absl::string_view bytes) { return std::string(DigestOf(bytes, DigestAlgorithm::kSha256).AsBytes()); }

std::string Target() { return std::string(64, 'b'); }

// The parts of a file; those of a good one unless an attack says otherwise.
struct Parts {
  uint32_t version = 1;
  uint32_t piece = 1u << 20;
  std::string deltas = absl::StrCat(Byte(4), Target());  // Raw.
  // Of the index.
  std::string base_end = absl::StrCat(std::string(32, 'B'), Text("run@1"));
  std::optional<std::string> target_end;
  std::string metadata = Number(0);
  std::string entry_count = Number(1);
  std::string kind = Byte(kTensor);
  std::string path = Name("w");
  std::string what = absl::StrCat(Byte(kUint8), Number(1), Number(64));  // Dtype and shape.
  std::string base = Byte(kAlike);
  std::string pieces = absl::StrCat(Number(65), Piece(CairnDiffAttackBase()), Piece(Target()));
  std::string more_entries;
  std::string removed = Number(0);
  std::string behind;
  // Of the footer.
  uint64_t index_offset_more = 0, index_bytes_more = 0;
  bool wrong_digest = false;
  std::string magic = std::string("\nDNRIAC\x89", 8);
};

// The digest of a target that is that one tensor (FORMAT.md, "Content digest").
std::string ContentOfTarget(absl::string_view bytes) {
  return Sha256(absl::StrCat("cairn content 1\n", Byte(kTensor), Name("w"), Byte(kUint8), Number(1), Number(64), Sha256(Piece(bytes))));
}

std::string FileOf(const Parts& parts) {
  std::string file("\x89" "CAIRND\n", 8);
  PutFixed32(parts.version, &file);
  PutFixed32(parts.piece, &file);
  file += parts.deltas;
  const uint64_t index_offset = file.size();
  const std::string index =
      absl::StrCat(parts.base_end, parts.target_end.value_or(absl::StrCat(ContentOfTarget(Target()), Text("run@2"))), parts.metadata,
                   parts.entry_count, parts.kind, parts.path, parts.what, parts.base, parts.pieces) +
      absl::StrCat(parts.more_entries, parts.removed, parts.behind);
  file += index;
  PutFixed64(index_offset + parts.index_offset_more, &file);
  PutFixed64(index.size() + parts.index_bytes_more, &file);
  file += parts.wrong_digest ? std::string(32, '\0') : Sha256(index);
  return file + parts.magic;
}

std::string With(const std::function<void(Parts&)>& change) {
  Parts parts;
  change(parts);
  return FileOf(parts);
}

// A file whose one piece has that delta.
std::string WithDelta(const std::string& delta) {
  return With([&](Parts& p) {
    p.deltas = delta;
    p.pieces = absl::StrCat(Number(delta.size()), Piece(CairnDiffAttackBase()), Piece(Target()));
  });
}

std::string Bytes(absl::string_view bytes) { return std::string(bytes); }

void AddFiles(std::vector<CairnDiffAttack>& attacks) {
  const auto add = [&](std::string name, const std::function<void(Parts&)>& change, std::string message) {
    attacks.push_back({std::move(name), With(change), std::move(message)});
  };
  const std::string good = FileOf({});
  attacks.push_back({"empty", "", "no diff file"});
  attacks.push_back({"magic_alone", good.substr(0, 8), "the diff is truncated: its 8 bytes"});
  attacks.push_back({"header_alone", good.substr(0, 16), "the diff is truncated: its 16 bytes"});
  attacks.push_back({"cut_in_the_footer", good.substr(0, good.size() - 1), "is truncated"});
  attacks.push_back({"cut_in_the_deltas", good.substr(0, 81), "is truncated"});
  attacks.push_back({"more_behind_the_footer", good + "x", "is truncated"});
  attacks.push_back({"lines_changed_on_the_way", absl::StrCat(good.substr(0, 7), "\r", good.substr(7)), "no diff file"});
  add("version_0", [](Parts& p) { p.version = 0; }, "diff of version 0 ");
  add("version_2", [](Parts& p) { p.version = 2; }, "diff of version 2 ");
  add("pieces_of_nothing", [](Parts& p) { p.piece = 0; }, "with pieces of 0 bytes");
  add("pieces_of_4_gib", [](Parts& p) { p.piece = 0xffffffff; }, "with pieces of 4294967295 bytes");
  add("another_end", [](Parts& p) { p.magic = "xxxxxxxx"; }, "do not end as a diff file does");
  add("index_before_its_place", [](Parts& p) { p.index_offset_more = uint64_t{0} - 60; }, "does not end at");
  add("index_in_the_header", [](Parts& p) { p.index_offset_more = uint64_t{0} - 81; }, "bytes at 0 does not end at");
  add("index_behind_the_file", [](Parts& p) { p.index_offset_more = 1u << 30; }, "bytes at 1073741905 does not end at");
  add("index_of_2_to_64", [](Parts& p) { p.index_bytes_more = UINT64_MAX - 200; }, "an index of 1844674407370955");
  add("index_that_wraps_around", [](Parts& p) { p.index_offset_more = UINT64_MAX - 80, p.index_bytes_more = 81; }, "at 0 does not end at");
  add("another_digest_of_the_index", [](Parts& p) { p.wrong_digest = true; }, "the SHA-256 of its index");
}

void AddEnds(std::vector<CairnDiffAttack>& attacks) {
  const auto add = [&](std::string name, const std::function<void(Parts&)>& change, std::string message) {
    attacks.push_back({std::move(name), With(change), std::move(message)});
  };
  const auto only = [&](std::string name, const std::string& index, std::string message) {
    add(std::move(name), [&](Parts& p) {
          p.deltas.clear();
          p.base_end = index;
          p.target_end = p.metadata = p.entry_count = p.kind = p.path = p.what = p.base = p.pieces = p.removed = "";
        }, std::move(message));
  };
  only("no_index", "", "a digest of 32 bytes, of which there are 0");
  only("half_a_digest", std::string(20, 'B'), "a digest of 32 bytes, of which there are 20");
  only("ends_within_the_label", std::string(32, 'B') + Number(9) + "run", "a text of 9 bytes, of which there are 3");
  only("label_of_2_to_63", std::string(32, 'B') + Number(uint64_t{1} << 63), "a text of 9223372036854775808 bytes");
  only("number_that_never_ends", std::string(32, 'B') + std::string(10, '\xff'), "a number beyond 64 bits");
  only("number_with_a_zero_behind", std::string(32, 'B') + Bytes(absl::string_view("\x85\x00", 2)), "a number longer than");
  only("number_beyond_64_bits", std::string(32, 'B') + std::string(9, '\xff') + "\x7f", "a number beyond 64 bits");
  add("a_million_metadata", [](Parts& p) { p.metadata = Number(1'000'000); }, "1000000 pieces of metadata");
  add("metadata_twice", [](Parts& p) { p.metadata = absl::StrCat(Number(2), Text("k"), Text("1"), Text("k"), Text("2")); }, "metadata twice");
  add("metadata_without_value", [](Parts& p) { p.metadata = absl::StrCat(Number(1), Text("k"), Number(200'000)); }, "a text of 200000 bytes");
  add("entries_beyond_the_limit", [](Parts& p) { p.entry_count = Number(uint64_t{1} << 40); }, "1099511627776 entries, over the limit");
  add("entries_that_are_not_there", [](Parts& p) { p.entry_count = Number(3'000'000); }, "expected a byte, found its end");
  add("removed_beyond_the_limit", [](Parts& p) { p.removed = Number(uint64_t{1} << 40); }, "1099511627776 removed entries, over the limit");
  add("removed_that_are_not_there", [](Parts& p) { p.removed = Number(5); }, "expected a byte, found its end");
  add("removed_of_no_kind", [](Parts& p) { p.removed = absl::StrCat(Number(1), Byte(9), Name("v")); }, "unknown kind of entry");
  add("more_behind_the_index", [](Parts& p) { p.behind = "xyz"; }, "3 bytes behind its end");
}

void AddEntries(std::vector<CairnDiffAttack>& attacks) {
  const auto add = [&](std::string name, const std::function<void(Parts&)>& change, std::string message) {
    attacks.push_back({std::move(name), With(change), std::move(message)});
  };
  add("entry_of_no_kind", [](Parts& p) { p.kind = Byte(0); }, "unknown kind of entry 0");
  add("entry_of_kind_9", [](Parts& p) { p.kind = Byte(9); }, "unknown kind of entry 9");
  add("path_of_a_million_segments", [](Parts& p) { p.path = Number(1'000'000); }, "a path of 1000000 segments, over the limit");
  add("segment_of_no_kind", [](Parts& p) { p.path = absl::StrCat(Number(1), Byte(7), Text("w")); }, "unknown kind of segment 7");
  add("segment_of_5000_bytes", [](Parts& p) { p.path = Name(std::string(5000, 'n')); }, "a text of 5000 bytes, over the limit of 4096");
  add("dtype_0", [](Parts& p) { p.what = absl::StrCat(Byte(0), Number(1), Number(64)); }, "unknown dtype 0");
  add("dtype_200", [](Parts& p) { p.what = absl::StrCat(Byte(200), Number(1), Number(64)); }, "unknown dtype 200");
  add("rank_1000", [](Parts& p) { p.what = absl::StrCat(Byte(kUint8), Number(1000)); }, "a shape of rank 1000");
  add("extent_beyond_63_bits", [](Parts& p) { p.what = absl::StrCat(Byte(kUint8), Number(1), Number(UINT64_MAX)); }, "an extent beyond int64");
  add("shape_that_overflows", [](Parts& p) { p.what = absl::StrCat(Byte(kUint8), Number(2), Number(uint64_t{1} << 40), Number(uint64_t{1} << 40)); },
      "the diff is damaged");
  add("tensor_of_8_exbibytes", [](Parts& p) { p.what = absl::StrCat(Byte(kUint8), Number(1), Number(INT64_MAX)); },
      "8796093022208 pieces, more than bytes are left");
  add("base_of_no_kind", [](Parts& p) { p.base = Byte(3); }, "unknown kind of base 3");
  add("base_of_another_size", [](Parts& p) { p.base = absl::StrCat(Byte(kOtherShape), Number(1), Number(63)); }, "a base of another size");
  add("base_shape_that_overflows",
      [](Parts& p) { p.base = absl::StrCat(Byte(kOtherShape), Number(2), Number(uint64_t{1} << 62), Number(8)); }, "a base of another size");
  add("delta_longer_than_its_piece", [](Parts& p) { p.pieces[0] = 66; }, "a delta of 66 bytes for a piece of 64");
  add("delta_of_2_to_63", [](Parts& p) { p.pieces = Number(uint64_t{1} << 63) + p.pieces.substr(1); }, "a delta of 9223372036854775808 bytes");
  add("delta_that_leaves_the_file", [](Parts& p) { p.deltas.resize(64); }, "its deltas leave the file");
  add("bytes_that_are_no_delta", [](Parts& p) { p.deltas += "x"; }, "deltas end at 81, expected 82");
  add("same_as_no_base", [](Parts& p) { p.base = Byte(kNoBase), p.pieces = Number(0) + Piece(Target()), p.deltas = ""; },
      "a piece that is that of the base, of which there is none");
  add("asset_with_a_shape", [](Parts& p) { p.kind = Byte(kAsset), p.what = Number(64), p.base = absl::StrCat(Byte(kOtherShape), Number(1), Number(64)); },
      "a shape for what is no tensor");
  add("asset_of_2_to_64", [](Parts& p) { p.kind = Byte(kAsset), p.what = Number(UINT64_MAX); }, "pieces, more than bytes are left");
  const auto entry = [&](std::string name, uint8_t kind, const std::string& what, std::string message) {
    add(std::move(name), [&](Parts& p) {
          p.deltas = p.base = p.pieces = "";
          p.kind = Byte(kind), p.what = what;
        }, std::move(message));
  };
  entry("value_of_17_mib_that_is_not_there", kValue, Number(17u << 20), "a text of 17825792 bytes, of which there are");
  entry("value_of_no_kind", kValue, Text("\x63"), "the diff is damaged");
  entry("value_of_no_bytes", kValue, Text(""), "the diff is damaged");
  entry("alias_of_nothing", kAlias, Name("v"), "the diff is damaged");
  entry("alias_of_itself", kAlias, Name("w"), "the diff is damaged");
  add("the_same_entry_twice",
      [](Parts& p) { p.entry_count = Number(2), p.more_entries = absl::StrCat(p.kind, p.path, p.what, p.base, Number(0), Piece(CairnDiffAttackBase())); },
      "the diff is damaged");
  add("a_tensor_below_a_tensor", [](Parts& p) {
        p.entry_count = Number(2);
        p.more_entries = absl::StrCat(p.kind, Number(2), Byte(0), Text("w"), Byte(0), Text("x"), p.what) + absl::StrCat(p.base, Number(0), Piece(CairnDiffAttackBase()));
      },
      "the diff is damaged");
}

// The index is in order, and what it says is not true.
void AddPieces(std::vector<CairnDiffAttack>& attacks) {
  const auto add = [&](std::string name, const std::function<void(Parts&)>& change, std::string message) {
    attacks.push_back({std::move(name), With(change), std::move(message), true});
  };
  add("another_content_digest", [](Parts& p) { p.target_end = absl::StrCat(std::string(32, 'T'), Text("run@2")); },
      "the digests of its pieces do not make up the target's");
  add("another_base", [](Parts& p) { p.pieces = absl::StrCat(Number(65), Piece("other"), Piece(Target())); }, "made from another base: the bytes of its \"w\" from 0");
  add("base_of_another_shape", [](Parts& p) { p.base = absl::StrCat(Byte(kOtherShape), Number(2), Number(8), Number(8)); },
      "its \"w\" is uint8 [64], expected uint8 [8, 8]");
  add("another_target", [](Parts& p) { p.deltas.back() = 'c'; }, "what comes out has another digest");
  attacks.push_back({"delta_that_changes_nothing", WithDelta(Byte(0)), "what comes out has another digest", true});
  for (const DeltaAttack& attack : DeltaAttacks()) {
    if (attack.delta.size() > 65 || attack.delta.empty()) continue;  // Refused before.
    attacks.push_back({absl::StrCat("delta_", attack.name), WithDelta(attack.delta), attack.message, true});
  }
}

}  // namespace

std::string CairnDiffAttackBase() { return std::string(64, 'a'); }

std::vector<DeltaAttack> DeltaAttacks() {
  const auto raw = [](absl::string_view bytes) { return Bytes(bytes); };
  return {
      {"nothing", "", "no bytes"},
      {"of_no_mode", "\x05", "unknown mode 5"},
      {"same_and_more", raw(absl::string_view("\x00x", 2)), "behind its end"},
      {"raw_too_short", "\x04" "abc", "3 raw bytes, expected 64"},
      {"raw_too_long", "\x04" + std::string(65, 'b'), "65 raw bytes, expected 64"},
      {"without_unit", "\x02", "unit of 0 bytes"},
      {"unit_3", "\x02\x03", "unit of 3 bytes"},
      {"unit_255", "\x03\xff", "unit of 255 bytes"},
      {"cut_in_a_length", "\x03\x01\x80", "cut within a length"},
      {"length_beyond_its_end", "\x03\x01\xfc\x03", "of which there are 0"},
      {"length_of_2_to_63", "\x03\x01" + std::string(9, '\xff') + "\x01", "of which there are 0"},
      {"of_no_coding", "\x03\x01\x07x", "unknown coding 3"},
      {"short_raw_blob", "\x03\x01\x04x", "a blob of 1 bytes, expected 64"},
      {"repeat_of_two", "\x03\x01\x0axx", "a repeated byte of 2"},
      {"no_zstd", "\x03\x01\x11" "abcd", "no zstd frame of 64 bytes"},
      // A frame that says 2^40 bytes, and one that says nothing.
      {"zstd_of_a_tebibyte", raw(absl::string_view("\x03\x01\x3d\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\1\0\0\x01\0\0", 19)), "no zstd frame of 64 bytes"},
      {"zstd_of_no_size", raw(absl::string_view("\x03\x01\x25\x28\xb5\x2f\xfd\x00\x58\x01\0\0", 12)), "no zstd frame of 64 bytes"},
      {"no_changes", raw(absl::string_view("\x01\x02\x00\x00", 4)), "0 changed units"},
      {"too_many_changes", raw(absl::string_view("\x01\x02\x21\x21", 4)), "33 changed units of 32"},
      {"too_few_positions", raw(absl::string_view("\x01\x02\x02\x01", 4)), "1 bytes of positions"},
      {"too_many_positions", raw(absl::string_view("\x01\x02\x02\x09", 4)), "9 bytes of positions"},
      {"position_outside", raw(absl::string_view("\x01\x02\x01\x01\x04\x20\x06\x02\x06\x00", 10)), "lies outside"},
      {"position_that_wraps", raw(absl::string_view("\x01\x02\x02\x04\x10\x1f\xff\xff\x7f\x06\x02\x06\x00", 13)), "lies outside"},
      {"positions_left", raw(absl::string_view("\x01\x02\x01\x02\x08\x01\x01\x06\x02\x06\x00", 11)), "behind its positions"},
      {"more_behind", raw(absl::string_view("\x01\x02\x01\x01\x04\x02\x06\x02\x06\x00z", 11)), "1 bytes behind its end"},
  };
}

std::vector<CairnDiffAttack> CairnDiffAttacks() {
  std::vector<CairnDiffAttack> attacks = {{"good", FileOf({}), ""}};
  AddFiles(attacks);
  AddEnds(attacks);
  AddEntries(attacks);
  AddPieces(attacks);
  return attacks;
}

}  // namespace cairn::testing
