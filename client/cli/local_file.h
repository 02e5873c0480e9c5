#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cairn/types.h"
#include "common/format/all_formats.h"
#include "common/format/format.h"

namespace cairn::cli {

// True for an argument that means a file: "PREFIX::PATH", a path that exists, or one that begins with "/", "./" or
// "../". Everything else is a ref.
bool IsFileArgument(const std::string& text);
// USAGE unless what is no file can be a ref.
absl::Status CheckRefArgument(const std::string& text);
// NOT_FOUND for a ref that could have been meant as a file, with a word on that. Any other status as it is.
absl::Status NorAFile(const absl::Status& status, const std::string& text);

struct OpenedFile {
  FileSpec spec;  // Its format is known.
  std::unique_ptr<CheckpointReader> reader;
};
// USAGE for an unknown prefix; bytes that are not what the format demands count as damage (exit_code.h).
absl::StatusOr<OpenedFile> OpenLocalFile(absl::string_view text);

// "ref::NAME@STEP", a checkpoint of the daemon, or "server::PATH" and "server::PREFIX::PATH", files on its machine.
// Nothing for what is a file here.
std::optional<client::ConvertPlace> DaemonPlace(absl::string_view text);

// Like ParseFileSpec, but its errors are the user's.
absl::StatusOr<FileSpec> ParseFileArgument(absl::string_view text);

// What tells one state of a file (or of the files of a folder) from another without reading it: absolute
// path, names, sizes, times of change. Of a file also what is read with it: all beside an index, configurations beside
// weights.
absl::StatusOr<std::string> FileIdentity(const std::string& path);

}  // namespace cairn::cli
