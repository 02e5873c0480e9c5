#include "server/service/registry_calls.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/tensor/selection.h"
#include "proto/wire/proto_convert.h"
#include "server/engine/entry_digest.h"
#include "server/service/page_token.h"
#include "server/service/row_convert.h"

namespace cairn {

absl::Status HandleGetCheckpoint(ServiceContext& service, RpcScope& scope, const v1::GetCheckpointRequest& request,
                                 v1::Checkpoint* response) {
  scope.set_ref(request.ref());
  CAIRN_ASSIGN_OR_RETURN(const Ref ref, Ref::Parse(request.ref()));
  CAIRN_ASSIGN_OR_RETURN(const CheckpointRow row, service.engine.Resolve(ref));
  ToProto(row, response);
  return absl::OkStatus();
}

absl::Status HandleListCheckpoints(ServiceContext& service, RpcScope& scope, const v1::ListCheckpointsRequest& request,
                                   v1::ListCheckpointsResponse* response) {
  scope.set_ref(request.name().empty() ? absl::StrCat(request.name_prefix(), "*") : request.name());
  CheckpointFilter filter;
  filter.name = request.name();
  filter.name_prefix = request.name_prefix();
  filter.metadata.insert(request.metadata().begin(), request.metadata().end());
  std::string after_name;
  int64_t after_step = -1;
  if (!request.page_token().empty()) {
    CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> fields, ParsePageToken(request.page_token(), 2));
    after_name = fields[0];
    if (!absl::SimpleAtoi(fields[1], &after_step)) return absl::InvalidArgumentError("page_token: not a token of this listing");
  }
  CAIRN_ASSIGN_OR_RETURN(const size_t page, PageSize(request.page_size(), 200, 1000));
  CAIRN_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> rows,
                         service.engine.ListCheckpoints(filter, after_name, after_step, page));
  uint64_t bytes = 0;
  for (size_t i = 0; i < rows.size() && bytes < kMaxPageBytes; ++i) {
    v1::Checkpoint* checkpoint = response->add_checkpoints();
    ToProto(rows[i], checkpoint);
    bytes += checkpoint->ByteSizeLong();
  }
  const auto sent = static_cast<size_t>(response->checkpoints_size());
  if (sent < rows.size() || sent == page) {
    response->set_next_page_token(MakePageToken({rows[sent - 1].name, absl::StrCat(rows[sent - 1].step)}));
  }
  return absl::OkStatus();
}

absl::Status HandleListEntries(ServiceContext& service, RpcScope& scope, const v1::ListEntriesRequest& request,
                               v1::ListEntriesResponse* response) {
  scope.set_ref(request.ref());
  // The token pins the checkpoint: pages of one listing are about one checkpoint, whatever happens to the ref.
  uint64_t start = 0;
  CAIRN_ASSIGN_OR_RETURN(Ref ref, Ref::Parse(request.ref()));
  if (!request.page_token().empty()) {
    CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> fields, ParsePageToken(request.page_token(), 2));
    ref = Ref{};
    ref.uid = fields[0];
    if (!absl::SimpleAtoi(fields[1], &start)) return absl::InvalidArgumentError("page_token: not a token of this listing");
  }
  CAIRN_ASSIGN_OR_RETURN(const size_t page, PageSize(request.page_size(), 5000, 20'000));
  const std::vector<std::string> patterns(request.select().begin(), request.select().end());
  CAIRN_ASSIGN_OR_RETURN(const Selection selection, Selection::Parse(patterns));
  CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<const OpenCheckpoint> open, service.engine.Open(ref));
  ToProto(open->row, response->mutable_checkpoint());
  const std::vector<StoredEntry>& entries = open->manifest->entries;
  uint64_t bytes = 0;
  for (uint64_t i = start; i < entries.size(); ++i) {
    const StoredEntry& stored = entries[i];
    if (!selection.Matches(stored.entry.path)) continue;
    if (static_cast<size_t>(response->entries_size()) == page || bytes > kMaxPageBytes) {
      response->set_next_page_token(MakePageToken({open->row.uid, absl::StrCat(i)}));
      break;
    }
    v1::EntryInfo* info = response->add_entries();
    wire::ToProto(stored.entry, info->mutable_entry());
    info->set_bytes(stored.entry.byte_size);
    info->set_digest(EntryDigest(stored));
    if (request.with_shards() && stored.entry.kind == EntryKind::kTensor) {
      for (const StoredShard& shard : stored.shards) wire::ToProto(shard.box, info->add_shards());
    }
    bytes += info->ByteSizeLong();
  }
  return absl::OkStatus();
}

absl::Status HandleDeleteCheckpoint(ServiceContext& service, RpcScope& scope, const v1::DeleteCheckpointRequest& request,
                                    v1::DeleteCheckpointResponse* response) {
  scope.set_ref(request.ref());
  CAIRN_ASSIGN_OR_RETURN(const Ref ref, Ref::Parse(request.ref()));
  const absl::StatusOr<CheckpointRow> row = service.engine.DeleteCheckpoint(ref);
  if (absl::IsNotFound(row.status()) && request.allow_missing()) return absl::OkStatus();
  CAIRN_RETURN_IF_ERROR(row.status());
  ToProto(*row, response->mutable_checkpoint());
  return absl::OkStatus();
}

absl::Status HandleSetTag(ServiceContext& service, RpcScope& scope, const v1::SetTagRequest& request,
                          v1::Checkpoint* response) {
  scope.set_ref(request.ref());
  CAIRN_ASSIGN_OR_RETURN(const Ref ref, Ref::Parse(request.ref()));
  CAIRN_ASSIGN_OR_RETURN(
      const CheckpointRow row,
      service.engine.SetTag(ref, request.tag(),
                            request.has_expected_uid() ? std::optional<std::string>(request.expected_uid()) : std::nullopt));
  ToProto(row, response);
  return absl::OkStatus();
}

absl::Status HandleDeleteTag(ServiceContext& service, RpcScope& scope, const v1::DeleteTagRequest& request,
                             v1::DeleteTagResponse*) {
  scope.set_ref(absl::StrCat(request.name(), "@", request.tag()));
  absl::Status status = service.engine.DeleteTag(request.name(), request.tag());
  if (absl::IsNotFound(status) && request.allow_missing()) return absl::OkStatus();
  return status;
}

absl::Status HandleGetServerInfo(ServiceContext& service, RpcScope&, const v1::GetServerInfoRequest&,
                                 v1::GetServerInfoResponse* response) {
  CAIRN_ASSIGN_OR_RETURN(const CheckpointEngine::Info info, service.engine.GetInfo());
  response->set_version(service.options.version);
  wire::ToProto(service.options.start_time, response->mutable_start_time());
  response->set_object_store(info.object_store);
  response->set_registry(info.registry);
  response->set_free_bytes(info.space.free_bytes);
  response->set_total_bytes(info.space.total_bytes);
  response->set_checkpoints(info.totals.checkpoints);
  response->set_open_sessions(info.totals.open_sessions);
  response->set_objects(info.totals.objects);
  response->set_object_bytes(info.totals.object_bytes);
  response->set_logical_bytes(info.totals.logical_bytes);
  response->set_max_chunk_bytes(service.options.max_chunk_bytes);
  response->set_memory_budget_bytes(service.budget.limit());
  response->set_memory_in_use_bytes(service.budget.in_use());
  return absl::OkStatus();
}

}  // namespace cairn
