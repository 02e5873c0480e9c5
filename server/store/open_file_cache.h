#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/io/unique_fd.h"

namespace cairn {

// An object's file, open for reading. It stays readable while someone holds it, whatever happens to its name.
struct OpenFile {
  UniqueFd fd;
  uint64_t size = 0;  // When it was opened.
  UniqueFd direct;    // The same file, to be read past the page cache; none where that cannot be.
};

// The files that were read last, by key, so that a checkpoint read in many ranges is not opened as many
// times. Thread-safe. Files are closed outside the lock, since closing the last link of a large file takes
// time.
class OpenFileCache {
 public:
  explicit OpenFileCache(size_t capacity) : capacity_(capacity) {}

  struct Found {
    std::shared_ptr<const OpenFile> file;  // Null if there is none.
    uint64_t epoch = 0;                    // For Insert().
  };
  Found Find(absl::string_view key) ABSL_LOCKS_EXCLUDED(mu_);

  // Keeps `file`, unless something was erased since the Find() that gave `epoch`: then the file may be one
  // whose object is deleted, which must not come back.
  void Insert(absl::string_view key, std::shared_ptr<const OpenFile> file, uint64_t epoch)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Forgets the file of an object. To be called after its name is gone.
  void Erase(absl::string_view key) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const OpenFile> file;
  };

  const size_t capacity_;
  absl::Mutex mu_;
  std::list<Entry> by_use_ ABSL_GUARDED_BY(mu_);  // The last used first.
  absl::flat_hash_map<std::string, std::list<Entry>::iterator> by_key_ ABSL_GUARDED_BY(mu_);
  uint64_t epoch_ ABSL_GUARDED_BY(mu_) = 0;  // Number of Erase() calls.
};

}  // namespace cairn
