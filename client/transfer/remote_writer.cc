#include "client/transfer/remote_writer.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"

namespace cairn::transfer {
namespace {

class ReaderBytes final : public client::EntryBytes {
 public:
  ReaderBytes(CheckpointReader& source, size_t entry) : source_(source), entry_(entry) {}
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) override {
    const absl::Status status = source_.ReadAt(entry_, offset, dst);
    if (status.ok()) return status;
    return Annotate(status, absl::StrCat("\"", source_.index().entries[entry_].path.ToString(), "\""));
  }

 private:
  CheckpointReader& source_;
  const size_t entry_;
};

absl::flat_hash_map<KeyPath, size_t> TensorsByPath(const CheckpointIndex& index) {
  absl::flat_hash_map<KeyPath, size_t> tensors;
  for (size_t i = 0; i < index.entries.size(); ++i) {
    if (index.entries[i].kind == EntryKind::kTensor) tensors.try_emplace(index.entries[i].path, i);
  }
  return tensors;
}

bool SameTensor(const Entry& a, const Entry& b) {
  return a.kind == EntryKind::kTensor && a.kind == b.kind && a.dtype == b.dtype && a.shape == b.shape;
}

}  // namespace

absl::Status PutCheckpoint(client::SaveWriter& save, CheckpointReader& source, CheckpointReader* base) {
  const std::vector<Entry>& entries = source.index().entries;
  std::vector<EntryRange> ranges;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].byte_size > 0) ranges.push_back({i, 0, entries[i].byte_size});
  }
  CAIRN_RETURN_IF_ERROR(source.WillRead(ranges));
  absl::flat_hash_map<KeyPath, size_t> based;
  if (base != nullptr) based = TensorsByPath(base->index());
  for (size_t i = 0; i < entries.size(); ++i) {
    std::shared_ptr<client::EntryBytes> bytes;
    if (entries[i].byte_size > 0) bytes = std::make_shared<ReaderBytes>(source, i);
    if (const auto it = based.find(entries[i].path); it != based.end() && bytes != nullptr) {
      if (SameTensor(entries[i], base->index().entries[it->second])) {
        bytes = client::EntryBytes::WithBase(std::move(bytes), std::make_shared<ReaderBytes>(*base, it->second));
      }
    }
    CAIRN_RETURN_IF_ERROR(save.Put(entries[i], std::move(bytes)));
  }
  return absl::OkStatus();
}

}  // namespace cairn::transfer
