// The end of a save: from the records of its writers to a checkpoint that everybody sees.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error_info.h"
#include "common/base/fail_point.h"
#include "common/base/status_macros.h"
#include "server/engine/checkpoint_engine.h"
#include "server/engine/session_parts.h"

namespace cairn {
namespace {

std::string RandomHex() {
  absl::BitGen random;
  return absl::StrCat(absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16),
                      absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16));
}

absl::Status CheckAllFinished(const Session& session) {
  if (session.finished_writers.size() == session.spec.writers) return absl::OkStatus();
  std::vector<uint32_t> missing;
  for (uint32_t writer = 0; writer < session.spec.writers && missing.size() < 10; ++writer) {
    if (!std::binary_search(session.finished_writers.begin(), session.finished_writers.end(), writer)) {
      missing.push_back(writer);
    }
  }
  const std::string found = absl::StrCat(session.finished_writers.size(), " of ", session.spec.writers);
  return WithErrorInfo(absl::FailedPreconditionError(absl::StrCat(
                           session.spec.name, "@", session.spec.step, ": ", found, " writers have finished; missing: ",
                           absl::StrJoin(missing, ", "), missing.size() == 10 ? ", ..." : "")),
                       {"WRITERS_MISSING",
                        {{"ref", absl::StrCat(session.spec.name, "@", session.spec.step)},
                         {"expected", absl::StrCat(session.spec.writers)},
                         {"found", absl::StrCat(session.finished_writers.size())}}});
}

// Only the objects and bases that extents point to: a retried part may have left others.
void DropUnused(Manifest& manifest) {
  std::vector<uint32_t> base_numbers(manifest.bases.size() + 1, 0);
  const auto for_each_extent = [&manifest](auto&& visit) {
    for (StoredEntry& stored : manifest.entries) {
      for (StoredShard& shard : stored.shards) {
        for (Extent& extent : shard.extents) visit(extent);
      }
    }
  };
  for_each_extent([&](const Extent& extent) { base_numbers[extent.base] = 1; });
  for (size_t i = manifest.bases.size(); i > 0; --i) {
    if (base_numbers[i] != 0) base_numbers[manifest.bases[i - 1].base] = 1;
  }
  base_numbers[0] = 0;
  std::vector<Extent> used_bases;
  for (size_t i = 0; i < manifest.bases.size(); ++i) {
    if (base_numbers[i + 1] == 0) continue;
    used_bases.push_back(manifest.bases[i]);
    base_numbers[i + 1] = static_cast<uint32_t>(used_bases.size());
  }
  manifest.bases = std::move(used_bases);

  std::vector<uint32_t> object_numbers(manifest.objects.size(), UINT32_MAX);
  std::vector<std::string> used_objects;
  const auto renumber = [&](Extent& extent) {
    uint32_t& number = object_numbers[extent.object];
    if (number == UINT32_MAX) {
      number = static_cast<uint32_t>(used_objects.size());
      used_objects.push_back(manifest.objects[extent.object]);
    }
    extent.object = number;
    extent.base = base_numbers[extent.base];
  };
  for_each_extent(renumber);
  for (Extent& base : manifest.bases) renumber(base);
  manifest.objects = std::move(used_objects);
}

}  // namespace

absl::StatusOr<Manifest> CheckpointEngine::AssembleManifest(const Session& session, uint64_t* part_count,
                                                            uint64_t* new_bytes) {
  ManifestAssembler assembler;
  *part_count = 0;
  *new_bytes = 0;
  // Writer by writer, so that the order of entries does not depend on who was faster.
  for (uint32_t writer = 0; writer < session.spec.writers; ++writer) {
    CAIRN_ASSIGN_OR_RETURN(const uint64_t parts,
                           ForEachPart(*registry_, session.id, writer, [&](const SessionPart& part) -> absl::Status {
                             *new_bytes += part.object_bytes;
                             CAIRN_ASSIGN_OR_RETURN(SessionRecord record, DecodeSessionRecord(part.record));
                             return assembler.Add(writer, std::move(record));
                           }));
    *part_count += parts;
  }
  CAIRN_ASSIGN_OR_RETURN(Manifest manifest, assembler.Finish(session.spec.metadata));
  DropUnused(manifest);
  return manifest;
}

absl::StatusOr<CheckpointRow> CheckpointEngine::CommitSave(const std::string& session_id) {
  constexpr int kAttempts = 5;
  for (int attempt = 1;; ++attempt) {
    CAIRN_ASSIGN_OR_RETURN(const Session session, registry_->GetSession(session_id));
    if (session.state == SessionState::kCommitted) return registry_->GetCheckpointByUid(session.checkpoint_uid);
    // An ended session is refused here, by the registry, which says how it ended.
    CAIRN_RETURN_IF_ERROR(registry_->RenewSession(session_id, clock_.Now()));
    CAIRN_RETURN_IF_ERROR(CheckAllFinished(session));

    CheckpointRow row;
    uint64_t part_count = 0;
    CAIRN_ASSIGN_OR_RETURN(const Manifest manifest, AssembleManifest(session, &part_count, &row.new_bytes));
    row.uid = RandomHex();
    row.name = session.spec.name;
    row.step = session.spec.step;
    row.created_at = session.created_at;
    row.metadata = session.spec.metadata;
    row.parent = session.spec.parent;
    row.created_by = session.spec.created_by;
    row.entry_count = manifest.entries.size();
    for (const StoredEntry& stored : manifest.entries) {
      row.tensor_count += stored.entry.kind == EntryKind::kTensor;
      row.logical_bytes += stored.entry.byte_size;
    }
    const std::string bytes = EncodeManifest(manifest);
    row.manifest_key = absl::StrCat(session_id, "/manifest-", RandomHex().substr(0, 16));
    row.manifest_bytes = bytes.size();
    row.manifest_digest = DigestOf(bytes, DigestAlgorithm::kSha256);
    CAIRN_FAIL_POINT("commit.before_manifest");
    CAIRN_RETURN_IF_ERROR(PutObject(*store_, row.manifest_key, bytes));
    CAIRN_FAIL_POINT("commit.before_row");
    absl::StatusOr<CheckpointRow> committed =
        registry_->CommitSession(session_id, row, manifest.objects, part_count, clock_.Now());
    CAIRN_FAIL_POINT("commit.after_row");
    // ABORTED: a stream recorded something while we looked. The manifest that nobody points to is garbage.
    if (absl::IsAborted(committed.status()) && attempt < kAttempts) continue;
    return committed;
  }
}

}  // namespace cairn
