#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "cairn/client.h"
#include "client/cli/command_set.h"

namespace cairn::cli {

// A client for short calls. Nobody there is an error after a few seconds, so that a person is not left
// waiting.
absl::StatusOr<client::Client> Connect(const CommandContext& context);

// A client for long transfers, which survives a restart of the daemon. Finding nobody at first is an error as
// above.
absl::StatusOr<client::Client> ConnectForTransfer(const CommandContext& context);

// For what must still be said to the daemon after an interrupt: a few seconds, deaf to the interrupt.
absl::StatusOr<client::Client> ConnectForCleanup(const CommandContext& context);

// For completion while somebody types: one try, a second at most.
absl::StatusOr<client::Client> ConnectForCompletion(const CommandContext& context);

}  // namespace cairn::cli
