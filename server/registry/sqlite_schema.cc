#include "server/registry/sqlite_schema.h"

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace cairn::sqlite {
namespace {

// "Crn1", in the header of the file: what `file` and other programs can know it by. Never changes.
constexpr int64_t kApplicationId = 0x43726e31;

int64_t NewestVersion() { return static_cast<int64_t>(Migrations().size()); }

}  // namespace

absl::Status CheckSchema(Connection& connection) {
  CAIRN_ASSIGN_OR_RETURN(const int64_t application, connection.QueryInt("PRAGMA application_id"));
  CAIRN_ASSIGN_OR_RETURN(const int64_t version, connection.QueryInt("PRAGMA user_version"));
  CAIRN_ASSIGN_OR_RETURN(const int64_t tables, connection.QueryInt("SELECT count(*) FROM sqlite_schema"));
  const bool is_new = application == 0 && version == 0 && tables == 0;
  if (!is_new && application != kApplicationId) {
    return absl::FailedPreconditionError(absl::StrCat(
        "registry database ", connection.path(), ": a database of another program (application id ",
        application, ", expected ", kApplicationId, "); give another path"));
  }
  if (version > NewestVersion()) {
    return absl::FailedPreconditionError(
        absl::StrCat("registry database ", connection.path(), ": has schema version ", version,
                     ", this program knows versions up to ", NewestVersion(), "; upgrade the program"));
  }
  return absl::OkStatus();
}

absl::Status MigrateSchema(Connection& connection) {
  CAIRN_ASSIGN_OR_RETURN(const int64_t seen, connection.QueryInt("PRAGMA user_version"));
  if (seen == NewestVersion()) return absl::OkStatus();
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<Transaction> transaction,
                         Transaction::Begin(connection, Transaction::Kind::kWrite));
  // Under the lock, since somebody else may have been quicker.
  CAIRN_RETURN_IF_ERROR(CheckSchema(connection));
  CAIRN_ASSIGN_OR_RETURN(const int64_t version, connection.QueryInt("PRAGMA user_version"));
  for (int64_t next = version; next < NewestVersion(); ++next) {
    CAIRN_RETURN_IF_ERROR(connection.RunScript(std::string(Migrations()[next])));
  }
  CAIRN_RETURN_IF_ERROR(connection.RunScript(
      absl::StrCat("PRAGMA application_id = ", kApplicationId, "; PRAGMA user_version = ", NewestVersion())));
  return transaction->Commit();
}

}  // namespace cairn::sqlite
