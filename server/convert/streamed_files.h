#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/buffer.h"
#include "common/io/file_tree.h"

namespace cairn {

// Takes files as they are written, in the order in which that happens. Calls may block; an error is final.
class FileReceiver {
 public:
  virtual ~FileReceiver() = default;
  // Files are numbered in the order in which they begin, from 0. "": the target is this one file.
  virtual absl::Status Begin(uint32_t number, const std::string& name) = 0;
  virtual absl::Status Take(uint32_t number, uint64_t offset, Buffer bytes) = 0;
  virtual absl::Status Finish(uint32_t number) = 0;
};

// The front of a stream of files that its receiver has already: so many begins and ends of files, and so many bytes,
// whose CRC-32C is known.
struct StreamPrefix {
  uint64_t marks = 0;
  uint64_t bytes = 0;
  uint32_t crc32c = 0;
};

struct StreamedFilesOptions {
  std::string name;  // Of the target, where the files go. With '/' at its end it is a folder.
  // What a folder that is there holds already.
  std::vector<std::string> existing_files;
  uint64_t chunk_bytes = 1u << 20;  // Of one Take, at most.
  // Is made again and left out. FAILED_PRECONDITION (reason EXPORT_CHANGED), once that is known, if it is not what is
  // made now.
  StreamPrefix skip;
};

// A target of which nothing is kept: what a format writes goes on to `receiver`, which outlives the tree. Commit() says
// only that all has been written. Holds one chunk for each file that is open.
std::unique_ptr<SinkTree> StreamFiles(FileReceiver& receiver, StreamedFilesOptions options);

}  // namespace cairn
