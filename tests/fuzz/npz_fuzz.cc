#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "common/format/npz/npz_format.h"
#include "common/io/memory_io.h"
#include "common/zip/zip_reader.h"
#include "tests/fuzz/read_entries.h"

// First corpus: `write_npz_seeds`. Archives are taken apart as zip and as npz; what is stored lies inside the archive,
// and what is deflated comes in the declared length or not at all.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  constexpr uint64_t kMostBytes = 1u << 20;
  const std::string file(reinterpret_cast<const char*>(bytes), size);
  (void)cairn::PeekZipNames(cairn::MemorySource(file));
  (void)cairn::NpzFormat().Detect(*cairn::MemorySourceTree(file));
  const auto zip = cairn::ZipReader::Open(std::make_shared<cairn::MemorySource>(file), {.max_entries = 1000});
  if (!zip.ok()) return 0;
  for (size_t i = 0; i < (*zip)->entries().size(); ++i) {
    const cairn::ZipEntry& entry = (*zip)->entries()[i];
    if (entry.stored_size > size) std::abort();
    const auto content = (*zip)->ReadEntry(i, kMostBytes);
    if (content.ok() && content->size() != entry.size) std::abort();
  }
  const auto reader = cairn::NpzFormat().Open(cairn::MemorySourceTree(file), {.limits = {.max_entries = 1000}});
  if (!reader.ok()) return 0;
  cairn::testing::ReadEntries(**reader, kMostBytes);
  return 0;
}
