#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {

// The dict of a .npy header: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }.
struct NpyLiteral {
  std::string descr;  // Empty for a structured dtype, whose descr is a list.
  bool fortran_order = false;
  std::vector<uint64_t> shape;
};

// Parses the text of a header: exactly these three keys, once each, of these types, white space behind. It is Python
// that NumPy's own writers could have written, not any Python. `old_integers`: integers may end in L, as Python 2 wrote
// them. INVALID_ARGUMENT with the place in the text.
absl::StatusOr<NpyLiteral> ParseNpyLiteral(absl::string_view text, bool old_integers);

}  // namespace cairn
