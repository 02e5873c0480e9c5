#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cairn/client.h"
#include "client/cli/command_set.h"
#include "common/format/format.h"
#include "common/tensor/ref.h"

namespace cairn::cli {

// NAME@STEP to save under; USAGE for any other ref.
absl::StatusOr<Ref> ParseTargetRef(const std::string& text);

// "user@host", for a checkpoint's created_by.
std::string WhoIsThis();

struct SaveRefRequest {
  client::SaveSpec spec;
  // The session key was made from what is saved, so the same command finds its session again. One whose session was given up,
  // or whose checkpoint is gone, is spent: the next of its line is tried.
  bool derived_key = true;
  bool keep_session = false;  // When interrupted.
  std::string verb;           // "push": for the progress bar.
  CheckpointReader* base = nullptr;  // Holds what spec.parent does: only what is different is sent.
};

struct SavedRef {
  client::CheckpointInfo checkpoint;
  client::PutProgress progress;
  bool was_there = false;  // Saved before with this key; nothing was sent.
};

// Saves all of `source` as a checkpoint of the daemon, with a progress display. Goes on where an earlier save with the
// same key stopped.
absl::StatusOr<SavedRef> SaveToRef(CommandContext& context, const client::Client& client, SaveRefRequest request,
                                   CheckpointReader& source);

}  // namespace cairn::cli
