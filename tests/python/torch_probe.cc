// What common/format/torch makes of files of torch.save, for test_pickle_differential.py. One request after another on the
// standard input, until its end: the length as 4 bytes (little-endian), a file. Each answer on the standard output: `+` or
// `-`, length, text. The text is an error, or a line for each entry, fields apart by tabs:
//
//   T PATH DTYPE SHAPE BYTES   a tensor; "-" for the bytes of one above a megabyte
//   V PATH VALUE               a value
//   A PATH PATH                an alias and its target
//   L PATH WHAT                what was left out
//
// A path is its segments apart by commas: "i7", or "s" and a string. Bytes and strings are in hexadecimal digits. A value is
// a letter for its kind and what it holds, items in parentheses: N, B1, I-7, F and C with bits in hexadecimal digits, S and
// Y (bytes) with such digits, L(I1 I2 ), T(...), D(SKEY VALUE ...), O for what is opaque.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <iostream>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/format/torch/torch_format.h"
#include "common/tensor/value.h"

namespace cairn {
namespace {

constexpr uint64_t kMostBytes = 1u << 20;

std::string PathText(const KeyPath& path) {
  return absl::StrJoin(path.segments(), ",", [](std::string* out, const KeyPath::Segment& segment) {
    if (const auto* const position = std::get_if<int64_t>(&segment)) {
      absl::StrAppend(out, "i", *position);
    } else {
      absl::StrAppend(out, "s", absl::BytesToHexString(std::get<std::string>(segment)));
    }
  });
}

std::string Bits(double number) { return absl::StrCat(absl::Hex(std::bit_cast<uint64_t>(number), absl::kZeroPad16)); }

void AppendValue(const Value& value, std::string* out) {
  switch (value.kind) {
    case Value::Kind::kNone:
      absl::StrAppend(out, "N ");
      return;
    case Value::Kind::kBool:
      absl::StrAppend(out, value.boolean ? "B1 " : "B0 ");
      return;
    case Value::Kind::kInt:
      absl::StrAppend(out, "I", value.integer, " ");
      return;
    case Value::Kind::kBigInt:
      absl::StrAppend(out, "I", value.text, " ");
      return;
    case Value::Kind::kFloat:
      absl::StrAppend(out, "F", Bits(value.number.real()), " ");
      return;
    case Value::Kind::kComplex:
      absl::StrAppend(out, "C", Bits(value.number.real()), Bits(value.number.imag()), " ");
      return;
    case Value::Kind::kString:
      absl::StrAppend(out, "S", absl::BytesToHexString(value.text), " ");
      return;
    case Value::Kind::kBytes:
      absl::StrAppend(out, "Y", absl::BytesToHexString(value.text), " ");
      return;
    case Value::Kind::kOpaque:
      absl::StrAppend(out, "O ");
      return;
    default:
      break;
  }
  absl::StrAppend(out, value.kind == Value::Kind::kList ? "L(" : value.kind == Value::Kind::kTuple ? "T(" : "D(");
  for (const Value& item : value.items) AppendValue(item, out);
  for (const auto& [key, item] : value.pairs) {
    AppendValue(key, out);
    AppendValue(item, out);
  }
  absl::StrAppend(out, ") ");
}

absl::StatusOr<std::string> Answer(std::string file) {
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointReader> reader, TorchFormat().Open(MemorySourceTree(std::move(file)), {}));
  std::string text;
  for (size_t i = 0; i < reader->index().entries.size(); ++i) {
    const Entry& entry = reader->index().entries[i];
    const std::string path = PathText(entry.path);
    if (entry.kind == EntryKind::kAlias) {
      absl::StrAppend(&text, "A\t", path, "\t", PathText(entry.target), "\n");
    } else if (entry.kind == EntryKind::kValue) {
      absl::StrAppend(&text, "V\t", path, "\t");
      AppendValue(entry.value, &text);
      absl::StrAppend(&text, "\n");
    } else {
      std::string bytes(std::min(entry.byte_size, kMostBytes), '\0');
      CAIRN_RETURN_IF_ERROR(reader->ReadAt(i, 0, absl::MakeSpan(bytes)));
      absl::StrAppend(&text, "T\t", path, "\t", DtypeName(entry.dtype), "\t", absl::StrJoin(entry.shape, ","), "\t",
                      entry.byte_size > kMostBytes ? "-" : absl::BytesToHexString(bytes), "\n");
    }
  }
  for (const LeftOut& left_out : reader->index().left_out) {
    absl::StrAppend(&text, "L\t", PathText(left_out.path), "\t", absl::BytesToHexString(left_out.what), "\n");
  }
  return text;
}

}  // namespace
}  // namespace cairn

int main() {
  std::ios::sync_with_stdio(false);
  char header[4];
  while (std::cin.read(header, sizeof(header))) {
    uint32_t size = 0;
    for (int i = 0; i < 4; ++i) size |= uint32_t{static_cast<unsigned char>(header[i])} << 8 * i;
    std::string file(size, '\0');
    if (!std::cin.read(file.data(), size)) return 2;
    const absl::StatusOr<std::string> answer = cairn::Answer(std::move(file));
    const std::string text = answer.ok() ? *answer : answer.status().ToString();
    std::cout.put(answer.ok() ? '+' : '-');
    for (int shift = 0; shift < 32; shift += 8) std::cout.put(static_cast<char>(text.size() >> shift));
    std::cout.write(text.data(), static_cast<std::streamsize>(text.size()));
    std::cout.flush();
  }
  return 0;
}
