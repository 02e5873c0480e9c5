#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace cairn {

// Tells the first pass over an object from the ones after it: most checkpoints are loaded once or never, and are not
// worth the page cache; one that is loaded again probably will be once more. What one process has seen, and no more:
// a wrong answer costs time. Thread-safe.
class FirstReads {
 public:
  // Objects that are remembered.
  static constexpr size_t kObjects = 65'536;
  // A pass goes from front to back, but for what several threads read side by side.
  static constexpr uint64_t kDisorderBytes = 8u << 20;

  // Is a read at `offset` part of the first pass over the object? Changes nothing.
  bool IsFirst(absl::string_view key, uint64_t offset) const ABSL_LOCKS_EXCLUDED(mu_);
  // The same, and the read takes place: from then on the bytes up to `end` have been read.
  bool NoteRead(absl::string_view key, uint64_t offset, uint64_t end) ABSL_LOCKS_EXCLUDED(mu_);
  void Forget(absl::string_view key) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Object {
    uint64_t end = 0;    // Of what has been read.
    bool again = false;  // The first pass is over.
    bool IsBehind(uint64_t offset) const { return again || offset + kDisorderBytes < end; }
  };

  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, Object> objects_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cairn
