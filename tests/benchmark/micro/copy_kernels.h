#pragma once

#include <cstddef>

namespace cairn {

// Reads all of src and writes all of dst in one pass, with the widest vectors of the processor at hand and without any
// work beyond that. The greater of the two lengths is 1, 2 or 4 times the other; the shorter is a multiple of 64.
void CopyUnevenly(const char* src, size_t src_bytes, char* dst, size_t dst_bytes);

}  // namespace cairn
