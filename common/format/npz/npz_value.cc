#include "common/format/npz/npz_value.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr size_t kCharacterBytes = 4;

uint32_t CodePointAt(const std::string& bytes, size_t at, bool big_endian) {
  uint32_t code = 0;
  for (size_t i = 0; i < kCharacterBytes; ++i) {
    code = code << 8 | static_cast<unsigned char>(bytes[at + (big_endian ? i : kCharacterBytes - 1 - i)]);
  }
  return code;
}

void AppendUtf8(uint32_t code, std::string* out) {
  const auto tail = [&](int shift) { out->push_back(static_cast<char>(0x80 | (code >> shift & 0x3f))); };
  if (code < 0x80) {
    out->push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out->push_back(static_cast<char>(0xc0 | code >> 6));
    tail(0);
  } else if (code < 0x10000) {
    out->push_back(static_cast<char>(0xe0 | code >> 12));
    tail(6);
    tail(0);
  } else {
    out->push_back(static_cast<char>(0xf0 | code >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace

absl::StatusOr<Value> ReadNpyText(const ByteSource& file, const NpyHeader& header, uint64_t max_bytes) {
  if (header.byte_size > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.name(), ": a text of ", header.byte_size, " bytes, over the limit of ", max_bytes));
  }
  std::string bytes(header.byte_size, '\0');
  CAIRN_RETURN_IF_ERROR(file.ReadAt(header.data_offset, absl::MakeSpan(bytes)));
  if (header.kind == NpyHeader::Kind::kBytes) {
    bytes.resize(bytes.find_last_not_of('\0') + 1);
    return Value::Bytes(std::move(bytes));
  }
  std::string text;
  size_t end = 0;  // Of the text without the NULs behind it.
  for (size_t at = 0; at < bytes.size(); at += kCharacterBytes) {
    const uint32_t code = CodePointAt(bytes, at, header.big_endian);
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
      return absl::InvalidArgumentError(absl::StrFormat("%s: character %d of the text is 0x%x, which is no Unicode",
                                                        file.name(), at / kCharacterBytes, code));
    }
    AppendUtf8(code, &text);
    if (code != 0) end = text.size();
  }
  text.resize(end);
  return Value::String(std::move(text));
}

}  // namespace cairn
