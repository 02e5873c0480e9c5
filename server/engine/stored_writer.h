#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/format/format.h"
#include "server/engine/checkpoint_engine.h"

namespace cairn {

// A save of one writer as the target of a conversion: entries go into an open session, Finish() commits it.
//
// Entries of which the session has bytes already (a conversion that was interrupted, under the same session key) are
// continued where those end. An error leaves the session open until its lease is over, so that it can go on.
class StoredWriter final : public CheckpointWriter {
 public:
  // BeginSave with one writer. ALREADY_EXISTS and the like as CheckpointEngine::BeginSave says. `engine` outlives the
  // writer.
  static absl::StatusOr<std::unique_ptr<StoredWriter>> Create(CheckpointEngine& engine, SessionSpec spec);

  absl::StatusOr<std::vector<size_t>> Begin(const CheckpointIndex& index) override;
  absl::StatusOr<uint64_t> StartEntry(size_t entry) override;
  absl::Status Append(absl::string_view bytes) override;
  absl::Status FinishEntry() override;
  absl::Status Finish() override;

  // After Finish(); and at once, if an earlier attempt under the same session key got so far: then there is nothing
  // left to do.
  const std::optional<CheckpointRow>& committed() const { return committed_; }

 private:
  StoredWriter(CheckpointEngine& engine, Session session) : engine_(engine), session_(std::move(session)) {}

  // The entries without bytes that stand before `end`, in their places.
  absl::Status DeclareUpTo(size_t end);

  CheckpointEngine& engine_;
  const Session session_;
  std::optional<CheckpointRow> committed_;
  const CheckpointIndex* index_ = nullptr;
  std::unique_ptr<Upload> upload_;
  std::map<std::string, uint64_t> durable_;  // Bytes that earlier attempts left, by kind and path.
  size_t next_ = 0;                          // The first entry that was not declared.
  uint64_t offset_ = 0;                      // In the entry that is open.
};

}  // namespace cairn
