#include <cstdint>
#include <string>

#include "common/format/colossalai/colossalai_format.h"
#include "tests/fuzz/read_entries.h"

// First corpus: `write_colossalai_seeds`. Whatever a file says, it is opened within the limits, and what it says it has is
// read or refused, with states under ids and under names.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string file(reinterpret_cast<const char*>(bytes), size);
  (void)cairn::ColossalAiFormat().Detect(*cairn::MemorySourceTree(file));
  for (const char* const variant : {"", "colossalai_named"}) {
    const auto reader = cairn::ColossalAiFormat().Open(cairn::MemorySourceTree(file), {.limits = {.max_entries = 1000}, .variant = variant});
    if (!reader.ok()) continue;
    cairn::testing::ReadEntries(**reader);
  }
  return 0;
}
