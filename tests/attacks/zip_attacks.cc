#include "tests/attacks/zip_attacks.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "tests/attacks/zip_files.h"

namespace cairn::testing {
namespace {

constexpr uint32_t kIn64 = 0xffffffff;

std::string Named(const std::string& name, uint16_t flags = 0) { return HandmadeZip({{.name = name, .flags = flags}}); }

// The directory in front of the entries that it describes.
std::string DirectoryFirst() {
  const std::string archive = HandmadeZip({{}});
  const size_t local = 30 + 1 + 7, directory = 46 + 1;
  std::string end = archive.substr(local + directory);
  end[16] = 0;  // The offset of the directory.
  std::string record = archive.substr(local, directory);
  record[42] = static_cast<char>(directory);  // The offset of the entry.
  return absl::StrCat(record, archive.substr(0, local), end);
}

}  // namespace

std::vector<ZipAttack> ZipDirectoryAttacks() {
  const std::string good = HandmadeZip({{}});
  return {
      // The end records.
      {"empty_file", "", "expected at least the 22"},
      {"one_byte", "P", "expected at least the 22"},
      {"text", std::string(100, 'x'), "no end record"},
      {"cut_by_a_byte", good.substr(0, good.size() - 1), "no end record"},
      {"byte_too_many", good + "x", "no end record"},
      {"comment_is_cut", HandmadeZip({{}}, {.comment = "abc", .comment_size = 4}), "no end record"},
      {"comment_is_longer", HandmadeZip({{}}, {.comment = "abc", .comment_size = 2}), "no end record"},
      {"bytes_in_front", absl::StrCat("xxxx", good), "bytes put in front"},
      {"directory_before_entries", DirectoryFirst(), "the directory ends at 47, but the end records begin at 85"},
      {"bytes_behind_the_directory", HandmadeZip({{}}, {.before = "xxxx"}), "the directory ends at"},
      {"last_disk_of_two", HandmadeZip({{}}, {.disk = 1}), "archive of one file"},
      {"second_disk", HandmadeZip({{}}, {.disk = 1, .directory_disk = 1}), "archive of one file"},
      {"some_entries_elsewhere", HandmadeZip({{}}, {.here = 0}), "several disks"},
      {"directory_leaves_file", HandmadeZip({{}}, {.offset = 1000}), "leaves the archive"},
      {"directory_covers_end", HandmadeZip({{}}, {.size = 60}), "leaves the archive"},
      {"one_entry_too_many", HandmadeZip({{}}, {.entries = 2}), "claims 2 entries"},
      {"all_entries_of_16_bits", HandmadeZip({{}}, {.entries = 0xffff}), "claims 65535 entries"},
      {"one_entry_too_few", HandmadeZip({{}, {.name = "b"}}, {.entries = 1}), "more than its 1 entries"},
      {"absurd_count", HandmadeZip({{}}, {.entries = 0xffff, .zip64 = true, .entries64 = uint64_t{1} << 62}),
       "claims 4611686018427387904 entries"},
      {"count_wraps", HandmadeZip({{}}, {.entries = 0xffff, .zip64 = true, .entries64 = ~uint64_t{0} / 46 + 2}),
       "entries"},
      {"offset_wraps", HandmadeZip({{}}, {.offset = kIn64, .zip64 = true, .offset64 = ~uint64_t{0} - 10}),
       "leaves the archive"},
      {"size_wraps", HandmadeZip({{}}, {.size = kIn64, .zip64 = true, .size64 = ~uint64_t{0}}), "leaves the archive"},
      {"end_records_disagree", HandmadeZip({{}}, {.zip64 = true, .entries64 = 0}), "contradict each other"},
      {"end_offsets_disagree", HandmadeZip({{}}, {.zip64 = true, .offset64 = 0}), "contradict each other"},
      {"locator_into_nothing", HandmadeZip({{}}, {.zip64 = true, .locator_offset = ~uint64_t{0}}), "does not fit"},
      {"locator_into_itself", HandmadeZip({{}}, {.zip64 = true, .locator_offset = 120}), "does not fit"},
      {"locator_elsewhere", HandmadeZip({{}}, {.zip64 = true, .locator_offset = 0}), "expected the zip64 end record"},
      {"zip64_signature", HandmadeZip({{}}, {.zip64 = true, .signature64 = 0}), "expected the zip64 end record"},
      {"zip64_record_size", HandmadeZip({{}}, {.zip64 = true, .record_size64 = 45}), "claims 45 bytes"},
      {"two_disks", HandmadeZip({{}}, {.zip64 = true, .locator_disks = 2}), "archive of one file"},
      {"zip64_disk", HandmadeZip({{}}, {.zip64 = true, .disk64 = 1}), "archive of one file"},
      // The directory.
      {"record_signature", HandmadeZip({{.signature = 0}}), "does not begin with 50 4b 01 02"},
      {"record_is_cut", HandmadeZip({}, {.inside = HandmadeZip({{}}).substr(38, 46), .entries = 1}), "is cut"},
      {"bytes_in_the_directory", HandmadeZip({{}}, {.inside = std::string(46, '\0'), .entries = 2}),
       "does not begin with"},
      {"extra_is_cut", HandmadeZip({{.extra = "ab"}}), "extra field is cut"},
      {"extra_leaves", HandmadeZip({{.extra = std::string("\x01\x00\x09\x00", 4)}}), "extra field is cut"},
      {"name_twice", HandmadeZip({{}, {}}), "two entries are named \"a\""},
      {"empty_name", Named(""), "the name is empty"},
      {"nul_in_name", Named(std::string("a\0b", 3)), "NUL byte"},
      {"absolute_name", Named("/etc/passwd"), "is absolute"},
      {"parent_name", Named("a/../../b"), "leaves its folder"},
      {"only_parent", Named(".."), "leaves its folder"},
      {"bad_utf8_name", Named("\xff", 1u << 11), "is said to be UTF-8"},
      {"long_name", Named(std::string(9000, 'n')), "over the limit of 8192"},
      {"encrypted", HandmadeZip({{.flags = 1}}), "is encrypted"},
      {"strongly_encrypted", HandmadeZip({{.flags = 1u << 6}}), "is encrypted"},
      {"masked", HandmadeZip({{.flags = 1u << 13}}), "is encrypted"},
      {"patch", HandmadeZip({{.flags = 1u << 5}}), "patch to another file"},
      {"entry_on_another_disk", HandmadeZip({{.disk = 3}}), "lies on disk 3"},
      {"stored_sizes_differ", HandmadeZip({{.size = 8}}), "its sizes differ"},
      {"size_left_to_nothing", HandmadeZip({{.size = kIn64, .stored_size = kIn64}}), "which lacks it"},
      {"offset_left_to_nothing",
       HandmadeZip({{.size = kIn64, .stored_size = kIn64, .offset = kIn64, .extra = Zip64Extra({7, 7})}}),
       "offset is left"},
      {"deflated_of_nothing", HandmadeZip({{.content = "ab", .method = 8, .size = 10'000}}),
       "more than deflate can make"},
      // Places.
      {"entry_leaves_archive", HandmadeZip({{.size = 1000, .stored_size = 1000}}), "reaches into"},
      {"entry_by_a_byte", HandmadeZip({{.size = 8, .stored_size = 8}}), "reaches into"},
      {"size_wraps_entry",
       HandmadeZip({{.size = kIn64, .stored_size = kIn64, .extra = Zip64Extra({~uint64_t{0}, ~uint64_t{0}})}}),
       "reaches into"},
      {"deflated_size_wraps",
       HandmadeZip({{.method = 8, .stored_size = kIn64, .extra = Zip64Extra({~uint64_t{0} - 38})}}), "reaches into"},
      {"offset_behind_directory", HandmadeZip({{.offset = 1000}}), "in front of the directory"},
      {"offset_wraps_entry", HandmadeZip({{.offset = kIn64, .extra = Zip64Extra({~uint64_t{0} - 3})}}),
       "in front of the directory"},
      {"entries_share_bytes", HandmadeZip({{}, {.name = "b", .offset = 0}}), "reaches into"},
      {"entries_overlap", HandmadeZip({{}, {.name = "b", .offset = 7}}), "reaches into"},
      // A kernel and headers that quote each other: each entry is the next with its header.
      {"quoted_headers", HandmadeZip({{.size = 45, .stored_size = 45}, {.name = "b"}}), "reaches into"},
  };
}

std::vector<ZipAttack> ZipEntryAttacks() {
  const std::string text(100'000, 't');
  HandmadeZipEntry deflated = DeflatedEntry("a", text);
  HandmadeZipEntry shorter = deflated, longer = deflated, tail = deflated, cut = deflated, wrong_crc = deflated,
                   garbage = deflated, empty = deflated;
  shorter.size = 99'999;
  longer.size = 100'001;
  tail.content += "x";
  cut.content.resize(cut.content.size() - 2);
  wrong_crc.crc = 1;
  garbage.content = std::string(200, '\xff');
  empty.content = "";
  empty.size = 500;  // No more than deflate could make of a byte.
  return {
      // The local header.
      {"local_signature", HandmadeZip({{.local_signature = 0}}), "expected its local header"},
      {"local_name", HandmadeZip({{.local_name = "b"}}), "another name"},
      {"local_name_is_longer", HandmadeZip({{.local_name = "ab"}}), "another name"},
      {"local_method", HandmadeZip({{.local_method = 8}}), "claims method 8"},
      {"local_size", HandmadeZip({{.local_size = 6}}), "claims 7 bytes of 6"},
      {"local_stored_size", HandmadeZip({{.local_stored_size = 1000}}), "claims 1000 bytes"},
      {"local_size_is_zero", HandmadeZip({{.local_size = 0, .local_stored_size = 0}}), "claims 0 bytes"},
      {"local_size_left_to_nothing", HandmadeZip({{.local_size = kIn64, .local_stored_size = kIn64}}),
       "claims 4294967295 bytes"},
      {"local_extra_is_cut", HandmadeZip({{.local_size = kIn64, .local_extra = "abc"}}), "extra field is cut"},
      {"local_crc", HandmadeZip({{.local_crc = 1}}), "claims CRC-32 00000001"},
      {"local_encryption", HandmadeZip({{.local_flags = 1}}), "is encrypted"},
      {"local_extra_leaves", HandmadeZip({{.local_extra_size = 0xffff}}), "reach into what begins"},
      {"local_extra_by_a_byte", HandmadeZip({{.local_extra_size = 1}, {.name = "b"}}), "reach into what begins"},
      // The content.
      {"method_bzip2", HandmadeZip({{.method = 12}}), "method 12 (bzip2)"},
      {"method_unknown", HandmadeZip({{.method = 77}}), "method 77"},
      {"wrong_crc", HandmadeZip({{.crc = 1}}), "it is damaged"},
      {"deflated_wrong_crc", HandmadeZip({wrong_crc}), "it is damaged"},
      {"deflated_shorter", HandmadeZip({shorter}), "inflates to more than the 99999 bytes"},
      {"deflated_longer", HandmadeZip({longer}), "inflates to 100000 bytes, expected 100001"},
      {"deflated_tail", HandmadeZip({tail}), "ends 1 bytes before the entry does"},
      {"deflated_cut", HandmadeZip({cut}), "ends in the middle"},
      {"deflated_garbage", HandmadeZip({garbage}), "damaged near"},
      {"deflated_empty", HandmadeZip({empty}), "ends in the middle"},
      {"deflated_nothing_of_nothing", HandmadeZip({{.content = "", .method = 8}}), "ends in the middle"},
  };
}

}  // namespace cairn::testing
