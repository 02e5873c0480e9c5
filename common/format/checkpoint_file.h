#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/cancellation.h"
#include "common/format/all_formats.h"
#include "common/format/format.h"

namespace cairn {

// Fills in the format of a source that names none, by its content.
absl::Status DetectFormatOf(FileSpec& source);

// How a checkpoint file is to be written.
struct TargetFileOptions {
  std::string format;  // Empty: by prefix or name.
  uint64_t max_shard_bytes = 0;
  uint32_t parts = 0;
  std::string separator = ".";
  bool drop_unsupported = false;
  bool overwrite = false;
  bool assets_beside = false;  // Of a target that is one file: into the folder in which it lies (assets_beside.h).
};

// Where a file goes and as what.
struct TargetFile {
  const Format* format = nullptr;
  WriteOptions options;
  std::string path;
  bool overwrite = false;
  bool assets_beside = false;
  // Not empty: what is written outlives an interruption, and the next run with the same identity goes on from it
  // (resumable_tree.h).
  std::string resume_identity = {};
  // Of that: how long another that writes there is waited for, unless cancelled.
  absl::Duration resume_wait = absl::ZeroDuration();
  Cancellation cancellation = {};
  // Told, in words, of what an interrupted run has left and nobody uses. May be null.
  std::function<void(const std::string&)> note = nullptr;
};
// INVALID_ARGUMENT for what does not fit together. The format comes from the options, the prefix, or the name:
// lit_model.pth is litgpt, *.safetensors is safetensors, *.msgpack is flax, *.npz is npz, *.pt, *.pth, *.bin and *.ckpt are torch, EasyLM's own names (streaming_params, streaming_train_state) are easylm,
// all others safetensors.
absl::StatusOr<TargetFile> ResolveTarget(const FileSpec& target, const TargetFileOptions& options);

// A name for all that decides about the bytes that will be written, to be a resume_identity: the version of this program, what
// the target has in it, and `parts`, which say what is read and what becomes of it on the way.
std::string ResumeIdentity(const TargetFile& target, const std::vector<std::string>& parts);

// Writes through temporary files; nothing is visible before the writer's Finish.
absl::StatusOr<std::unique_ptr<CheckpointWriter>> CreateTarget(const TargetFile& target);

// What float tensors become in a file of that format if nobody says anything: bfloat16 in EasyLM's, which hold nothing
// else; nothing: they are kept.
std::optional<Dtype> DefaultFloatDtype(const Format& format);

}  // namespace cairn
