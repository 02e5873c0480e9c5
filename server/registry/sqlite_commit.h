#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/registry/registry.h"
#include "server/registry/sqlite_db.h"

namespace cairn::sqlite {

// What Registry::CommitSession promises, inside a write transaction of the caller's.
absl::StatusOr<CheckpointRow> CommitSession(Connection& db, absl::string_view session_id,
                                            const CheckpointRow& row, absl::Span<const std::string> objects,
                                            uint64_t part_count, absl::Time now);

}  // namespace cairn::sqlite
