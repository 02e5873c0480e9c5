#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "server/registry/registry.h"

namespace cairn {

// Calls `visit` with every part of a session (of one writer, if given) in order, a page at a time. Returns how many.
absl::StatusOr<uint64_t> ForEachPart(Registry& registry, const std::string& session_id, std::optional<uint32_t> writer,
                                     const std::function<absl::Status(const SessionPart&)>& visit);

}  // namespace cairn
