#include "server/registry/sqlite_metadata.h"

#include "common/base/status_macros.h"

namespace cairn::sqlite {

absl::StatusOr<std::map<std::string, std::string>> ReadMetadata(Connection& db, MetadataOwner kind,
                                                                int64_t owner) {
  CAIRN_ASSIGN_OR_RETURN(
      Statement select, db.Prepare(kind == MetadataOwner::kSession
                                       ? "SELECT key, value FROM session_metadata WHERE session = ?1"
                                       : "SELECT key, value FROM checkpoint_metadata WHERE checkpoint = ?1"));
  select.Bind(owner);
  std::map<std::string, std::string> metadata;
  for (;;) {
    CAIRN_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return metadata;
    metadata.emplace(select.Text(0), select.Text(1));
  }
}

absl::Status WriteMetadata(Connection& db, MetadataOwner kind, int64_t owner,
                           const std::map<std::string, std::string>& metadata) {
  CAIRN_ASSIGN_OR_RETURN(
      Statement insert,
      db.Prepare(kind == MetadataOwner::kSession
                     ? "INSERT INTO session_metadata (session, key, value) VALUES (?1, ?2, ?3)"
                     : "INSERT INTO checkpoint_metadata (checkpoint, key, value) VALUES (?1, ?2, ?3)"));
  for (const auto& [key, value] : metadata) CAIRN_RETURN_IF_ERROR(insert.Bind(owner, key, value).Run());
  return absl::OkStatus();
}

}  // namespace cairn::sqlite
