#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
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
  explicit KeyPath(std::vector<Segment> segments)
      : segments_(segments.empty() ? nullptr : std::make_shared<const std::vector<Segment>>(std::move(segments))) {}
  // All segments strings.
  static KeyPath Of(const std::vector<std::string>& segments);

  const std::vector<Segment>& segments() const { return segments_ == nullptr ? NoSegments() : *segments_; }
  bool empty() const { return segments_ == nullptr; }
  // Takes as long as the path is: who makes a long one collects its segments.
  void Append(Segment segment);

  // Segments joined with '/', so that Parse gives the same path back. A string segment is shown as it is, but for
  // these: '\' -> "\\", '/' -> "\/", a leading '[' -> "\[", a control character -> "\xHH", the empty string -> "\e".
  // An int segment is shown as "[7]". The root is "".
  std::string ToString() const;

  // Segments as they are with `separator` between them: a flat name, which does not say where the segments were.
  std::string Joined(absl::string_view separator) const;

  // INVALID_ARGUMENT for a bad escape or an empty segment.
  static absl::StatusOr<KeyPath> Parse(absl::string_view text);

  bool StartsWith(const KeyPath& prefix) const;

  bool operator==(const KeyPath& other) const { return segments_ == other.segments_ || segments() == other.segments(); }
  auto operator<=>(const KeyPath& other) const { return segments() <=> other.segments(); }

  template <typename H>
  friend H AbslHashValue(H h, const KeyPath& path) {
    return H::combine(std::move(h), path.segments());
  }

 private:
  static const std::vector<Segment>& NoSegments();

  // Shared by copies, of which a conversion makes several for each of 200,000 entries; never changed. Null: no segments.
  std::shared_ptr<const std::vector<Segment>> segments_;
};

// Matches a shown path against a glob over its segments: '*' any run of characters within a segment, '?' one
// character, '[abc]' a set ('[0-9a-f]' with ranges, '[!a]' all others), '**' any number of whole segments, none
// included. "params/**/kernel", "opt_state/*/mu/**". '\' takes the meaning away from '*', '?', '[' and '\', and
// from ']' and '-' in a set; the escapes of KeyPath::ToString mean what they mean there. Characters are those of UTF-8.
// A set must not begin a segment that is meant as an int: write the int segment as "\[7]" or "*". A whole segment
// "[12]" is both: the position 12, and the set.
class KeyGlob {
 public:
  // INVALID_ARGUMENT for a glob that cannot match anything (empty segment, unclosed set).
  static absl::StatusOr<KeyGlob> Parse(absl::string_view glob);
  bool Matches(const KeyPath& path) const;

 private:
  // One step of a segment's pattern.
  struct Step {
    enum class Kind { kOneOf, kAnyCharacter, kAnyRun };
    Kind kind = Kind::kOneOf;
    // Of kOneOf, a set or a plain character: from, to, both included.
    std::vector<std::pair<char32_t, char32_t>> ranges;
    bool negated = false;
    bool Takes(char32_t character) const;
  };
  struct GlobSegment {
    bool any_depth = false;           // "**".
    std::optional<int64_t> position;  // "[12]".
    std::vector<Step> steps;
    bool Matches(const KeyPath::Segment& segment) const;
  };
  static absl::StatusOr<GlobSegment> ParseSegment(absl::string_view text);

  std::vector<GlobSegment> segments_;
};

}  // namespace cairn
