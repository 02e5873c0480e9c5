#include "common/tensor/ref.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr size_t kMaxNameBytes = 255;
constexpr size_t kMaxTagBytes = 128;
constexpr size_t kMaxUidBytes = 128;
constexpr absl::string_view kUidPrefix = "uid:";

bool IsWordCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
}

bool IsWord(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsWordCharacter);
}

// A megabyte of text by mistake is no reason for a megabyte of message.
std::string Shown(absl::string_view text) {
  constexpr size_t kMost = 300;
  return text.size() <= kMost ? absl::StrCat("\"", text, "\"")
                              : absl::StrCat("\"", text.substr(0, kMost), "...\" of ", text.size(), " bytes");
}

absl::Status BadRef(absl::string_view text, absl::string_view found) {
  return absl::InvalidArgumentError(absl::StrCat(
      "ref ", Shown(text), ": ", found, "; expected NAME@STEP, NAME@TAG, NAME@latest, NAME or uid:UID"));
}

// The first segment of a name that is none.
std::optional<absl::string_view> BadSegment(absl::string_view name) {
  for (absl::string_view segment : absl::StrSplit(name, '/')) {
    if (!IsWord(segment) || !absl::ascii_isalnum(static_cast<unsigned char>(segment[0]))) return segment;
  }
  return std::nullopt;
}

// What somebody wrote who meant a step.
bool LooksLikeAStep(absl::string_view text) {
  const absl::string_view digits = text.substr(absl::StartsWith(text, "-") || absl::StartsWith(text, "+") ? 1 : 0);
  return !digits.empty() && absl::ascii_isdigit(static_cast<unsigned char>(digits[0]));
}

constexpr absl::string_view kSegmentRule = "a letter or digit followed by letters, digits, '.', '_' and '-'";

}  // namespace

absl::StatusOr<Ref> Ref::Parse(absl::string_view text) {
  Ref ref;
  if (absl::StartsWith(text, kUidPrefix)) {
    const absl::string_view uid = text.substr(kUidPrefix.size());
    if (!IsWord(uid) || uid.size() > kMaxUidBytes) return BadRef(text, "the part after \"uid:\" is no uid");
    ref.uid = std::string(uid);
    return ref;
  }
  const size_t at = text.find('@');
  const absl::string_view name = text.substr(0, at);
  if (text.empty()) return BadRef(text, "it is empty");
  if (const std::optional<absl::string_view> bad = BadSegment(name)) {
    return BadRef(text, absl::StrCat(Shown(*bad), " is no part of a name, which is ", kSegmentRule));
  }
  if (const absl::Status status = CheckCheckpointName(name); !status.ok()) return BadRef(text, status.message());
  ref.name = std::string(name);
  if (at == absl::string_view::npos) return ref;
  const absl::string_view version = text.substr(at + 1);
  if (version == "latest") return ref;
  if (!version.empty() && std::all_of(version.begin(), version.end(), absl::ascii_isdigit)) {
    int64_t step;
    if (!absl::SimpleAtoi(version, &step))
      return BadRef(text, "the step does not fit a signed 64-bit integer");
    ref.step = step;
    return ref;
  }
  if (version.empty()) return BadRef(text, "nothing follows the @");
  if (LooksLikeAStep(version)) {
    return BadRef(text, absl::StrCat("the step ", Shown(version), " is no whole number of 0 or more"));
  }
  if (const absl::Status status = CheckTagName(version); !status.ok()) return BadRef(text, status.message());
  ref.tag = std::string(version);
  return ref;
}

std::string Ref::ToString() const {
  if (!uid.empty()) return absl::StrCat(kUidPrefix, uid);
  if (step.has_value()) return absl::StrCat(name, "@", *step);
  return absl::StrCat(name, "@", tag.empty() ? "latest" : tag);
}

absl::Status CheckCheckpointName(absl::string_view name) {
  if (name.size() > kMaxNameBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("checkpoint name of ", name.size(), " bytes: expected at most ", kMaxNameBytes));
  }
  if (const std::optional<absl::string_view> bad = BadSegment(name)) {
    return absl::InvalidArgumentError(absl::StrCat("checkpoint name \"", name, "\": expected segments joined with '/', ",
                                                   "each ", kSegmentRule, "; found \"", *bad, "\""));
  }
  return absl::OkStatus();
}

absl::Status CheckTagName(absl::string_view tag) {
  if (tag.size() > kMaxTagBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("tag of ", tag.size(), " bytes: expected at most ", kMaxTagBytes));
  }
  if (tag == "latest") {
    return absl::InvalidArgumentError(
        "tag \"latest\": it is computed, the highest committed step; choose another name");
  }
  if (!IsWord(tag) || !absl::ascii_isalpha(static_cast<unsigned char>(tag[0]))) {
    return absl::InvalidArgumentError(
        absl::StrCat("tag \"", tag, "\": expected a letter followed by letters, digits, '.', '_' and '-'"));
  }
  return absl::OkStatus();
}

}  // namespace cairn
