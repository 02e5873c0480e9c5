#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/registry/registry.h"
#include "server/registry/sqlite_db.h"

// What nothing needs any more, and who collects it. Each function runs inside a transaction of its caller's
// and does what the Registry method of its name promises.
namespace cairn::sqlite {

absl::StatusOr<uint64_t> PurgeDeleted(Connection& db, absl::Time now);

absl::StatusOr<Registry::GarbageForecast> ForecastGarbage(Connection& db, absl::Time now);

// What CondemnObjects gives, and the objects that it has to condemn for it. Reads alone.
struct GarbageSearch {
  std::vector<Registry::Garbage> garbage;
  std::vector<int64_t> not_condemned;  // Row ids of the last ones in `garbage`.
};
absl::StatusOr<GarbageSearch> FindGarbage(Connection& db, size_t limit);
// Condemns those of a search that still nothing needs, and drops the others from its garbage.
absl::StatusOr<std::vector<Registry::Garbage>> CondemnFound(Connection& db, GarbageSearch search);

absl::Status ForgetObjects(Connection& db, absl::Span<const std::string> object_keys);
absl::StatusOr<std::vector<bool>> KnowsObjects(Connection& db, absl::Span<const std::string> object_keys);

absl::StatusOr<bool> AcquireLease(Connection& db, absl::string_view lease, absl::string_view holder,
                                  absl::Time now, absl::Duration length);
absl::Status ReleaseLease(Connection& db, absl::string_view lease, absl::string_view holder);

absl::StatusOr<Registry::Totals> GetTotals(Connection& db);

}  // namespace cairn::sqlite
