#pragma once

// What the safetensors tests share: whole checkpoints and whole files in memory.

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/format/safetensors/safetensors_format.h"
#include "common/io/posix_file.h"

namespace cairn::testing {

// A checkpoint with the bytes of its entries.
struct Checkpoint {
  CheckpointIndex index;
  std::vector<std::string> bytes;

  Checkpoint& Tensor(KeyPath path, Dtype dtype, Shape shape, char fill = 'x') {
    bytes.emplace_back(ByteSize(dtype, shape).value(), fill);
    index.entries.push_back(Entry::Tensor(std::move(path), dtype, std::move(shape), bytes.back().size()));
    return *this;
  }
  Checkpoint& Tensor(const std::string& name, Dtype dtype, Shape shape, char fill = 'x') {
    return Tensor(KeyPath::Of({name}), dtype, std::move(shape), fill);
  }
  Checkpoint& Asset(KeyPath path, std::string content) {
    index.entries.push_back(Entry::Asset(std::move(path), content.size()));
    bytes.push_back(std::move(content));
    return *this;
  }
  Checkpoint& Other(Entry entry) {
    bytes.emplace_back();
    index.entries.push_back(std::move(entry));
    return *this;
  }
};

inline void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::string ReadFile(const std::string& path) {
  return ReadSmallFile(path, 1 << 20).value_or("(cannot be read)");
}

// Every path under a folder.
inline std::set<std::string> Walk(const std::string& folder) {
  std::set<std::string> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    paths.insert(std::filesystem::relative(entry.path(), folder).string());
  }
  return paths;
}

inline absl::Status WriteSafetensors(const Checkpoint& checkpoint, const std::string& path,
                                     const WriteOptions& options = {}, bool overwrite = false) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<SinkTree> sink,
                         CreateSinkTree(path, {.overwrite = overwrite, .durable = false}));
  CAIRN_ASSIGN_OR_RETURN(const auto writer, SafetensorsFormat().Create(std::move(sink), options));
  CAIRN_ASSIGN_OR_RETURN(const std::vector<size_t> order, writer->Begin(checkpoint.index));
  for (const size_t entry : order) {
    CAIRN_RETURN_IF_ERROR(writer->StartEntry(entry).status());
    CAIRN_RETURN_IF_ERROR(writer->Append(checkpoint.bytes[entry]));
    CAIRN_RETURN_IF_ERROR(writer->FinishEntry());
  }
  return writer->Finish();
}

inline absl::StatusOr<Checkpoint> ReadSafetensors(const std::string& path, const ReadLimits& limits = {}) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const SourceTree> source, OpenSourceTree(path));
  CAIRN_ASSIGN_OR_RETURN(const auto reader, SafetensorsFormat().Open(std::move(source), {.limits = limits}));
  Checkpoint checkpoint{.index = reader->index()};
  for (size_t i = 0; i < checkpoint.index.entries.size(); ++i) {
    checkpoint.bytes.emplace_back(checkpoint.index.entries[i].byte_size, '\0');
    CAIRN_RETURN_IF_ERROR(reader->ReadAt(i, 0, absl::MakeSpan(checkpoint.bytes.back())));
  }
  return checkpoint;
}

// "NAME DTYPE SHAPE" of tensors, "NAME" of assets, in the order of the index.
inline std::vector<std::string> Describe(const Checkpoint& checkpoint) {
  std::vector<std::string> lines;
  for (const Entry& entry : checkpoint.index.entries) {
    std::string line = entry.path.ToString();
    if (entry.kind == EntryKind::kTensor) {
      line += " " + std::string(DtypeName(entry.dtype)) + " " + ShapeToString(entry.shape);
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace cairn::testing
