#include "common/zip/zip_records.h"

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/utf8.h"

namespace cairn::zip {
namespace {

constexpr size_t kMaxShownBytes = 100;

template <size_t kBytes>
uint64_t Get(absl::string_view record, size_t at) {
  uint64_t value = 0;
  for (size_t i = kBytes; i-- > 0;) value = value << 8 | static_cast<unsigned char>(record[at + i]);
  return value;
}

template <size_t kBytes>
void Put(std::string* out, uint64_t value) {
  for (size_t i = 0; i < kBytes; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

}  // namespace

uint16_t Get16(absl::string_view record, size_t at) { return static_cast<uint16_t>(Get<2>(record, at)); }
uint32_t Get32(absl::string_view record, size_t at) { return static_cast<uint32_t>(Get<4>(record, at)); }
uint64_t Get64(absl::string_view record, size_t at) { return Get<8>(record, at); }

void Put16(std::string* out, uint64_t value) { Put<2>(out, value); }
void Put32(std::string* out, uint64_t value) { Put<4>(out, value); }
void Put64(std::string* out, uint64_t value) { Put<8>(out, value); }

absl::Status FindExtra(absl::string_view extra, uint16_t tag, absl::string_view* value) {
  *value = {};
  while (!extra.empty()) {
    if (extra.size() < 4 || extra.size() - 4 < Get16(extra, 2)) {
      return absl::InvalidArgumentError(absl::StrCat("its extra field is cut: ", extra.size(),
                                                     " bytes are left, expected ",
                                                     extra.size() < 4 ? 4 : 4 + Get16(extra, 2)));
    }
    const size_t size = Get16(extra, 2);
    if (Get16(extra, 0) == tag && value->data() == nullptr) *value = extra.substr(4, size);
    extra.remove_prefix(4 + size);
  }
  return absl::OkStatus();
}

absl::Status CheckName(absl::string_view name, bool utf8) {
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("the name ", NameForMessage(name), " ", why));
  };
  if (name.empty()) return absl::InvalidArgumentError("the name is empty");
  if (absl::StrContains(name, '\0')) return refuse("contains a NUL byte");
  if (name.front() == '/') return refuse("is absolute");
  for (const absl::string_view segment : absl::StrSplit(name, '/')) {
    if (segment == "..") return refuse("leaves its folder (\"..\")");
  }
  if (utf8 && !IsUtf8(name)) return refuse("is said to be UTF-8 and is not");
  return absl::OkStatus();
}

std::string NameForMessage(absl::string_view name) {
  const bool cut = name.size() > kMaxShownBytes;
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(name.substr(0, kMaxShownBytes)), cut ? "..." : "", "\"");
}

}  // namespace cairn::zip
