#pragma once

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace cairn {

// The names that Hugging Face gives to files of torch.save.
inline constexpr char kTorchShardSuffix[] = ".bin";
inline constexpr char kTorchShardStem[] = "pytorch_model";
inline constexpr char kTorchLoneName[] = "pytorch_model.bin";
inline constexpr char kTorchIndexName[] = "pytorch_model.bin.index.json";

// A name that files of torch.save have. What is inside decides.
inline bool IsTorchName(absl::string_view name) {
  if (absl::StartsWith(name, ".")) return false;
  return absl::EndsWith(name, ".bin") || absl::EndsWith(name, ".pt") || absl::EndsWith(name, ".pth") || absl::EndsWith(name, ".ckpt");
}

}  // namespace cairn
