#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cpp/src/put_window.h"
#include "client/cpp/src/upload_entry.h"
#include "common/base/buffer.h"

namespace cairn::client {

// The entry that a caller pushes, as the last one of a window: counts its bytes, and gathers small pieces, so that
// many of them do not make a message of many slices.
class EntryAppender {
 public:
  // Pieces are gathered up to `chunk_bytes`. `window` outlives the appender.
  EntryAppender(PutWindow* window, uint32_t chunk_bytes) : window_(*window), chunk_bytes_(chunk_bytes) {}

  // Null while no entry is being pushed.
  const UploadEntry* entry() const { return entry_; }
  // `entry` is the last one of the window.
  void Begin(const UploadEntry* entry);
  // OUT_OF_RANGE for more than the entry has. True if bytes went into the window.
  absl::StatusOr<bool> Append(Buffer bytes);
  // INVALID_ARGUMENT if bytes are missing: then the entry goes on.
  absl::Status Finish();

 private:
  void PushGathered();
  // The bytes that end at position_, less those that the daemon has.
  void Push(Buffer bytes);

  PutWindow& window_;
  const uint32_t chunk_bytes_;
  const UploadEntry* entry_ = nullptr;
  uint64_t position_ = 0;  // Bytes that were appended,
  std::string gathered_;   // and the last of them, not yet pushed.
};

}  // namespace cairn::client
