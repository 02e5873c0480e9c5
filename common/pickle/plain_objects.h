#pragma once

#include <optional>
#include <string>

#include "common/pickle/pickle_tree.h"
#include "common/tensor/value.h"

namespace cairn {

// Interpretations of single objects, besides those of pickle_values.h.

// A text that is the same for two keys only if Python would take them for one key of a dict. Nothing for keys that are
// never equal to another as far as we can tell: NaN, objects, containers of those.
std::optional<std::string> DictKeyIdentity(const PickleTree& tree, PickleNodeId node);

// builtins.complex(re, im).
std::optional<Value> AsComplex(const PickleTree& tree, PickleNodeId node);
// numpy.float64(0.5) and its like, as a value of Python.
std::optional<Value> AsNumpyScalar(const PickleTree& tree, PickleNodeId node);

}  // namespace cairn
