#include <cstdint>
#include <memory>
#include <string>

#include "common/format/lightning/lightning_format.h"
#include "tests/fuzz/read_entries.h"
#include "tests/testing/memory_folder.h"

// First corpus: `write_lightning_seeds`. The input is some files of a folder, or one without a name, which is read alone:
// whatever they say, they are opened within the limits, and what they say they have is read or refused, with all of the
// tree and the weights alone.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const auto source = cairn::testing::UnpackTree(std::string(reinterpret_cast<const char*>(bytes), size), "last.ckpt");
  (void)cairn::LightningFormat().Detect(*source);
  for (const char* const variant : {"", "lightning_weights"}) {
    const auto reader = cairn::LightningFormat().Open(source, {.limits = {.max_entries = 1000}, .variant = variant});
    if (!reader.ok()) continue;
    if ((*reader)->index().entries.size() > 1000 || !(*reader)->index().Check().ok()) __builtin_trap();
    cairn::testing::ReadEntries(**reader);
  }
  return 0;
}
