#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {

// Where an entry stands in the saved tree: from the root, one segment per level. A segment is a dict key (string) or
// a position (int: a list index or an integer key). A flat name such as "model.layers.0.weight" is one segment:
// nothing splits it unless the user asks.
class KeyPath {
 public:
  using Segment = std::variant<std::string, int64_t>;

  KeyPath() = default;
  explicit KeyPath(std::vector<Segment> segments) : segments_(std::move(segments)) {}
  // All segments strings.
  static KeyPath Of(const std::vector<std::string>& segments);

  const std::vector<Segment>& segments() const { return segments_; }
  bool empty() const { return segments_.empty(); }
  void Append(Segment segment) { segments_.push_back(std::move(segment)); }

  // Segments joined with '/', so that Parse gives the same path back. A string segment is shown as it is, but for
  // these: '\' -> "\\", '/' -> "\/", a leading '[' -> "\[", a control character -> "\xHH", the empty string -> "\e".
  // An int segment is shown as "[7]". The root is "".
  std::string ToString() const;

  // INVALID_ARGUMENT for a bad escape or an empty segment.
  static absl::StatusOr<KeyPath> Parse(absl::string_view text);

  bool StartsWith(const KeyPath& prefix) const;

  bool operator==(const KeyPath&) const = default;
  auto operator<=>(const KeyPath&) const = default;

  template <typename H>
  friend H AbslHashValue(H h, const KeyPath& path) {
    return H::combine(std::move(h), path.segments_);
  }

 private:
  std::vector<Segment> segments_;
};

// Matches a shown path against a glob over its segments: '*' any run of characters within a segment, '?' one
// character, '[abc]' a set, '**' any number of whole segments. "params/**/kernel", "opt_state/*/mu/**".
// A set must not begin a segment that is meant as an int: write the int segment as "\[7]" or "*".
class KeyGlob {
 public:
  // INVALID_ARGUMENT for a glob that cannot match anything (empty segment, unclosed set).
  static absl::StatusOr<KeyGlob> Parse(absl::string_view glob);
  bool Matches(const KeyPath& path) const;

 private:
  std::vector<std::string> segments_;
};

}  // namespace cairn
