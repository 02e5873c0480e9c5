#pragma once

#include <cstdint>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace cairn {

inline constexpr char kDcpMetadataName[] = ".metadata";
inline constexpr char kDcpDataSuffix[] = ".distcp";
// Lightning's, beside the files of DCP.
inline constexpr char kLightningMetaName[] = "meta.pt";

// "__12.metadata" -> 12: what one rank wrote that saved for itself.
inline std::optional<uint32_t> DcpRankOfMetadata(absl::string_view name) {
  uint32_t rank = 0;
  if (!absl::ConsumePrefix(&name, "__") || !absl::ConsumeSuffix(&name, kDcpMetadataName)) return std::nullopt;
  if (name.empty() || name.front() < '0' || name.front() > '9' || !absl::SimpleAtoi(name, &rank)) return std::nullopt;
  return rank;
}

// A name that only files of DCP have.
inline bool IsDcpName(absl::string_view name) {
  return name == kDcpMetadataName || absl::EndsWith(name, kDcpDataSuffix) || DcpRankOfMetadata(name).has_value();
}

}  // namespace cairn
