#include "common/convert/path_prefix.h"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

// The end of the whole segments: after the last '/' that no '\' takes its meaning from.
size_t EndOfSegments(absl::string_view text) {
  size_t end = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '/') {
      end = i + 1;
    }
  }
  return end;
}

}  // namespace

absl::StatusOr<PathPrefix> PathPrefix::Parse(absl::string_view text) {
  PathPrefix prefix;
  const size_t end = EndOfSegments(text);
  const auto parse = [&](absl::string_view part) -> absl::StatusOr<KeyPath> {
    absl::StatusOr<KeyPath> path = KeyPath::Parse(part);
    if (!path.ok()) return Annotate(path.status(), absl::StrCat("prefix \"", text, "\""));
    return path;
  };
  if (end > 0) {
    CAIRN_ASSIGN_OR_RETURN(prefix.above_, parse(text.substr(0, end - 1)));
    if (prefix.above_.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("prefix \"", text, "\": expected a name before the first \"/\""));
    }
  }
  if (end < text.size()) {
    CAIRN_ASSIGN_OR_RETURN(const KeyPath front, parse(text.substr(end)));
    const auto* segment = std::get_if<std::string>(&front.segments()[0]);
    if (segment == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("prefix \"", text, "\": a position cannot begin a name; end it in \"/\" to put entries below it"));
    }
    prefix.front_ = *segment;
  }
  return prefix;
}

absl::StatusOr<KeyPath> PathPrefix::AddTo(const KeyPath& path) const {
  KeyPath result = above_;
  for (size_t i = 0; i < path.segments().size(); ++i) {
    const KeyPath::Segment& segment = path.segments()[i];
    if (i > 0 || front_.empty()) {
      result.Append(segment);
      continue;
    }
    const auto* text = std::get_if<std::string>(&segment);
    if (text == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("prefix \"", front_, "\": \"", path.ToString(), "\" begins with a position; end the prefix in \"/\""));
    }
    result.Append(absl::StrCat(front_, *text));
  }
  return result;
}

std::optional<KeyPath> PathPrefix::TakeFrom(const KeyPath& path) const {
  if (!path.StartsWith(above_) || path.segments().size() <= above_.segments().size()) return std::nullopt;
  std::vector<KeyPath::Segment> segments(path.segments().begin() + static_cast<ptrdiff_t>(above_.segments().size()),
                                         path.segments().end());
  if (front_.empty()) return KeyPath(std::move(segments));
  auto* text = std::get_if<std::string>(&segments[0]);
  if (text == nullptr || !absl::StartsWith(*text, front_) || text->size() == front_.size()) return std::nullopt;
  text->erase(0, front_.size());
  return KeyPath(std::move(segments));
}

}  // namespace cairn
