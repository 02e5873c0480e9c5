#pragma once

namespace cairn {

// The prefix "lightning_weights::" means the state dict alone, as a tree of its own.
inline constexpr char kLightningWeightsVariant[] = "lightning_weights";

// Keys of a Trainer's checkpoint.
inline constexpr char kLightningStateDict[] = "state_dict";
inline constexpr char kLightningVersion[] = "pytorch-lightning_version";
inline constexpr char kLightningEpoch[] = "epoch";
inline constexpr char kLightningStep[] = "global_step";

}  // namespace cairn
