#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/pickle/pickle_tree.h"
#include "common/pickle/pickle_writer.h"

namespace cairn {

// Writes what the node says as the writer's next value, with everything that it leads to: shared objects stay shared,
// cycles stay cycles, calls stay calls that nobody has made. Takes no stack, whatever the depth.
// FAILED_PRECONDITION, naming the object, if a persistent id is in it: its bytes are elsewhere, so that the copy would
// not be whole. Errors of the writer as they are.
absl::Status WriteSubtree(const PickleTree& tree, PickleNodeId node, PickleWriter& writer);

// The same as a pickle of its own, RESOURCE_EXHAUSTED beyond `max_bytes`.
absl::StatusOr<std::string> SubtreeAsPickle(const PickleTree& tree, PickleNodeId node, uint64_t max_bytes,
                                            int protocol = 2);

}  // namespace cairn
