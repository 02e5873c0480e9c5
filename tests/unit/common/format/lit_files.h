#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/format/format.h"

namespace cairn::testing {

// A checkpoint with its bytes, by entry.
struct LitContent {
  CheckpointIndex index;
  std::vector<std::string> bytes;

  void Add(Entry entry, std::string content = "") {
    index.entries.push_back(std::move(entry));
    bytes.push_back(std::move(content));
  }
  void AddTensor(KeyPath path, const std::string& content) {
    Add(Entry::Tensor(std::move(path), Dtype::kUint8, {static_cast<int64_t>(content.size())}, content.size()), content);
  }
};

inline absl::Status WriteLit(const Format& format, const LitContent& content, const std::string& path, WriteOptions options = {}) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<SinkTree> sink, CreateSinkTree(path, {.durable = false}));
  CAIRN_ASSIGN_OR_RETURN(const auto writer, format.Create(std::move(sink), options));
  CAIRN_ASSIGN_OR_RETURN(const std::vector<size_t> order, writer->Begin(content.index));
  for (const size_t entry : order) {
    CAIRN_RETURN_IF_ERROR(writer->StartEntry(entry).status());
    CAIRN_RETURN_IF_ERROR(writer->Append(content.bytes[entry]));
    CAIRN_RETURN_IF_ERROR(writer->FinishEntry());
  }
  return writer->Finish();
}

// Path -> what stands there: the bytes of a tensor or asset, the text of a value, "=TARGET" of an alias.
inline absl::StatusOr<std::map<std::string, std::string>> ReadLit(const Format& format, const std::string& path, const std::string& variant = "") {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const SourceTree> source, OpenSourceTree(path));
  CAIRN_ASSIGN_OR_RETURN(const auto reader, format.Open(std::move(source), {.variant = variant}));
  CAIRN_RETURN_IF_ERROR(reader->index().Check());
  std::map<std::string, std::string> shown;
  for (size_t i = 0; i < reader->index().entries.size(); ++i) {
    const Entry& entry = reader->index().entries[i];
    std::string text(entry.byte_size, '\0');
    CAIRN_RETURN_IF_ERROR(reader->ReadAt(i, 0, absl::MakeSpan(text)));
    if (entry.kind == EntryKind::kValue) text = ValueToString(entry.value);
    if (entry.kind == EntryKind::kAlias) text = "=" + entry.target.ToString();
    shown[entry.path.ToString()] = text;
  }
  return shown;
}

}  // namespace cairn::testing
