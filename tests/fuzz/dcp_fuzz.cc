#include <cstdint>
#include <memory>
#include <string>

#include "common/format/dcp/dcp_format.h"
#include "tests/fuzz/read_entries.h"
#include "tests/testing/memory_folder.h"

// First corpus: `write_dcp_seeds`. The input is some files of a folder: whatever they say, tensors are assembled within
// the limits, or refused.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using cairn::testing::MemoryFolder;
  const auto folder = std::make_shared<MemoryFolder>(
      cairn::testing::UnpackFiles(std::string(reinterpret_cast<const char*>(bytes), size)));
  (void)cairn::DcpFormat().Detect(*folder);
  const auto reader = cairn::DcpFormat().Open(folder, {.limits = {.max_entries = 1000}});
  if (!reader.ok()) return 0;
  cairn::testing::ReadEntries(**reader);
  return 0;
}
