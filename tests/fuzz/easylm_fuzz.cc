#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "common/format/easylm/easylm_format.h"
#include "common/io/file_tree.h"

// Any bytes are refused or read: an index that holds together, and tensors whose bytes lie in the file.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string file(reinterpret_cast<const char*>(bytes), size);
  const cairn::ReadLimits limits = {.max_header_bytes = 1 << 20, .max_entries = 1000, .max_depth = 16};
  cairn::EasyLmFormat().Detect(*cairn::MemorySourceTree(file));
  for (const char* variant : {"trainstate", "trainstate_params"}) {
    auto reader = cairn::EasyLmFormat().Open(cairn::MemorySourceTree(file), {.limits = limits, .variant = variant});
    if (!reader.ok()) continue;
    const cairn::CheckpointIndex& index = (*reader)->index();
    if (!index.Check().ok() || index.TotalBytes() > size) std::abort();
    for (size_t i = 0; i < index.entries.size(); ++i) {
      std::string read(index.entries[i].byte_size, '\0');
      if (!(*reader)->ReadAt(i, 0, absl::MakeSpan(read)).ok()) std::abort();
    }
  }
  return 0;
}
