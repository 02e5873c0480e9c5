#include "server/service/page_token.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace cairn {

std::string MakePageToken(const std::vector<std::string>& fields) {
  return absl::WebSafeBase64Escape(absl::StrJoin(fields, "\n"));
}

absl::StatusOr<std::vector<std::string>> ParsePageToken(absl::string_view token, size_t fields) {
  std::string text;
  if (absl::WebSafeBase64Unescape(token, &text)) {
    std::vector<std::string> parts = absl::StrSplit(text, '\n');
    if (parts.size() == fields) return parts;
  }
  return absl::InvalidArgumentError("page_token: not a token of this listing; begin again without one");
}

absl::StatusOr<size_t> PageSize(int32_t asked, size_t usual, size_t most) {
  if (asked < 0) return absl::InvalidArgumentError(absl::StrCat("page_size ", asked, ": expected 0 or more"));
  return asked == 0 ? usual : std::min(most, static_cast<size_t>(asked));
}

}  // namespace cairn
