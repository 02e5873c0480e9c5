#include "client/cpp/src/saved_shards.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/from_proto.h"
#include "common/base/status_macros.h"

namespace cairn::client {

absl::StatusOr<SavedShards> SavedShards::Load(Stub& stub, const PutSpec& spec, const CallLimits& limits) {
  SavedShards saved;
  v1::GetSaveStatusRequest request;
  request.set_session_id(spec.session_id);
  request.set_writer(spec.writer);
  do {
    CAIRN_ASSIGN_OR_RETURN(const v1::GetSaveStatusResponse answer, stub.GetSaveStatus(request, limits));
    CAIRN_ASSIGN_OR_RETURN(const SaveStatus status, FromProto(answer));
    for (const ShardStatus& shard : status.shards) saved.Add(shard);
    request.set_page_token(status.next_page_token);
  } while (!request.page_token().empty());
  return saved;
}

void SavedShards::Add(const ShardStatus& shard) {
  if (shard.total_bytes == 0) return;
  shards_[ShardKey(shard.path, shard.box)] = {shard.durable_bytes, shard.total_bytes, shard.finished};
}

absl::StatusOr<uint64_t> SavedShards::CatchUp(UploadEntry& entry) {
  Shard shard{0, entry.total(), false};
  // Most saves begin afresh: no key is made for nothing.
  if (!shards_.empty() && entry.total() > 0) {
    if (const auto it = shards_.find(entry.Key()); it != shards_.end()) {
      shard = it->second;
      shards_.erase(it);
    }
  }
  if (shard.total_bytes != entry.total()) {
    return absl::FailedPreconditionError(
        absl::StrCat(entry.ShownName(), " has ", entry.total(), " bytes, but was begun in this session with ",
                     shard.total_bytes, "; abort the session to save something else"));
  }
  if (shard.durable_bytes < entry.durable() || shard.durable_bytes > entry.total()) {
    return absl::DataLossError(absl::StrCat(entry.ShownName(), ": ", entry.durable(),
                                            " bytes were acknowledged as durable, but now the daemon has ",
                                            shard.durable_bytes));
  }
  const uint64_t more = entry.SetDurable(shard.durable_bytes);
  entry.sent = entry.durable();
  entry.finished_earlier = shard.finished;
  return more;
}

}  // namespace cairn::client
