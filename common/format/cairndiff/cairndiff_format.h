#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "common/io/byte_source.h"

namespace cairn {

// A diff file as a checkpoint that can be stored, tagged, carried and written again, not taken apart: one asset, the file,
// and metadata that says between what it lies. common/diff/ makes such files and recovers from them.
const Format& CairnDiffFormat();

// What CairnDiffFormat().Open() gives for this file.
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenDiffAsset(std::unique_ptr<ByteSource> file, const ReadLimits& limits);

// The metadata of a diff that is stored as a checkpoint.
inline constexpr char kDiffBaseKey[] = "cairn.diff.base";
inline constexpr char kDiffBaseDigestKey[] = "cairn.diff.base_digest";
inline constexpr char kDiffTargetKey[] = "cairn.diff.target";
inline constexpr char kDiffTargetDigestKey[] = "cairn.diff.target_digest";
inline constexpr char kDiffModeKey[] = "cairn.diff.mode";

}  // namespace cairn
