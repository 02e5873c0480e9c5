#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "common/format/format.h"
#include "server/engine/download.h"
#include "server/engine/entry_bytes.h"
#include "server/engine/extent_reader.h"

namespace cairn {

// A stored checkpoint as the source of a conversion. Every byte comes from an extent whose digest was checked.
class StoredReader final : public CheckpointReader {
 public:
  // `store` outlives the reader.
  StoredReader(std::shared_ptr<const OpenCheckpoint> checkpoint, ObjectStore& store, const DownloadOptions& options);

  const CheckpointRow& row() const { return checkpoint_->row; }
  const Manifest& manifest() const { return *checkpoint_->manifest; }  // Entries as in the index.
  const CheckpointIndex& index() const override { return index_; }
  absl::Status ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) override;

 private:
  const std::shared_ptr<const OpenCheckpoint> checkpoint_;
  CheckpointIndex index_;
  ExtentReader extents_;
  std::optional<size_t> open_entry_;  // The entry that was read last.
  std::unique_ptr<EntryBytes> open_;
};

}  // namespace cairn
