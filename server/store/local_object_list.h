#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/store/object_folders.h"
#include "server/store/object_store.h"

namespace cairn {

// ObjectStore::List() over the files below `objects`. What can be no object is passed over. Reads only the
// folders that may hold an answer; each of them whole, to sort it.
absl::StatusOr<std::vector<ObjectStore::ObjectInfo>> ListLocalObjects(const ObjectFolders& objects,
                                                                      absl::string_view prefix,
                                                                      absl::string_view start_after,
                                                                      size_t limit);

}  // namespace cairn
