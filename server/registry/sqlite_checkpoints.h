#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/registry/registry.h"
#include "server/registry/sqlite_db.h"

// Committed checkpoints, their tags and their pins. Each function runs inside a transaction of its caller's
// and does what the Registry method of its name promises.
namespace cairn::sqlite {

// The row id of name@step, unless deleted.
absl::StatusOr<std::optional<int64_t>> FindCheckpoint(Connection& db, absl::string_view name, int64_t step);
// Deleted ones too, as long as they are remembered. NOT_FOUND.
absl::StatusOr<CheckpointRow> ReadCheckpoint(Connection& db, absl::string_view uid);
// Marks it, and drops its tags.
absl::Status MarkDeleted(Connection& db, int64_t checkpoint, absl::Time now);

absl::StatusOr<CheckpointRow> GetCheckpoint(Connection& db, absl::string_view name,
                                            std::optional<int64_t> step, absl::string_view tag);
absl::StatusOr<CheckpointRow> GetCheckpointByUid(Connection& db, absl::string_view uid);
absl::StatusOr<CheckpointRow> GetCheckpointBelow(Connection& db, absl::string_view name, int64_t step);
absl::StatusOr<std::vector<CheckpointRow>> ListCheckpoints(Connection& db, const CheckpointFilter& filter,
                                                           absl::string_view after_name, int64_t after_step,
                                                           size_t limit);
absl::Status DeleteCheckpoint(Connection& db, absl::string_view uid, absl::Time now);

absl::Status SetTag(Connection& db, absl::string_view name, absl::string_view tag, absl::string_view uid,
                    const std::optional<std::string>& expected_uid);
absl::Status DeleteTag(Connection& db, absl::string_view name, absl::string_view tag);

absl::Status PinCheckpoint(Connection& db, absl::string_view uid, absl::string_view holder,
                           absl::Time expires_at);
absl::Status UnpinCheckpoint(Connection& db, absl::string_view uid, absl::string_view holder);

}  // namespace cairn::sqlite
