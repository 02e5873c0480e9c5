#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cairn/types.h"
#include "nanobind/nanobind.h"

namespace cairn::python {

// The class Entry of _native.pyi: one of a listing or of a load.
struct EntryRecord {
  Entry entry;
  uint64_t bytes = 0;
  std::optional<Box> box;    // Loads, tensors.
  std::vector<Box> shards;   // Listings.
  std::string digest;        // Listings.
};

double ToSeconds(absl::Time time);

// The plain data that calls return.
void BindRecords(nanobind::module_& module);

}  // namespace cairn::python
