#include "server/engine/extent_chain.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "common/delta/delta.h"
#include "server/engine/read_memory.h"

namespace cairn {
namespace {

ErrorInfo Where(std::string reason, absl::string_view object_key, const Extent& extent) {
  return {std::move(reason), {{"object", std::string(object_key)}, {"offset", absl::StrCat(extent.offset)}}};
}

// Its tables and scratch memory are some megabytes: one for each thread, not for each stream.
DeltaDecoder& Decoder() {
  thread_local DeltaDecoder decoder;
  return decoder;
}

absl::Status ReadStored(ObjectStore& store, const ChainLink& link, absl::Span<char> dst) {
  const absl::Status read = store.Read(link.object_key, link.extent.offset, dst);
  if (read.ok()) return read;
  if (absl::IsNotFound(read) || absl::IsOutOfRange(read)) return DamagedExtent(link.object_key, link.extent, read.message());
  return WithErrorInfo(read, Where("", link.object_key, link.extent));
}

std::shared_ptr<char> Allocate(uint64_t bytes, absl::Status* status) {
  std::shared_ptr<char> memory = AllocateReadMemory(bytes);
  if (memory == nullptr) *status = absl::ResourceExhaustedError(absl::StrCat("no memory for ", bytes, " stored bytes"));
  return memory;
}

}  // namespace

absl::Status DamagedExtent(absl::string_view object_key, const Extent& extent, absl::string_view how) {
  return WithErrorInfo(absl::DataLossError(absl::StrCat("object ", object_key, ", bytes ", extent.offset, "+",
                                                        extent.stored_bytes, ": ", how)),
                       Where("STORED_BYTES_DAMAGED", object_key, extent));
}

absl::Status WrongDigest(absl::string_view object_key, const Extent& extent, const Digest& found) {
  return DamagedExtent(object_key, extent,
                       absl::StrCat("digest is ", found.ToHex().substr(0, 16), "..., expected ",
                                    extent.digest.ToHex().substr(0, 16), "..."));
}

const Extent* BaseOf(const Manifest& manifest, const Extent& extent) {
  return extent.base == 0 ? nullptr : &manifest.bases[extent.base - 1];
}

std::vector<ChainLink> ChainOf(const Manifest& manifest, const Extent& extent) {
  std::vector<ChainLink> links;
  for (const Extent* link = &extent; link != nullptr; link = BaseOf(manifest, *link)) {
    links.push_back({manifest.objects[link->object], *link});
  }
  return links;
}

uint32_t ChainDepth(const Manifest& manifest, const Extent& extent) {
  uint32_t depth = 0;
  for (const Extent* link = BaseOf(manifest, extent); link != nullptr; link = BaseOf(manifest, *link)) ++depth;
  return depth;
}

absl::Status ReadChain(ObjectStore& store, absl::Span<const ChainLink> links, ChainCheck check, absl::Span<char> target) {
  absl::Status memory;
  const std::shared_ptr<char> other = links.size() > 1 ? Allocate(target.size(), &memory) : nullptr;
  uint64_t largest = 0;
  for (const ChainLink& link : links) {
    if (link.extent.encoding != ExtentEncoding::kRaw) largest = std::max<uint64_t>(largest, link.extent.stored_bytes);
  }
  const std::shared_ptr<char> stored = largest > 0 ? Allocate(largest, &memory) : nullptr;
  CAIRN_RETURN_IF_ERROR(memory);

  absl::string_view below;
  for (size_t i = links.size(); i-- > 0;) {
    const ChainLink& link = links[i];
    // By turns, so that the last one comes out in `target`.
    const absl::Span<char> out = i % 2 == 0 ? target : absl::MakeSpan(other.get(), target.size());
    if (link.extent.encoding == ExtentEncoding::kRaw) {
      CAIRN_RETURN_IF_ERROR(ReadStored(store, link, out));
    } else {
      CAIRN_RETURN_IF_ERROR(ReadStored(store, link, absl::MakeSpan(stored.get(), link.extent.stored_bytes)));
      const absl::Status applied = Decoder().Apply(absl::string_view(stored.get(), link.extent.stored_bytes), below, out);
      if (absl::IsDataLoss(applied)) return DamagedExtent(link.object_key, link.extent, applied.message());
      CAIRN_RETURN_IF_ERROR(applied);
    }
    below = absl::string_view(out.data(), out.size());
    if (check == ChainCheck::kNone) continue;
    const Digest found = DigestOf(below, link.extent.digest.algorithm());
    if (found != link.extent.digest) return WrongDigest(link.object_key, link.extent, found);
  }
  return absl::OkStatus();
}

}  // namespace cairn
