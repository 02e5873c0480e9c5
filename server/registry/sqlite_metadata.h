#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/registry/sqlite_db.h"

// Metadata is one row per key, so that a filter need not look into an encoding.
namespace cairn::sqlite {

enum class MetadataOwner { kSession, kCheckpoint };

absl::StatusOr<std::map<std::string, std::string>> ReadMetadata(Connection& db, MetadataOwner kind,
                                                                int64_t owner);
absl::Status WriteMetadata(Connection& db, MetadataOwner kind, int64_t owner,
                           const std::map<std::string, std::string>& metadata);

}  // namespace cairn::sqlite
