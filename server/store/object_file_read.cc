#include "server/store/object_file_read.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace cairn {
namespace {

constexpr uint64_t kAlignment = 4096;
constexpr uint64_t kBounceBytes = 1u << 20;

bool Aligned(uint64_t number) { return number % kAlignment == 0; }

ssize_t ReadOnce(int fd, uint64_t offset, absl::Span<char> dst, int flags) {
  iovec vector{dst.data(), dst.size()};
  while (true) {
    const ssize_t n = ::preadv2(fd, &vector, 1, static_cast<off_t>(offset), flags);
    if (n >= 0 || errno != EINTR) return n < 0 ? -errno : n;
  }
}

// Aligned memory of this thread, for files whose bytes do not lie as the disk wants them. Made when first needed.
char* Bounce() {
  struct Free {
    void operator()(char* bytes) const { std::free(bytes); }
  };
  thread_local const std::unique_ptr<char, Free> bounce(
      static_cast<char*>(std::aligned_alloc(kAlignment, kBounceBytes)));
  return bounce.get();
}

// Some bytes from `offset` on.
ssize_t ReadDirect(int fd, uint64_t offset, absl::Span<char> dst) {
  if (Aligned(offset) && Aligned(reinterpret_cast<uintptr_t>(dst.data())) && dst.size() >= kAlignment) {
    return ReadOnce(fd, offset, dst.first(dst.size() - dst.size() % kAlignment), 0);
  }
  char* bounce = Bounce();
  if (bounce == nullptr) return -ENOMEM;
  const uint64_t skip = offset % kAlignment;
  const uint64_t wanted = std::min<uint64_t>(kBounceBytes, (skip + dst.size() + kAlignment - 1) / kAlignment * kAlignment);
  const ssize_t n = ReadOnce(fd, offset - skip, absl::MakeSpan(bounce, wanted), 0);
  if (n <= static_cast<ssize_t>(skip)) return std::min<ssize_t>(n, 0);
  const size_t got = std::min<size_t>(static_cast<size_t>(n) - skip, dst.size());
  std::memcpy(dst.data(), bounce + skip, got);
  return static_cast<ssize_t>(got);
}

}  // namespace

ssize_t ReadObjectFile(const OpenFile& file, uint64_t offset, absl::Span<char> dst) {
  size_t done = 0;
  bool direct = file.direct.valid();
  while (done < dst.size()) {
    const absl::Span<char> rest = dst.subspan(done);
    ssize_t n = -EAGAIN;
    if (direct && rest.size() >= kMinDirectBytes) {
      n = ReadOnce(file.fd.get(), offset + done, rest, RWF_NOWAIT);
      if (n == -EAGAIN) n = ReadDirect(file.direct.get(), offset + done, rest);
      // A file system that knows one of the two, and not the other.
      if (n == -EOPNOTSUPP || n == -EINVAL || n == -EAGAIN) {
        direct = false;
        continue;
      }
    } else {
      n = ReadOnce(file.fd.get(), offset + done, rest, 0);
    }
    if (n < 0) return n;
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return static_cast<ssize_t>(done);
}

}  // namespace cairn
