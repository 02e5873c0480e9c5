#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

// Files as Client::Export and Client::Import see them: the caller has them, the daemon makes and reads what is in them.
namespace cairn::client {

// Takes the files of an export, in the thread that calls it. Files are numbered in the order in which they begin, from
// 0; usually one is open at a time. An error ends the export with it.
class ExportTarget {
 public:
  virtual ~ExportTarget() = default;

  // What the daemon calls the target: the name of a file, by which a format is chosen where none is given, or with '/'
  // at its end that of a folder.
  virtual std::string name() const = 0;
  // Where a folder that is there is written over: the names of its files.
  virtual std::vector<std::string> existing_files() const { return {}; }

  // `name` comes from the daemon: whoever makes a path of it refuses what leads out of the folder. "": the target is this one
  // file.
  virtual absl::Status Begin(const std::string& name) = 0;
  // Adds bytes at the end of that file.
  virtual absl::Status Append(uint32_t file, absl::string_view bytes) = 0;
  virtual absl::Status Finish(uint32_t file) = 0;

  // All files are whole: now they may be seen.
  virtual absl::Status Commit() = 0;
  // Forgets everything; the export begins anew, with file 0.
  virtual absl::Status Restart() = 0;
};

struct ImportFile {
  std::string name;  // Within the folder, '/' between segments. "": the source is this one file.
  uint64_t size = 0;
  bool beside = false;  // In the folder in which the one file lies.
};

// Gives the files of an import, in the thread that calls it.
class ImportSource {
 public:
  virtual ~ImportSource() = default;

  // For messages.
  virtual std::string name() const = 0;
  // What the daemon may read: all of it, whatever it is. The same for the life of this object.
  virtual const std::vector<ImportFile>& files() const = 0;
  // Fills `dst` with bytes of a file, which lie within its size. A file that is no longer what it was when it was
  // listed is an error, which ends the import.
  virtual absl::Status ReadAt(uint32_t file, uint64_t offset, absl::Span<char> dst) = 0;
};

}  // namespace cairn::client
