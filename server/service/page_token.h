#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {

// An opaque position in a listing: `fields` joined and encoded. INVALID_ARGUMENT from Parse for a token that is not
// one of ours with that many fields.
std::string MakePageToken(const std::vector<std::string>& fields);
absl::StatusOr<std::vector<std::string>> ParsePageToken(absl::string_view token, size_t fields);

// Where a page's answer ends although it has fewer items than it may: well below the 4 MiB that a gRPC client takes by
// default.
inline constexpr uint64_t kMaxPageBytes = 2u << 20;

// The size of a page: `asked` clamped to 1..most, `usual` for 0. INVALID_ARGUMENT for a negative one.
absl::StatusOr<size_t> PageSize(int32_t asked, size_t usual, size_t most);

}  // namespace cairn
