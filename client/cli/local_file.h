#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cairn/types.h"
#include "client/cli/place.h"
#include "common/base/cancellation.h"
#include "common/format/all_formats.h"
#include "common/format/format.h"

namespace cairn::cli {

// True for an argument that means a file: "PREFIX::PATH", a URL, a path that exists, or one that begins with "/", "./" or
// "../". Everything else is a ref.
bool IsFileArgument(const std::string& text);
// USAGE unless what is no file can be a ref.
absl::Status CheckRefArgument(const std::string& text);
// NOT_FOUND for a ref that could have been meant as a file, with a word on that. Any other status as it is.
absl::Status NorAFile(const absl::Status& status, const std::string& text);

struct OpenedFile {
  FileSpec spec;  // Its format is known.
  OpenedPlace place;
  std::string shown;  // The path, or the URL without what may be secret.
  std::unique_ptr<CheckpointReader> reader;
};
// USAGE for an unknown prefix; bytes that are not what the format demands count as damage (exit_code.h).
absl::StatusOr<OpenedFile> OpenLocalFile(absl::string_view text, const Cancellation& cancellation = {});
// FileIdentity, or of a URL what its servers say of the files that were read until now.
absl::StatusOr<std::string> SourceIdentity(const OpenedFile& file);

// "ref::NAME@STEP", a checkpoint of the daemon, or "server::PATH" and "server::PREFIX::PATH", files on its machine.
// Nothing for what is a file here.
std::optional<client::ConvertPlace> DaemonPlace(absl::string_view text);

// Like ParseFileSpec, but its errors are the user's.
absl::StatusOr<FileSpec> ParseFileArgument(absl::string_view text);

// As of common/io/file_identity.h.
absl::StatusOr<std::string> FileIdentity(const std::string& path);

}  // namespace cairn::cli
