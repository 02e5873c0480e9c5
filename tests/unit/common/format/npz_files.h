#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/format/npz/npz_format.h"
#include "common/io/file_tree.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {

// What a reader of npz finds in a file, bytes of tensors by entry.
struct NpzContent {
  CheckpointIndex index;
  std::vector<std::string> bytes;
};

// Reads the tensors in pieces of `piece` bytes.
inline absl::StatusOr<NpzContent> ReadNpz(std::shared_ptr<const SourceTree> source, size_t piece = 1 << 20,
                                          const ReadLimits& limits = {}) {
  CAIRN_ASSIGN_OR_RETURN(const auto reader, NpzFormat().Open(std::move(source), {.limits = limits}));
  NpzContent content{.index = reader->index(), .bytes = {}};
  for (size_t i = 0; i < content.index.entries.size(); ++i) {
    std::string bytes(content.index.entries[i].byte_size, '\0');
    for (size_t at = 0; at < bytes.size(); at += piece) {
      CAIRN_RETURN_IF_ERROR(
          reader->ReadAt(i, at, absl::MakeSpan(bytes).subspan(at, std::min(piece, bytes.size() - at))));
    }
    content.bytes.push_back(std::move(bytes));
  }
  return content;
}

}  // namespace cairn::testing
