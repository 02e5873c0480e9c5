#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/base/digest.h"
#include "server/registry/registry.h"
#include "server/registry/sqlite_db.h"

// What sessions store: parts, their objects, and the extents that others may claim. Each function runs inside
// a transaction of its caller's and does what the Registry method of its name promises.
namespace cairn::sqlite {

absl::Status RecordPart(Connection& db, absl::string_view session_id, const SessionPart& part,
                        absl::Span<const NewExtent> extents, absl::Time now);
absl::StatusOr<std::vector<SessionPart>> ListParts(Connection& db, absl::string_view session_id,
                                                   std::optional<uint32_t> writer, uint64_t start,
                                                   size_t limit);
absl::StatusOr<uint64_t> CountParts(Connection& db, int64_t session);

using ExtentLocations = std::vector<std::optional<ExtentLocation>>;

// The answer to ClaimExtents if giving it needs no write: every object named in it is needed by the session
// already. Nothing otherwise. Reads alone.
absl::StatusOr<std::optional<ExtentLocations>> FindClaimedExtents(Connection& db,
                                                                  absl::string_view session_id,
                                                                  absl::Span<const Digest> digests);
absl::StatusOr<ExtentLocations> ClaimExtents(Connection& db, absl::string_view session_id,
                                             absl::Span<const Digest> digests);

// The same two for ClaimObjects.
absl::StatusOr<std::optional<std::vector<bool>>> FindClaimedObjects(Connection& db, absl::string_view session_id,
                                                                    absl::Span<const std::string> object_keys);
absl::StatusOr<std::vector<bool>> ClaimObjects(Connection& db, absl::string_view session_id,
                                               absl::Span<const std::string> object_keys);

}  // namespace cairn::sqlite
