#include <cstdint>
#include <string>

#include "common/format/torch/torch_format.h"
#include "tests/fuzz/read_entries.h"

// First corpus: `write_torch_seeds`. Whatever a file says, it is opened within the limits, and what it says it has is read
// or refused.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string file(reinterpret_cast<const char*>(bytes), size);
  (void)cairn::TorchFormat().Detect(*cairn::MemorySourceTree(file));
  const auto reader = cairn::TorchFormat().Open(cairn::MemorySourceTree(file), {.limits = {.max_entries = 1000}});
  if (!reader.ok()) return 0;
  cairn::testing::ReadEntries(**reader);
  return 0;
}
