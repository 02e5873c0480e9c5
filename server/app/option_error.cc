#include "server/app/option_error.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/error_info.h"

namespace cairn {
namespace {

bool SameLetter(char a, char b) { return a == b || (a == '-' && b == '_') || (a == '_' && b == '-'); }

// Levenshtein's distance: how many letters must be put in, taken out or replaced.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (SameLetter(a[i], b[j]) ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

absl::Status BadOption(absl::string_view source, absl::string_view expected, absl::string_view found) {
  return WithErrorInfo(
      absl::InvalidArgumentError(absl::StrCat(source, ": expected ", expected, ", found ", found)),
      {"BAD_OPTION",
       {{"source", std::string(source)},
        {"expected", std::string(expected)},
        {"found", std::string(found)}}});
}

std::string DidYouMean(absl::string_view name, absl::Span<const std::string> known,
                       absl::string_view otherwise) {
  name = name.substr(0, 64);  // Names are short, and the work grows with the length.
  size_t best = std::max<size_t>(2, name.size() / 3) + 1;
  const std::string* nearest = nullptr;
  for (const std::string& candidate : known) {
    const size_t distance = EditDistance(name, candidate);
    if (distance < best) {
      best = distance;
      nearest = &candidate;
    }
  }
  return nearest == nullptr ? std::string(otherwise) : absl::StrCat("did you mean ", *nearest, "?");
}

}  // namespace cairn
