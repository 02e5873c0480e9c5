#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/tensor/key_path.h"

namespace cairn {

// A text in front of shown paths: "model." continues in the first segment of a name, "params/" is a segment of its own.
class PathPrefix {
 public:
  PathPrefix() = default;
  // INVALID_ARGUMENT for what is no beginning of a shown path.
  static absl::StatusOr<PathPrefix> Parse(absl::string_view text);

  bool empty() const { return above_.empty() && front_.empty(); }
  // INVALID_ARGUMENT for a path whose first segment is a position, where the prefix would continue in it.
  absl::StatusOr<KeyPath> AddTo(const KeyPath& path) const;
  // Nothing if the path does not begin so, or nothing would be left.
  std::optional<KeyPath> TakeFrom(const KeyPath& path) const;

 private:
  KeyPath above_;      // Whole segments,
  std::string front_;  // and the beginning of the next one.
};

}  // namespace cairn
