#pragma once

// What the tests of the easylm format share.

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/format/easylm/easylm_writer.h"
#include "tests/unit/common/format/flax_content.h"

namespace cairn::testing {

inline std::string GoldenBytes(const std::string& name) { return GoldenFile("easylm/" + name); }

inline std::vector<ListedTensor> GoldenListing(const std::string& name) { return ListingOf(GoldenBytes(name + ".txt")); }

// The file, or why there is none.
inline absl::StatusOr<std::string> WriteContent(const Content& content, const WriteOptions& options = {},
                                                const EasyLmWriterOptions& easylm_options = {}, size_t piece = 13) {
  std::string file = "not committed";
  CAIRN_ASSIGN_OR_RETURN(auto writer,
                         CreateEasyLmWriter(std::make_shared<MemorySinkTree>(&file), options, easylm_options));
  CAIRN_RETURN_IF_ERROR(WriteThrough(*writer, content, piece));
  return file;
}

}  // namespace cairn::testing
