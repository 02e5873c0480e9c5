#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/format/dcp/dcp_layout.h"
#include "common/format/folder/file_set.h"
#include "common/format/format.h"
#include "common/format/torch/torch_bytes.h"
#include "common/format/torch/torch_file.h"
#include "common/io/file_tree.h"

namespace cairn {

// The data files of a folder, of which few are open at once. One thread at a time, and so for all that it hands out.
class DcpFiles {
 public:
  // Opens every file once, and checks that the slices lie inside of them. INVALID_ARGUMENT, NOT_FOUND.
  static absl::StatusOr<std::unique_ptr<DcpFiles>> Open(std::shared_ptr<const SourceTree> tree,
                                                        const DcpLayout& layout);

  // Bytes of a file from `offset` on.
  absl::Status ReadAt(uint32_t file, uint64_t offset, absl::Span<char> dst) const;

  // The file of torch.save in a slice, decompressed if need be. `max_bytes`: more than it can have decompressed.
  struct Item {
    std::unique_ptr<TorchFile> file;
    uint64_t work = 0;  // Bytes that were read and made to open it, at most.
  };
  absl::StatusOr<Item> OpenItem(const DcpSlice& slice, uint64_t max_bytes, const ReadLimits& limits) const;

  // The bytes of a chunk that lies there: a tensor of that dtype and shape, which is checked.
  struct Chunk {
    std::unique_ptr<TorchBytes> bytes;
    uint64_t memory = 0;  // That it takes at most, about.
  };
  absl::StatusOr<Chunk> OpenChunk(const DcpSlice& slice, Dtype dtype, absl::Span<const int64_t> stored_shape,
                                  const ReadLimits& limits) const;

 private:
  struct Files {
    explicit Files(std::shared_ptr<const SourceTree> tree) : set(std::move(tree)) {}
    FileSet set;
    std::vector<uint64_t> sizes;
    std::vector<std::string> names;  // For messages.
  };
  class FileSource;

  explicit DcpFiles(std::shared_ptr<Files> files) : files_(std::move(files)) {}

  const std::shared_ptr<Files> files_;
};

}  // namespace cairn
