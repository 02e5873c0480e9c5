#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/io/byte_sink.h"
#include "common/io/byte_source.h"

namespace cairn {

// What lies at a path, for messages: "a file", "a folder", "a device", "a pipe", "a socket".
absl::string_view KindOfFile(mode_t mode);

struct FileSourceOptions {
  // If not empty, a folder (canonical: absolute, without links) in which the file must lie once all links have been
  // followed; PERMISSION_DENIED otherwise. Looked at after the file is open: nobody can change the answer meanwhile.
  std::string confined_to = {};
};

// Opens a regular file for reading. NOT_FOUND, PERMISSION_DENIED; INVALID_ARGUMENT for a directory, a pipe, ...
absl::StatusOr<std::unique_ptr<ByteSource>> OpenFileSource(const std::string& path, const FileSourceOptions& options = {});

// Is `path` that folder or below it? Both canonical.
bool IsWithin(absl::string_view path, absl::string_view folder);

struct FileSinkOptions {
  // Replace an existing file (atomically, at Close). ALREADY_EXISTS otherwise, both at once and at Close. What is there
  // and no regular file, such as /dev/null, is never replaced: INVALID_ARGUMENT.
  bool overwrite = false;
  // fsync file and folder in Close().
  bool durable = true;
  // Where the temporary file lies, on the same file system; empty: beside the path.
  std::string temporary_folder = {};
};

// Writes `path` through a temporary file beside it, which is renamed by Close(). A process that is killed leaves
// at most a file named ".NAME.cairn-tmp-XXXXXX".
absl::StatusOr<std::unique_ptr<ByteSink>> CreateFileSink(const std::string& path, FileSinkOptions options = {});

// A name for what is not finished yet: "FOLDER/.NAME.cairn-tmp-XXXXXX", the last six characters random. Create it
// exclusively, and ask again if it exists. (mkstemp would do, but for its mode 0600: to read the umask is to change
// it for all threads.)
std::string TemporaryPath(const std::string& folder, absl::string_view name);

// The whole of a small file. RESOURCE_EXHAUSTED if it has more than `max_bytes`.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, uint64_t max_bytes);

// The status for a failed system call: "`what` `path`: strerror" under the canonical code that a caller can act
// on. ENOSPC, EDQUOT -> RESOURCE_EXHAUSTED; EACCES, EPERM, EROFS -> PERMISSION_DENIED; ENOENT -> NOT_FOUND;
// EEXIST -> ALREADY_EXISTS; EMFILE, ENFILE -> RESOURCE_EXHAUSTED; EIO -> DATA_LOSS; others -> INTERNAL.
absl::Status ErrnoStatus(int error, absl::string_view what, absl::string_view path);

// fsync of a folder, after a rename into it.
absl::Status SyncDirectory(const std::string& path);

}  // namespace cairn
