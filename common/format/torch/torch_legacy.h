#pragma once

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/format/format.h"
#include "common/io/byte_source.h"
#include "common/pickle/pickle_reader.h"

namespace cairn {

// The pickle of the magic number with which a legacy file begins.
inline constexpr absl::string_view kTorchLegacyMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15);

// A file of torch.save before 1.6 (or of _use_new_zipfile_serialization=False): five pickles, then storages.
struct TorchLegacy {
  struct Storage {
    uint64_t offset = 0;  // In the file, of its first byte.
    uint64_t bytes = 0;
  };
  PickleTree tree;  // Of the object.
  absl::flat_hash_map<std::string, Storage> storages;
  bool big_endian = false;
};

// INVALID_ARGUMENT for damage; nothing of the storages but their lengths is read.
absl::StatusOr<TorchLegacy> ReadTorchLegacy(const ByteSource& source, const PickleLimits& pickle_limits,
                                            const ReadLimits& limits);

}  // namespace cairn
