#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/io/byte_sink.h"
#include "common/io/byte_source.h"

namespace cairn {

// What a format reads: one file, or a folder of files. Formats never know where the bytes live.
// Thread-safe. Names are relative, segments joined with '/'; "" is the file itself, where the tree is one file.
// A name that is absolute or leaves the tree ("..", also through an index file) is INVALID_ARGUMENT. Symbolic links
// are followed: the cache of Hugging Face is made of them.
class SourceTree {
 public:
  virtual ~SourceTree() = default;
  // For messages: the path or URL.
  virtual const std::string& name() const = 0;
  virtual bool is_directory() const = 0;
  // Names of the regular files of a folder (not of its sub-folders), ascending; {""} for a single file.
  virtual absl::StatusOr<std::vector<std::string>> List() const = 0;
  virtual absl::StatusOr<std::unique_ptr<ByteSource>> Open(const std::string& name) const = 0;
  // Of a tree that is one file: the folder in which it lies, for a file that names others beside it (an index).
  // FAILED_PRECONDITION where there is none.
  virtual absl::StatusOr<std::unique_ptr<SourceTree>> OpenParent() const {
    return absl::FailedPreconditionError(name() + ": the folder in which it lies cannot be read from here");
  }
  // Of a tree that is a folder: a folder in it, as a tree of its own. NOT_FOUND where there is none.
  virtual absl::StatusOr<std::unique_ptr<SourceTree>> OpenFolder(const std::string& folder) const {
    return absl::NotFoundError(name() + ": has no folder \"" + folder + "\"");
  }
};

// What a format writes: either one file (Create("")) or files in a folder (Create("a"), Create("b"), ...), not both.
// One thread at a time. Nothing is visible before Commit(); destroyed without it, the tree leaves nothing behind.
class SinkTree {
 public:
  virtual ~SinkTree() = default;
  virtual const std::string& name() const = 0;
  // The target is to be a folder: its path ends in '/', or it is a folder already.
  virtual bool is_directory() const { return false; }
  // Names of the regular files that the target folder holds already, ascending; with options.overwrite only.
  virtual std::vector<std::string> ExistingFiles() const { return {}; }
  // The sink must be closed before Commit(), and destroyed before the tree. Where files are moved into a folder one
  // by one, they go in the order of Create(): create last the file that makes sense of the others (an index). Its
  // predecessor is removed before the first move, so that a crash leaves no mixture that looks whole.
  virtual absl::StatusOr<std::unique_ptr<ByteSink>> Create(const std::string& name) = 0;
  // Makes all files visible and durable. Files that were there and are not replaced stay.
  virtual absl::Status Commit() = 0;
};

struct SinkTreeOptions {
  // Replace what is there. ALREADY_EXISTS otherwise, when the tree is opened (an empty folder is nothing there).
  bool overwrite = false;
  bool durable = true;     // fsync.
};

struct SourceTreeOptions {
  // If not empty, a canonical folder out of which no file of the tree may lead, whatever links there are:
  // PERMISSION_DENIED.
  std::string confined_to = {};
};

// A local path. NOT_FOUND, PERMISSION_DENIED.
absl::StatusOr<std::unique_ptr<SourceTree>> OpenSourceTree(const std::string& path, SourceTreeOptions options = {});
// A local path to be; its parent folder must exist (NOT_FOUND).
absl::StatusOr<std::unique_ptr<SinkTree>> CreateSinkTree(const std::string& path, SinkTreeOptions options = {});

// One file in memory, for tests and fuzzers.
std::unique_ptr<SourceTree> MemorySourceTree(std::string bytes, std::string name = "memory");

}  // namespace cairn
