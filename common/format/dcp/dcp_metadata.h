#pragma once

#include "absl/status/status.h"
#include "common/format/dcp/dcp_layout.h"
#include "common/format/format.h"
#include "common/io/byte_source.h"

namespace cairn {

// True if the file could begin with a pickle of DCP's Metadata, by its first bytes.
bool LooksLikeDcpMetadata(const ByteSource& source);

// Adds what a `.metadata` says to the layout. Classes count by their names, wherever torch has moved them to; fields
// may be missing and others be there. With `of_rank` it is what one of several ranks says: chunks are added up, and of
// equal ones and of values the first counts.
//
// INVALID_ARGUMENT for a pickle that is no Metadata, and for one that contradicts itself; whether chunks make a tensor
// is not looked at. UNIMPLEMENTED for transforms other than `stream.zstd/1`.
absl::Status ReadDcpMetadata(const ByteSource& source, bool of_rank, const ReadLimits& limits, DcpLayout* layout);

}  // namespace cairn
