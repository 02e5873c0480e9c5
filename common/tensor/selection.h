#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/tensor/key_path.h"

namespace cairn {

// Which entries of a checkpoint. Empty: all of them.
//
// A pattern is a shown key path. With '*' or '?' in it, or a set, it is a glob over segments (KeyGlob); ending in
// '/' it is a prefix (everything below); otherwise it is that entry, or everything below it if it is no entry.
// A pattern that begins with '!' takes away from what the ones before it chose (if it is the first: from all).
class Selection {
 public:
  Selection() = default;
  // INVALID_ARGUMENT for a pattern that does not parse.
  static absl::StatusOr<Selection> Parse(absl::Span<const std::string> patterns);

  bool Matches(const KeyPath& path) const;
  bool empty() const { return rules_.empty(); }

  // Patterns that begin without '!' and match none of `paths`: almost always a typing error, so callers refuse.
  std::vector<std::string> Unmatched(absl::Span<const KeyPath* const> paths) const;

 private:
  struct Rule {
    bool exclude = false;
    bool is_glob = false;
    bool below_only = false;  // Ended in a slash.
    KeyPath prefix;
    KeyGlob glob;       // If is_glob; `prefix` otherwise.
    std::string text;
    bool Matches(const KeyPath& path) const;
  };
  std::vector<Rule> rules_;
};

}  // namespace cairn
