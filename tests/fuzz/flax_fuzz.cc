#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "common/format/flax/flax_format.h"
#include "common/format/flax/flax_writer.h"
#include "common/io/file_tree.h"
#include "common/io/memory_io.h"

namespace {

// Throws away what is written.
class NoSink final : public cairn::SinkTree {
 public:
  const std::string& name() const override { return name_; }
  absl::StatusOr<std::unique_ptr<cairn::ByteSink>> Create(const std::string&) override {
    return std::make_unique<cairn::MemorySink>(&bytes_, name_);
  }
  absl::Status Commit() override { return absl::OkStatus(); }

 private:
  std::string bytes_;
  const std::string name_ = "sink";
};

}  // namespace

// Any bytes are refused or read: an index that holds together, tensors whose bytes lie in the file, and a tree that can
// be written again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string file(reinterpret_cast<const char*>(bytes), size);
  const cairn::ReadLimits limits = {.max_header_bytes = 1 << 20, .max_entries = 1000, .max_depth = 16};
  cairn::FlaxFormat().Detect(*cairn::MemorySourceTree(file));
  auto reader = cairn::FlaxFormat().Open(cairn::MemorySourceTree(file), {.limits = limits});
  if (!reader.ok()) return 0;
  const cairn::CheckpointIndex& index = (*reader)->index();
  if (!index.Check().ok() || index.TotalBytes() > size) std::abort();
  auto writer = cairn::CreateFlaxWriter(std::make_shared<NoSink>(), {.drop_unsupported = true});
  const auto order = writer->Begin(index);
  for (size_t i = 0; i < index.entries.size(); ++i) {
    std::string read(index.entries[i].byte_size, '\0');
    if (!(*reader)->ReadAt(i, 0, absl::MakeSpan(read)).ok()) std::abort();
    if (!order.ok() || std::find(order->begin(), order->end(), i) == order->end()) continue;
    if (!writer->StartEntry(i).ok() || !writer->Append(read).ok() || !writer->FinishEntry().ok()) std::abort();
  }
  if (order.ok() && !writer->Finish().ok()) std::abort();
  return 0;
}
