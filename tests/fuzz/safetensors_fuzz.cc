#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/format/safetensors/safetensors_format.h"
#include "common/format/safetensors/safetensors_header.h"
#include "common/format/safetensors/safetensors_index.h"
#include "common/io/memory_io.h"

// First corpus: `write_safetensors_seeds`. A header that is taken covers the file exactly, and is taken again
// when it is written anew.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string file(reinterpret_cast<const char*>(bytes), size);
  const cairn::ReadLimits limits{.max_entries = 10'000, .max_files = 100};
  (void)cairn::ReadWeightIndex(cairn::MemorySource(file), limits);
  (void)cairn::SafetensorsFormat().Detect(*cairn::MemorySourceTree(file));

  const auto reader = cairn::SafetensorsFormat().Open(cairn::MemorySourceTree(file), {.limits = limits});
  if (!reader.ok()) return 0;
  uint64_t total = 0;
  for (size_t i = 0; i < (*reader)->index().entries.size(); ++i) {
    const uint64_t length = (*reader)->index().entries[i].byte_size;
    if (length > size) std::abort();
    std::string read(length, '\0');
    if (!(*reader)->ReadAt(i, 0, absl::MakeSpan(read)).ok()) std::abort();
    total += length;
  }
  auto header = cairn::ReadSafetensorsHeader(cairn::MemorySource(file), limits);
  if (!header.ok() || header->data_offset + total != size) std::abort();
  const auto text = cairn::SerializeSafetensorsHeader(header->metadata, header->tensors);
  if (!text.ok()) std::abort();
  const auto again =
      cairn::ReadSafetensorsHeader(cairn::MemorySource(*text + std::string(total, '\0')), limits);
  if (!again.ok() || again->tensors.size() != header->tensors.size()) std::abort();
  return 0;
}
