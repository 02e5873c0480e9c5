#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/base/buffer.h"
#include "common/io/unique_fd.h"

namespace cairn {

// Writes one object, strictly from front to back. One thread at a time. Calls block.
//
// A writer that is destroyed without Seal() leaves no object (at most garbage of its own that RemoveLeftovers()
// finds after a crash).
class ObjectWriter {
 public:
  virtual ~ObjectWriter() = default;

  // Adds `pieces` at the end, in order, without joining them first. After an error the writer is dead: every later
  // call fails too.
  virtual absl::Status Append(absl::Span<const Buffer> pieces) = 0;

  // Bytes appended so far.
  virtual uint64_t size() const = 0;

  // Makes the object durable, then visible, in this order. Once OK, a crash of process or machine loses nothing of
  // it. Called at most once.
  virtual absl::Status Seal() = 0;
};

// Where checkpoint bytes live: one flat name space of immutable objects.
//
// Keys are ASCII `[A-Za-z0-9._-]` segments of at most 255 bytes joined with '/', none of them "." or "..", at most
// 512 bytes (INVALID_ARGUMENT otherwise). No key shall be a folder of another one ("a" beside "a/b"): a store may
// refuse the later of the two with FAILED_PRECONDITION, at Create() or Seal().
//
// Thread-safe. Calls block; run them on the I/O pool, not on a gRPC thread (the exception: decision 0018). Error codes are part of the contract:
//   NOT_FOUND           no such object
//   ALREADY_EXISTS      the key is taken (objects are immutable) by an object that is sealed and durable
//   OUT_OF_RANGE        a range that leaves the object
//   RESOURCE_EXHAUSTED  no room (disk full, quota)
//   PERMISSION_DENIED   the store may not be written or read
//   DATA_LOSS           the store itself reports damage
//   UNAVAILABLE         worth retrying; nothing else is
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // Starts an object. ALREADY_EXISTS now or at Seal() if the key is taken; of several writers of one key, exactly
  // one Seal() succeeds. `size_hint` is the expected length in bytes, 0 if unknown.
  virtual absl::StatusOr<std::unique_ptr<ObjectWriter>> Create(absl::string_view key, uint64_t size_hint) = 0;

  // Fills `dst` with the bytes from `offset` on.
  virtual absl::Status Read(absl::string_view key, uint64_t offset, absl::Span<char> dst) = 0;

  // The same, and calls `seen` with the bytes, front to back, in pieces of any size, each soon after it has come: while
  // the processor has it in its cache, who digests it need not fetch it from memory again. After an error what was seen
  // means nothing.
  virtual absl::Status ReadInPieces(absl::string_view key, uint64_t offset, absl::Span<char> dst,
                                    absl::FunctionRef<void(absl::string_view)> seen);

  // These bytes will be read soon: the store may fetch them meanwhile. A hint, which never fails; ranges that leave the
  // object, or an object that is not there, are nothing to it. True if reading it may have to wait, so that another
  // thread had better do it; false where the bytes are in memory.
  virtual bool WillRead(absl::string_view /*key*/, uint64_t /*offset*/, uint64_t /*length*/) { return true; }

  // The object as a file of this machine that is open for reading and has its bytes from 0 on, as long as it is open.
  // UNIMPLEMENTED where objects are no files.
  virtual absl::StatusOr<UniqueFd> OpenAsFile(absl::string_view key);

  // Length in bytes.
  virtual absl::StatusOr<uint64_t> Size(absl::string_view key) = 0;

  // Removes an object. OK if there is none (so a repeated call is safe). A reader that is inside Read() finishes or
  // gets NOT_FOUND, never wrong bytes.
  virtual absl::Status Delete(absl::string_view key) = 0;

  struct ObjectInfo {
    std::string key;
    uint64_t bytes = 0;
  };
  // Up to `limit` sealed objects whose key begins with `prefix` and is greater than `start_after`, ordered by key
  // (bytewise). Fewer than `limit` means that there are no more.
  virtual absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix, absl::string_view start_after,
                                                       size_t limit) = 0;

  // Removes what writers of dead processes left unsealed. Never touches a live writer's bytes. Returns the number of
  // bytes removed.
  virtual absl::StatusOr<uint64_t> RemoveLeftovers() = 0;

  // Bytes free and in all where the objects lie; zeros where the question has no answer.
  struct Space {
    uint64_t free_bytes = 0;
    uint64_t total_bytes = 0;
  };
  virtual absl::StatusOr<Space> GetSpace() = 0;

  // Where it is, for people: a path or URL without secrets.
  virtual std::string Describe() const = 0;
};

// INVALID_ARGUMENT unless `key` is a key as described above. Every implementation calls it first.
absl::Status CheckObjectKey(absl::string_view key);

// Writes a small object in one go.
absl::Status PutObject(ObjectStore& store, absl::string_view key, absl::string_view bytes);

// Reads a whole object. RESOURCE_EXHAUSTED if it has more than `max_bytes`.
absl::StatusOr<std::string> GetObject(ObjectStore& store, absl::string_view key, uint64_t max_bytes);

}  // namespace cairn
