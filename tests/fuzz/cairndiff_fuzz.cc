#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "common/diff/recover_reader.h"
#include "common/format/cairndiff/cairndiff_format.h"
#include "common/io/memory_io.h"

namespace {

// Has whatever the diff asks its base for, of zeros.
class ZeroBase final : public cairn::CheckpointReader {
 public:
  explicit ZeroBase(const cairn::DiffFileIndex& diff) {
    for (const cairn::DiffFileEntry& entry : diff.entries) {
      index_.entries.push_back(entry.entry);
      if (entry.base_shape) index_.entries.back().shape = *entry.base_shape;
    }
  }
  const cairn::CheckpointIndex& index() const override { return index_; }
  absl::Status ReadAt(size_t, uint64_t, absl::Span<char> dst) override {
    std::fill(dst.begin(), dst.end(), '\0');
    return absl::OkStatus();
  }

 private:
  cairn::CheckpointIndex index_;
};

}  // namespace

// First corpus: tests/golden/cairndiff, and the files of tests/attacks.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  constexpr uint64_t kMostBytes = 1u << 20;
  const std::string file(reinterpret_cast<const char*>(bytes), size);
  cairn::ReadLimits limits;
  limits.max_entries = 1000;
  (void)cairn::CairnDiffFormat().Detect(*cairn::MemorySourceTree(file));
  const auto diff = cairn::ReadDiffFile(cairn::MemorySource(file), limits);
  if (!diff.ok()) return 0;
  ZeroBase base(*diff);
  const auto reader = cairn::RecoverReader::Open(base, std::make_unique<cairn::MemorySource>(file), limits, cairn::Cancellation());
  if (!reader.ok()) return 0;
  for (size_t i = 0; i < (*reader)->index().entries.size(); ++i) {
    std::string read(std::min((*reader)->index().entries[i].byte_size, kMostBytes), '\0');
    (void)(*reader)->ReadAt(i, 0, absl::MakeSpan(read));
  }
  return 0;
}
