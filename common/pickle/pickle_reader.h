#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/io/byte_source.h"
#include "common/pickle/pickle_tree.h"

namespace cairn {

// How much a pickle may ask for. What it says about its own lengths is never believed.
struct PickleLimits {
  uint64_t max_memory_bytes = 256u << 20;  // The tree, and what reading it takes.
  uint64_t max_text_bytes = 64u << 20;     // One str, bytes or number.
  uint32_t max_memo_index = 1u << 26;      // The biggest number under which an object may be remembered.
};

// Reads the pickle of any protocol (0 to 5) that begins at `offset` of the source, in windows, up to its STOP:
// tree.end_offset() is the byte after that, where legacy files of torch have the next one. Runs nothing, whatever the
// pickle says; takes memory and time in proportion to its bytes, and no stack.
//
// INVALID_ARGUMENT for what is no pickle or what CPython would refuse (unknown opcode, truncated, no such memo entry,
// an empty stack ...), with source, offset and opcode in the message; UNIMPLEMENTED for what only a running Python can
// know (extension codes, out-of-band buffers); RESOURCE_EXHAUSTED beyond the limits.
//
// Where CPython asks an object at run time, the tree does not: SETITEMS on anything but a dict, an object or a
// persistent id is INVALID_ARGUMENT, and so on.
absl::StatusOr<PickleTree> ReadPickle(const ByteSource& source, uint64_t offset, const PickleLimits& limits = {});
// The same of bytes in memory, from their first on. What follows the STOP is ignored.
absl::StatusOr<PickleTree> ReadPickle(absl::string_view bytes, absl::string_view name, const PickleLimits& limits = {});

}  // namespace cairn
