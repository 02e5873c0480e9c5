#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cairn {

// ErrnoStatus() for the store's own files, with what the operator can do about it. ENOENT is INTERNAL here,
// since NOT_FOUND means "no such object": where a missing file has that meaning, the caller says so before it
// comes here.
absl::Status StoreErrno(int error, absl::string_view what, absl::string_view path);

}  // namespace cairn
