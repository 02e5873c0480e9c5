#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

// Files as the baselines use them. Each function stops the program at an error.
namespace cairn::benchmark {

// An open file that is closed with the object.
class File {
 public:
  // New and empty; there must be none of that name.
  static File Create(const std::string& path, bool direct);
  static File Open(const std::string& path, bool direct);
  ~File();
  File(File&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  File& operator=(File&&) = delete;

  uint64_t Size() const;
  void WriteAt(const char* data, size_t size, uint64_t offset);
  // All of `size`; a shorter file is an error.
  void ReadAt(char* data, size_t size, uint64_t offset);
  void Sync();
  // Asks the kernel to forget the file's pages; they are clean, or are written first.
  void DropCache();

 private:
  explicit File(int fd) : fd_(fd) {}
  int fd_;
};

// Makes a new name in the folder of `path` durable.
void SyncFolderOf(const std::string& path);

}  // namespace cairn::benchmark
