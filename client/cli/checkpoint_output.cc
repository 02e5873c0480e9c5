#include "client/cli/checkpoint_output.h"

#include "absl/strings/str_cat.h"
#include "client/cli/text.h"

namespace cairn::cli {

nlohmann::json CheckpointToJson(const client::CheckpointInfo& checkpoint) {
  return {{"ref", checkpoint.ShownRef()},
          {"name", checkpoint.name},
          {"step", checkpoint.step},
          {"uid", checkpoint.uid},
          {"create_time", FormatUtc(checkpoint.create_time)},
          {"commit_time", FormatUtc(checkpoint.commit_time)},
          {"entry_count", checkpoint.entry_count},
          {"tensor_count", checkpoint.tensor_count},
          {"bytes", checkpoint.logical_bytes},
          {"new_bytes", checkpoint.new_bytes},
          {"metadata", checkpoint.metadata},
          {"parent", checkpoint.parent},
          {"created_by", checkpoint.created_by},
          {"tags", checkpoint.tags},
          {"manifest_digest", checkpoint.manifest_digest}};
}

std::string CheckpointLine(const client::CheckpointInfo& checkpoint) {
  return absl::StrCat(SafeText(checkpoint.ShownRef()), "  ", FormatBytes(checkpoint.logical_bytes), " (",
                      FormatBytes(checkpoint.new_bytes), " new)  ", FormatCount(checkpoint.entry_count),
                      checkpoint.entry_count == 1 ? " entry  " : " entries  ", SafeText(checkpoint.UidRef()));
}

}  // namespace cairn::cli
