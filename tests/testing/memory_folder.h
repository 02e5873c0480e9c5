#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/io/file_tree.h"
#include "common/io/memory_io.h"

namespace cairn::testing {

// A folder in memory.
class MemoryFolder final : public SourceTree {
 public:
  explicit MemoryFolder(std::map<std::string, std::string> files, std::string name = "folder") : files_(std::move(files)), name_(std::move(name)) {}

  const std::string& name() const override { return name_; }
  bool is_directory() const override { return true; }
  absl::StatusOr<std::vector<std::string>> List() const override {
    std::vector<std::string> names;
    for (const auto& [name, bytes] : files_) names.push_back(name);
    return names;
  }
  absl::StatusOr<std::unique_ptr<ByteSource>> Open(const std::string& name) const override {
    const auto file = files_.find(name);
    if (file == files_.end()) return absl::NotFoundError(name_ + "/" + name + ": no such file");
    return std::make_unique<MemorySource>(file->second, name_ + "/" + name);
  }

 private:
  const std::map<std::string, std::string> files_;
  const std::string name_;
};

// Files as one text for a fuzzer: of each the length of the name (1 byte), the name, the length of the bytes (4 bytes,
// little-endian), the bytes. Anything unpacks to something.
inline std::string PackFiles(const std::map<std::string, std::string>& files) {
  std::string packed;
  for (const auto& [name, bytes] : files) {
    packed.push_back(static_cast<char>(name.size()));
    packed += name;
    for (int shift = 0; shift < 32; shift += 8) packed.push_back(static_cast<char>(bytes.size() >> shift & 255));
    packed += bytes;
  }
  return packed;
}

inline std::map<std::string, std::string> UnpackFiles(const std::string& packed) {
  std::map<std::string, std::string> files;
  size_t at = 0;
  const auto take = [&](size_t size) {
    std::string taken = packed.substr(at, size);
    at += taken.size();
    return taken;
  };
  while (at < packed.size() && files.size() < 8) {
    const std::string name = take(static_cast<unsigned char>(packed[at++]));
    uint32_t size = 0;
    const std::string length = take(4);
    for (size_t i = 0; i < length.size(); ++i) size |= static_cast<uint32_t>(static_cast<unsigned char>(length[i])) << (8 * i);
    files[name] = take(size);
  }
  return files;
}

// The folder of such a text; where it is one file without a name, that file, called `lone_name`.
inline std::shared_ptr<const SourceTree> UnpackTree(const std::string& packed, const std::string& lone_name) {
  std::map<std::string, std::string> files = UnpackFiles(packed);
  if (files.size() == 1 && files.begin()->first.empty()) return MemorySourceTree(files.begin()->second, lone_name);
  return std::make_shared<MemoryFolder>(std::move(files));
}

}  // namespace cairn::testing
