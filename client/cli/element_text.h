#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/format/format.h"
#include "common/tensor/dtype.h"

namespace cairn::cli {

// Elements as text, "1, 2.5, nan". Types of several elements to a byte are shown as bytes in hex.
absl::StatusOr<std::string> ElementsToText(Dtype dtype, absl::string_view bytes);

// The first `count` elements of a tensor (for an asset: bytes, as safe text), with "..." if there are more.
absl::StatusOr<std::string> FirstValues(CheckpointReader& reader, size_t entry, size_t count);

}  // namespace cairn::cli
