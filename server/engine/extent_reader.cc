#include "server/engine/extent_reader.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr uint64_t kAlignment = 4096;
constexpr uint64_t kAlignedFrom = 64u << 10;

// Not a std::string, whose constructor would fill the bytes that the read overwrites at once. Large ones are aligned as
// disks want it, so that a store may read into them without a copy; for small ones that only costs time.
char* AllocateExtent(uint64_t bytes) {
  if (bytes < kAlignedFrom) return static_cast<char*>(std::malloc(bytes));
  return static_cast<char*>(std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment));
}

}  // namespace

absl::StatusOr<Buffer> ExtentReader::Read(const std::string& object_key, const Extent& extent) {
  const auto found = index_.find(Key(object_key, extent.offset));
  if (found != index_.end() && found->second->bytes.size() == extent.raw_bytes) {
    recent_.splice(recent_.begin(), recent_, found->second);
    return recent_.front().bytes;
  }

  const ErrorInfo where{"STORED_BYTES_DAMAGED", {{"object", object_key}, {"offset", absl::StrCat(extent.offset)}}};
  const std::shared_ptr<char> memory(AllocateExtent(extent.raw_bytes), std::free);
  if (memory == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for an extent of ", extent.raw_bytes, " bytes"));
  }
  const absl::Span<char> bytes(memory.get(), extent.raw_bytes);
  absl::Status read = store_.Read(object_key, extent.offset, bytes);
  if (absl::IsNotFound(read) || absl::IsOutOfRange(read)) {
    return WithErrorInfo(absl::DataLossError(absl::StrCat("object ", object_key, ", bytes ", extent.offset, "+",
                                                          extent.stored_bytes, ": ", read.message())),
                         where);
  }
  CAIRN_RETURN_IF_ERROR(WithErrorInfo(std::move(read), {"", where.metadata}));
  const Digest digest = DigestOf(absl::string_view(bytes.data(), bytes.size()), extent.digest.algorithm());
  if (digest != extent.digest) {
    return WithErrorInfo(
        absl::DataLossError(absl::StrCat("object ", object_key, ", bytes ", extent.offset, "+", extent.stored_bytes,
                                         ": digest is ", digest.ToHex().substr(0, 16), "..., expected ",
                                         extent.digest.ToHex().substr(0, 16), "...")),
        where);
  }

  Buffer buffer(absl::string_view(bytes.data(), bytes.size()), memory);
  recent_.push_front({object_key, extent.offset, buffer});
  index_[Key(object_key, extent.offset)] = recent_.begin();
  held_bytes_ += buffer.size();
  while (held_bytes_ > cache_bytes_ && recent_.size() > 1) {
    held_bytes_ -= recent_.back().bytes.size();
    index_.erase(Key(recent_.back().object_key, recent_.back().offset));
    recent_.pop_back();
  }
  return buffer;
}

}  // namespace cairn
