#pragma once

#include <memory>

#include "server/store/object_store.h"

namespace cairn {

// Objects in memory, for tests. Whole objects are copied; nothing survives the store.
std::unique_ptr<ObjectStore> NewMemoryObjectStore();

}  // namespace cairn
