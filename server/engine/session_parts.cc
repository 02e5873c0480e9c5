#include "server/engine/session_parts.h"

#include <vector>

#include "common/base/status_macros.h"

namespace cairn {

absl::StatusOr<uint64_t> ForEachPart(Registry& registry, const std::string& session_id, std::optional<uint32_t> writer,
                                     const std::function<absl::Status(const SessionPart&)>& visit) {
  constexpr size_t kPage = 4;  // A record has up to some MiB.
  uint64_t seen = 0;
  while (true) {
    CAIRN_ASSIGN_OR_RETURN(const std::vector<SessionPart> parts, registry.ListParts(session_id, writer, seen, kPage));
    for (const SessionPart& part : parts) CAIRN_RETURN_IF_ERROR(visit(part));
    seen += parts.size();
    if (parts.size() < kPage) return seen;
  }
}

}  // namespace cairn
