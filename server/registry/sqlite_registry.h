#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/registry/registry.h"

namespace cairn {

struct SqliteRegistryOptions {
  std::string
      path;  // Of the database file, on a local file system; made if there is none, in a folder that exists.
  bool durable =
      true;  // A commit that was answered survives a power failure; without, only the death of the process.
  absl::Duration busy_timeout = absl::Seconds(10);  // How long to wait for another process that writes.
};

// The registry of one host, in one file: no server to run. Several processes on the host may open it at once.
//
// INVALID_ARGUMENT     the path names no file
// PERMISSION_DENIED    the file cannot be made or written
// FAILED_PRECONDITION  the database is of a newer version, or not a registry
// DATA_LOSS            the file is no database, or damaged
absl::StatusOr<std::unique_ptr<Registry>> OpenSqliteRegistry(SqliteRegistryOptions options);

}  // namespace cairn
