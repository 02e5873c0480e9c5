#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "common/diff/layers.h"

namespace cairn::cli {

// A picture of what has changed where, as an SVG file: a row for each layer, a column for each parameter kind, and a colour
// for the logarithm of the L2 norm of the difference over that of the base. What is in no layer comes last. A cell tells its
// numbers when pointed at.
std::string HeatMapSvg(const LayerTable& layers, absl::string_view title);

}  // namespace cairn::cli
