#pragma once

#include <string>

#include "server/engine/stored_entry.h"

namespace cairn {

// Hex digest over the digests of an entry's extents and its shards' boxes: equal ones mean equal bytes, if dtype and shape are
// equal too; others may mean no more than that it was saved in other pieces. Empty for what has no bytes of its own.
std::string EntryDigest(const StoredEntry& entry);

}  // namespace cairn
