#include <algorithm>
#include <cstdint>
#include <string>

#include "common/format/colossalai/colossalai_format.h"

// First corpus: `write_colossalai_seeds`. Whatever a file says, it is opened within the limits, and what it says it has is
// read or refused, with states under ids and under names.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  constexpr uint64_t kMostBytes = 1u << 16;
  const std::string file(reinterpret_cast<const char*>(bytes), size);
  (void)cairn::ColossalAiFormat().Detect(*cairn::MemorySourceTree(file));
  for (const char* const variant : {"", "colossalai_named"}) {
    const auto reader = cairn::ColossalAiFormat().Open(cairn::MemorySourceTree(file), {.limits = {.max_entries = 1000}, .variant = variant});
    if (!reader.ok()) continue;
    for (size_t i = 0; i < (*reader)->index().entries.size(); ++i) {
      const uint64_t length = (*reader)->index().entries[i].byte_size;
      std::string read(std::min(length, kMostBytes), '\0');
      (void)(*reader)->ReadAt(i, 0, absl::MakeSpan(read));
      if (length > 0) (void)(*reader)->ReadAt(i, length - 1, absl::MakeSpan(read).subspan(0, 1));
    }
  }
  return 0;
}
