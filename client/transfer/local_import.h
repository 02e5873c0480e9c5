#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cairn/files.h"
#include "common/io/unique_fd.h"

namespace cairn::transfer {

// An import of a file or folder of this machine. What is listed is what the daemon may read: the one file (and, if it is
// a JSON file, which may be an index, the files beside it), or all regular files of the folder and its sub-folders.
// Links to files are followed, since the cache of Hugging Face is made of them; links to folders are not.
class LocalImport final : public client::ImportSource {
 public:
  // NOT_FOUND, PERMISSION_DENIED; INVALID_ARGUMENT for what is neither file nor folder, or has too many files.
  // `beside`: list the files beside a lone one in any case, for what a name map needs of them.
  static absl::StatusOr<std::unique_ptr<LocalImport>> Open(const std::string& path, bool beside = false);

  std::string name() const override { return name_; }
  const std::vector<client::ImportFile>& files() const override { return files_; }
  // FAILED_PRECONDITION for a file that is not the one that was listed, by its size and time of change.
  absl::Status ReadAt(uint32_t file, uint64_t offset, absl::Span<char> dst) override;

  // Tells one state of the files from another: paths, sizes, times of change.
  std::string Identity() const;

 private:
  struct State {
    std::string path;
    uint64_t size = 0;
    int64_t seconds = 0;  // Of the last change.
    int64_t nanoseconds = 0;
  };

  explicit LocalImport(std::string name) : name_(std::move(name)) {}
  // Adds the file if it is a regular one.
  void Add(std::string name, const std::string& path, bool beside);
  absl::Status AddFolder(const std::string& folder, bool beside);
  absl::StatusOr<int> OpenFile(uint32_t file);

  const std::string name_;
  std::vector<client::ImportFile> files_;
  std::vector<State> states_;  // By file.
  // Those that were read last, the latest in front.
  std::list<std::pair<uint32_t, UniqueFd>> open_;
};

}  // namespace cairn::transfer
