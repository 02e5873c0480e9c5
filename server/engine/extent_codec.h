#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/engine/binary_codec.h"
#include "server/engine/stored_entry.h"

namespace cairn {

// Extents in manifests and session records (MANIFEST.md, "Extents"); both formats count their versions alike.

// The version that somebody who knows no deltas reads, and the one that has them.
inline constexpr uint32_t kVersionWithoutDeltas = 2;
inline constexpr uint32_t kVersionWithDeltas = 3;

// An extent refers to a base, this one perhaps to another, and so on: at most so many. No limit of the daemon's options,
// but of what a reader must be ready for.
inline constexpr uint32_t kMostDeltas = 64;

bool HasDeltas(absl::Span<const Extent> extents);

void WriteExtents(absl::Span<const Extent> extents, BinaryWriter& out);

// Reads the extents of one manifest or record, and checks that whatever they refer to is there. Afterwards nobody who
// follows references runs in a circle, or further than kMostDeltas.
class ExtentDecoder {
 public:
  ExtentDecoder(uint32_t version, uint64_t object_count) : version_(version), object_count_(object_count) {}

  // The table of base extents; empty for versions that have none. Before the first Read().
  absl::StatusOr<std::vector<Extent>> ReadBases(BinaryReader& in);
  absl::StatusOr<std::vector<Extent>> Read(BinaryReader& in) const;

 private:
  struct Base {
    uint32_t raw_bytes = 0;
    uint32_t depth = 0;  // Bases below it.
  };

  absl::StatusOr<Extent> ReadOne(BinaryReader& in, uint32_t* depth) const;
  absl::Status ReadDelta(BinaryReader& in, Extent& extent, uint32_t* depth) const;

  const uint32_t version_;
  const uint64_t object_count_;
  std::vector<Base> bases_;  // Those that an extent may refer to.
};

}  // namespace cairn
