#include "common/tensor/ref.h"

#include <algorithm>

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

absl::Status BadRef(absl::string_view text, absl::string_view found) {
  return absl::InvalidArgumentError(absl::StrCat(
      "ref \"", text, "\": ", found, "; expected NAME@STEP, NAME@TAG, NAME@latest, NAME or uid:UID"));
}

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
  if (const absl::Status status = CheckCheckpointName(name); !status.ok())
    return BadRef(text, status.message());
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
  for (absl::string_view segment : absl::StrSplit(name, '/')) {
    if (!IsWord(segment) || !absl::ascii_isalnum(static_cast<unsigned char>(segment[0]))) {
      return absl::InvalidArgumentError(absl::StrCat(
          "checkpoint name \"", name, "\": expected segments joined with '/', each a letter or digit ",
          "followed by letters, digits, '.', '_' and '-'; found \"", segment, "\""));
    }
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
