#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/io/byte_source.h"

namespace cairn::zip {

// The content of a deflated entry: `compressed` (all of it, and nothing else) is a raw deflate stream of exactly `size`
// bytes with that CRC-32 (0: not compared). What the costs are says ZipReader::OpenEntry. INVALID_ARGUMENT for a stream
// that is damaged, longer or shorter; DATA_LOSS if the CRC differs. Both show when the end is reached.
std::unique_ptr<ByteSource> MakeInflateSource(std::unique_ptr<ByteSource> compressed, uint64_t size, uint32_t crc);

// `stored` with its CRC-32 compared when it has been read front to back.
std::unique_ptr<ByteSource> MakeCrcCheckedSource(std::unique_ptr<ByteSource> stored, uint32_t crc);

}  // namespace cairn::zip
