#pragma once

#include "common/format/format.h"

namespace cairn {

// A diff file as a checkpoint that can be stored, tagged, carried and written again, not taken apart: one asset, the file,
// and metadata that says between what it lies. common/diff/ makes such files and recovers from them.
const Format& CairnDiffFormat();

// The metadata of a diff that is stored as a checkpoint.
inline constexpr char kDiffBaseKey[] = "cairn.diff.base";
inline constexpr char kDiffBaseDigestKey[] = "cairn.diff.base_digest";
inline constexpr char kDiffTargetKey[] = "cairn.diff.target";
inline constexpr char kDiffTargetDigestKey[] = "cairn.diff.target_digest";
inline constexpr char kDiffModeKey[] = "cairn.diff.mode";

}  // namespace cairn
