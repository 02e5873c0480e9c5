#include "server/store/object_file_read.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

namespace cairn {
namespace {

constexpr uint64_t kAlignment = 4096;
constexpr uint64_t kBounceBytes = 1u << 20;
// What the kernel copies at a time, so that it is still in the second-level cache when somebody looks at it.
constexpr size_t kPieceBytes = 256u << 10;

// cachestat(2), which the C library does not know yet. The other way to ask, a read with RWF_NOWAIT, makes the kernel
// fetch what is missing into its cache beside the direct read.
struct CacheStatRange {
  uint64_t offset;
  uint64_t length;
};
struct CacheStat {
  uint64_t cached;
  uint64_t dirty;
  uint64_t writeback;
  uint64_t evicted;
  uint64_t recently_evicted;
};
constexpr long kCacheStatCall = 451;  // The same number on every architecture.

// How many bytes of a range the page cache has, in whole pages; nothing where the system cannot tell.
std::optional<uint64_t> CachedBytes(int fd, uint64_t offset, uint64_t length) {
  CacheStatRange range{offset, length};
  CacheStat stat{};
  if (::syscall(kCacheStatCall, fd, &range, &stat, 0u) != 0) return std::nullopt;
  return stat.cached * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

bool Aligned(uint64_t number) { return number % kAlignment == 0; }

ssize_t ReadOnce(int fd, uint64_t offset, absl::Span<char> dst) {
  while (true) {
    const ssize_t n = ::pread(fd, dst.data(), dst.size(), static_cast<off_t>(offset));
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
    return ReadOnce(fd, offset, dst.first(dst.size() - dst.size() % kAlignment));
  }
  char* bounce = Bounce();
  if (bounce == nullptr) return -ENOMEM;
  const uint64_t skip = offset % kAlignment;
  const uint64_t wanted = std::min<uint64_t>(kBounceBytes, (skip + dst.size() + kAlignment - 1) / kAlignment * kAlignment);
  const ssize_t n = ReadOnce(fd, offset - skip, absl::MakeSpan(bounce, wanted));
  if (n <= static_cast<ssize_t>(skip)) return std::min<ssize_t>(n, 0);
  const size_t got = std::min<size_t>(static_cast<size_t>(n) - skip, dst.size());
  std::memcpy(dst.data(), bounce + skip, got);
  return static_cast<ssize_t>(got);
}

}  // namespace

bool CanTellWhatIsCached(int fd) { return CachedBytes(fd, 0, 1).has_value(); }

bool IsMostlyCached(int fd, uint64_t offset, uint64_t length) {
  const std::optional<uint64_t> cached = CachedBytes(fd, offset, length);
  return cached.has_value() && *cached >= length / 2;
}

ssize_t ReadObjectFile(const OpenFile& file, uint64_t offset, absl::Span<char> dst, bool may_be_direct,
                       absl::FunctionRef<void(absl::string_view)> seen) {
  size_t done = 0;
  // A little that is missing is fetched through the cache too: it is on its way there.
  bool direct = may_be_direct && IsReadDirectly(file, dst.size()) && !IsMostlyCached(file.fd.get(), offset, dst.size());
  while (done < dst.size()) {
    const absl::Span<char> rest = dst.subspan(done);
    const ssize_t n = direct ? ReadDirect(file.direct.get(), offset + done, rest)
                             : ReadOnce(file.fd.get(), offset + done, rest.first(std::min(rest.size(), kPieceBytes)));
    if (n == -EINVAL && direct) {  // A file system that takes the flag, and not the read.
      direct = false;
      continue;
    }
    if (n < 0) return n;
    if (n == 0) break;
    seen(absl::string_view(rest.data(), static_cast<size_t>(n)));
    done += static_cast<size_t>(n);
  }
  return static_cast<ssize_t>(done);
}

}  // namespace cairn
