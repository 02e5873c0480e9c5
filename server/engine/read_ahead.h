#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "server/engine/manifest.h"
#include "server/store/object_store.h"

namespace cairn {

// Tells the store a few MiB ahead of a reader which bytes it will ask for, so that the disk works while the reader
// digests and sends. Only hints: nothing is read here, no memory is held, and bytes that are announced and never read
// do no harm. One thread at a time.
class ReadAhead {
 public:
  // `entries` of the manifest are read whole, one after the other. `manifest` and `store` outlive it.
  ReadAhead(const Manifest& manifest, ObjectStore& store, uint64_t window_bytes, std::vector<size_t> entries)
      : manifest_(manifest), store_(store), window_bytes_(window_bytes), entries_(std::move(entries)) {}

  // The reader has got through so many stored bytes of the entries, all in all.
  void Reached(uint64_t position);

 private:
  const Extent* NextExtent();
  void Tell();

  const Manifest& manifest_;
  ObjectStore& store_;
  const uint64_t window_bytes_;
  const std::vector<size_t> entries_;

  // The first extent that is not announced, and the stored bytes before it.
  size_t entry_ = 0;
  size_t shard_ = 0;
  size_t extent_ = 0;
  uint64_t announced_ = 0;

  // Extents that lie one behind the other, not yet told to the store.
  uint32_t object_ = 0;
  uint64_t offset_ = 0;
  uint64_t length_ = 0;
};

}  // namespace cairn
