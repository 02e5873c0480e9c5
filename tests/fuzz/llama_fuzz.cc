#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "common/format/llama/llama_format.h"
#include "tests/testing/memory_folder.h"

// First corpus: `write_llama_seeds`. The input is some files of a folder: whatever they say, parts are joined within the
// limits, or refused.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  constexpr uint64_t kMostBytes = 1u << 16;
  using cairn::testing::MemoryFolder;
  const auto folder = std::make_shared<MemoryFolder>(cairn::testing::UnpackFiles(std::string(reinterpret_cast<const char*>(bytes), size)));
  (void)cairn::LlamaFormat().Detect(*folder);
  const auto reader = cairn::LlamaFormat().Open(folder, {.limits = {.max_entries = 1000}});
  if (!reader.ok()) return 0;
  for (size_t i = 0; i < (*reader)->index().entries.size(); ++i) {
    const uint64_t length = (*reader)->index().entries[i].byte_size;
    std::string read(std::min(length, kMostBytes), '\0');
    (void)(*reader)->ReadAt(i, 0, absl::MakeSpan(read));
    if (length > 0) (void)(*reader)->ReadAt(i, length - 1, absl::MakeSpan(read).subspan(0, 1));
  }
  return 0;
}
