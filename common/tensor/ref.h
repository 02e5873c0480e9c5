#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {

// Which checkpoint: NAME@STEP, NAME@TAG, NAME@latest, NAME (the same), or "uid:UID". At most one of the last three
// members is set; with none of them it is the latest step of the name.
struct Ref {
  std::string name;
  std::optional<int64_t> step;
  std::string tag;
  std::string uid;

  // INVALID_ARGUMENT that says what a ref looks like.
  static absl::StatusOr<Ref> Parse(absl::string_view text);
  std::string ToString() const;
};

// Slash-separated segments [A-Za-z0-9][A-Za-z0-9._-]*, 255 bytes in all. INVALID_ARGUMENT otherwise.
absl::Status CheckCheckpointName(absl::string_view name);

// [A-Za-z][A-Za-z0-9._-]*, 128 bytes, not "latest" (a tag never looks like a step). INVALID_ARGUMENT otherwise.
absl::Status CheckTagName(absl::string_view tag);

}  // namespace cairn
