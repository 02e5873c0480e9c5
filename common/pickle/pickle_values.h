#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/pickle/pickle_tree.h"
#include "common/pickle/pickle_writer.h"
#include "common/tensor/value.h"

namespace cairn {

// Between pickles and values: what is known to be plain becomes a Value, everything else an opaque one. This list is
// all that is ever interpreted:
//
//   None, bool, int, float, str, bytes, bytearray (as bytes), list, tuple, dict, complex
//   collections.OrderedDict and defaultdict (as dict), torch.Size (as tuple)
//   _codecs.encode(str, "latin1"), builtins.bytes(), builtins.bytearray(...), builtins.complex(re, im)
//   numpy scalars of bool, ints, floats, complex numbers, str and bytes (as those of Python)
//
// In a dict with equal keys the last one counts, at the place of the first, as in Python (1, 1.0 and True are equal).

// What Python would make a dict of: a kDict, an OrderedDict or a defaultdict, its effects included.
struct PickleMapping {
  std::vector<std::pair<PickleNodeId, PickleNodeId>> pairs;
  std::vector<PickleNodeId> states;  // Attributes: module state dicts have {"_metadata": ...}.
};
std::optional<PickleMapping> AsMapping(const PickleTree& tree, PickleNodeId node);

// What Python would make a list or tuple of: those, and torch.Size.
struct PickleSequence {
  bool is_tuple = false;
  absl::Span<const PickleNodeId> items;
};
std::optional<PickleSequence> AsSequence(const PickleTree& tree, PickleNodeId node);

// The bytes of a kBytes, kByteArray, Python-2 str, or of one of the calls above that make bytes.
std::optional<std::string> AsBytes(const PickleTree& tree, PickleNodeId node);
// An int of any size as decimal text. INVALID_ARGUMENT for more than 16 KiB of binary (some 39,000 digits).
absl::StatusOr<std::string> BigIntDecimal(const PickleTree& tree, PickleNodeId node);

struct PickleValueOptions {
  uint32_t max_depth = 60;                // Containers within containers; EncodeValue takes 64.
  uint64_t max_values = 1u << 20;         // Values within one value: beyond, it is opaque as a whole, which is smaller.
  uint64_t max_value_bytes = 16u << 20;   // Of the texts of one value, and of one opaque value.
  uint64_t max_total_bytes = 256u << 20;  // Of all that one PickleValues makes.
};

class PickleValues {
 public:
  // `tree` must outlive this.
  explicit PickleValues(const PickleTree& tree, const PickleValueOptions& options = {})
      : tree_(tree), options_(options) {}

  // The node as a value, in which whatever is not plain is of Value::Kind::kOpaque; and all of it is one such value if
  // it is cyclic, nested too deeply, or too big (also because of what it shares). FAILED_PRECONDITION, naming the
  // object, if persistent ids (tensors) are within something opaque: it cannot be carried. RESOURCE_EXHAUSTED beyond
  // the limits.
  absl::StatusOr<Value> ToValue(PickleNodeId node);

 private:
  absl::StatusOr<Value> Convert(PickleNodeId node, uint32_t depth);
  absl::StatusOr<Value> Opaque(PickleNodeId node);
  // False once a limit is passed.
  bool Charge(uint64_t values, uint64_t bytes);

  const PickleTree& tree_;
  const PickleValueOptions options_;
  std::optional<PicklePersistentIds> persistent_ids_;  // Once something is opaque.
  uint64_t total_ = 0;
  // Of the value that is being made.
  uint64_t values_ = 0;
  uint64_t bytes_ = 0;
  bool too_big_ = false;  // It has to be opaque as a whole.
};

// Writes the value as the writer's next one; an opaque value as what its pickle says, within the pickle that is
// written. INVALID_ARGUMENT for a mark of a container (length without items), a str that is no UTF-8, and an opaque
// value that is no pickle; otherwise as ReadPickle and WriteSubtree.
absl::Status WriteValue(const Value& value, PickleWriter& writer);

// What an opaque value is, for people: its class or function, and then what else it names: "argparse.Namespace",
// "functools.partial with torch.nn.init.normal_". "unreadable pickle" if it is none.
std::string DescribeOpaque(absl::string_view pickle);

}  // namespace cairn
