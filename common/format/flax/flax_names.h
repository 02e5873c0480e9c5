#pragma once

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace cairn {

// FORMAT.md, "Folder": the names that Hugging Face gives to the files of one checkpoint.
inline constexpr char kFlaxSuffix[] = ".msgpack";
inline constexpr char kFlaxStem[] = "flax_model";
inline constexpr char kFlaxLoneName[] = "flax_model.msgpack";
inline constexpr char kFlaxIndexName[] = "flax_model.msgpack.index.json";

inline bool IsFlaxFileName(absl::string_view name) {
  return absl::EndsWith(name, kFlaxSuffix) && !absl::StartsWith(name, ".");
}

}  // namespace cairn
