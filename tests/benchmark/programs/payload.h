#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace cairn::benchmark {

// Page-aligned memory whose pages are there already, so that no figure contains page faults of the benchmark's own;
// unless they are `fresh`, as those of arrays that are made by a load.
class Memory {
 public:
  // Stops the program if there is not so much memory.
  explicit Memory(size_t bytes, bool fresh = false);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  absl::Span<char> span() const { return {data_, size_}; }
  absl::string_view view() const { return {data_, size_}; }

 private:
  char* data_;
  size_t size_;
};

// Fills `dst` with bytes that do not compress and of which no two pieces of 4 KiB are alike, neither within one seed
// nor between two: what deduplicates or compresses would otherwise measure itself. Little more than a memcpy.
//
// The bytes are those at `offset` of an endless stream, so that parts can be made (and checked) apart. `offset` is a
// multiple of 4 KiB.
void FillPayload(absl::Span<char> dst, uint64_t seed, uint64_t offset = 0);

// Whether `bytes` is what FillPayload would have written.
bool IsPayload(absl::string_view bytes, uint64_t seed, uint64_t offset = 0);

}  // namespace cairn::benchmark
