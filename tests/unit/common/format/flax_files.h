#pragma once

// What the tests of the flax format share.

#include <memory>
#include <string>
#include <vector>

#include "common/format/flax/flax_format.h"
#include "common/format/flax/flax_writer.h"
#include "tests/unit/common/format/flax_content.h"

namespace cairn::testing {

inline std::string GoldenFlax(const std::string& name) { return GoldenFile("flax/" + name); }

inline absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenFlaxBytes(const std::string& bytes,
                                                                       const ReadLimits& limits = {}) {
  return FlaxFormat().Open(MemorySourceTree(bytes, "FILE"), {.limits = limits});
}

// The file, or why there is none.
inline absl::StatusOr<std::string> WriteFlax(const Content& content, const WriteOptions& options = {},
                                             const FlaxWriterOptions& flax_options = {}, size_t piece = 13) {
  std::string file = "not committed";
  const auto writer = CreateFlaxWriter(std::make_shared<MemorySinkTree>(&file), options, flax_options);
  CAIRN_RETURN_IF_ERROR(WriteThrough(*writer, content, piece));
  return file;
}

inline std::vector<std::string> ShownPaths(const CheckpointReader& reader) {
  std::vector<std::string> paths;
  for (const Entry& entry : reader.index().entries) paths.push_back(entry.path.ToString());
  return paths;
}

// Expects the tensors that NumPy says are there, in that order.
inline void ExpectListed(CheckpointReader& reader, const std::vector<ListedTensor>& listing) {
  const absl::StatusOr<Content> content = ReadContent(reader);
  ASSERT_TRUE(content.ok()) << content.status();
  std::vector<size_t> tensors;
  for (size_t i = 0; i < content->index.entries.size(); ++i) {
    if (content->index.entries[i].kind == EntryKind::kTensor) tensors.push_back(i);
  }
  ASSERT_EQ(tensors.size(), listing.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Entry& entry = content->index.entries[tensors[i]];
    EXPECT_EQ(entry.path.ToString(), listing[i].key);
    EXPECT_EQ(DtypeName(entry.dtype), listing[i].dtype) << listing[i].key;
    EXPECT_EQ(entry.shape, listing[i].shape) << listing[i].key;
    EXPECT_EQ(content->bytes[tensors[i]], listing[i].bytes) << listing[i].key;
  }
}

}  // namespace cairn::testing
