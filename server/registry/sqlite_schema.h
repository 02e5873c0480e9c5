#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/registry/sqlite_db.h"

namespace cairn::sqlite {

// Migration N (from 1 on) is at N-1: what turns a database of version N-1 into one of version N. From
// schema/sqlite/.
absl::Span<const absl::string_view> Migrations();

// Refuses, with FAILED_PRECONDITION, a file that is not a registry or that a newer program wrote. Changes
// nothing. Call it inside a transaction: somebody else may be making the database at this moment.
absl::Status CheckSchema(Connection& connection);

// Brings the database to the newest version. Several processes may do so at once.
absl::Status MigrateSchema(Connection& connection);

}  // namespace cairn::sqlite
