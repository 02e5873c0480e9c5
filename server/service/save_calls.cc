#include "server/service/save_calls.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "proto/wire/proto_convert.h"
#include "server/service/page_token.h"
#include "server/service/put_step.h"
#include "server/service/row_convert.h"

namespace cairn {
namespace {

std::string SessionRef(const std::string& id) { return absl::StrCat("session:", id); }

void ShowSession(const SaveStatus& status, v1::SaveSession* proto) {
  ToProto(status.session, proto);
  if (status.checkpoint.has_value()) ToProto(*status.checkpoint, proto->mutable_checkpoint());
}

// With its checkpoint, if it has become one.
absl::Status ShowSession(ServiceContext& service, const Session& session, v1::SaveSession* proto) {
  SaveStatus status{.session = session};
  if (session.state == SessionState::kCommitted) {
    CAIRN_ASSIGN_OR_RETURN(status, service.engine.GetSaveStatus(session.id, std::nullopt));
  }
  ShowSession(status, proto);
  return absl::OkStatus();
}

}  // namespace

absl::Status HandleBeginSave(ServiceContext& service, RpcScope& scope, const v1::BeginSaveRequest& request,
                             v1::BeginSaveResponse* response) {
  scope.set_ref(absl::StrCat(request.name(), "@", request.step()));
  SessionSpec spec;
  spec.name = request.name();
  spec.step = request.step();
  spec.client_key = request.session_key();
  spec.writers = request.writers();
  spec.overwrite = request.overwrite();
  spec.auto_commit = request.auto_commit();
  spec.metadata.insert(request.metadata().begin(), request.metadata().end());
  spec.parent = request.parent();
  spec.created_by = request.created_by();
  spec.lease = request.has_lease() ? wire::FromProto(request.lease()) : absl::ZeroDuration();
  CAIRN_ASSIGN_OR_RETURN(const Session session, service.engine.BeginSave(std::move(spec), request.parent_is_previous()));
  CAIRN_RETURN_IF_ERROR(ShowSession(service, session, response->mutable_session()));
  response->set_max_chunk_bytes(service.options.max_chunk_bytes);
  response->set_extent_bytes(service.engine.options().upload.extent_bytes);
  response->set_max_small_entries(kMaxSmallEntries);
  response->set_parent_uid(session.spec.parent);
  response->set_delta_chunks(!session.spec.parent.empty());
  return absl::OkStatus();
}

absl::Status HandleGetSaveStatus(ServiceContext& service, RpcScope& scope, const v1::GetSaveStatusRequest& request,
                                 v1::GetSaveStatusResponse* response) {
  scope.set_ref(SessionRef(request.session_id()));
  uint64_t start = 0;
  if (!request.page_token().empty()) {
    CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> fields, ParsePageToken(request.page_token(), 1));
    if (!absl::SimpleAtoi(fields[0], &start)) return absl::InvalidArgumentError("page_token: not a token of this listing");
  }
  CAIRN_ASSIGN_OR_RETURN(const size_t page, PageSize(request.page_size(), 5000, 10'000));
  CAIRN_ASSIGN_OR_RETURN(
      const SaveStatus status,
      service.engine.GetSaveStatus(request.session_id(),
                                   request.has_writer() ? std::optional<uint32_t>(request.writer()) : std::nullopt));
  ShowSession(status, response->mutable_session());
  for (const auto& [writer, shard] : status.shards) response->set_durable_bytes(response->durable_bytes() + shard.durable_bytes);
  if (request.summary_only()) return absl::OkStatus();
  uint64_t bytes = 0;
  for (size_t i = start; i < status.shards.size(); ++i) {
    if (static_cast<size_t>(response->shards_size()) == page || bytes > kMaxPageBytes) {
      response->set_next_page_token(MakePageToken({absl::StrCat(i)}));
      break;
    }
    const auto& [writer, shard] = status.shards[i];
    v1::ShardStatus* out = response->add_shards();
    out->set_writer(writer);
    wire::ToProto(shard.entry.path, out->mutable_path());
    if (shard.entry.kind == EntryKind::kTensor) wire::ToProto(shard.box, out->mutable_box());
    out->set_durable_bytes(shard.durable_bytes);
    out->set_total_bytes(shard.total_bytes);
    out->set_finished(shard.finished);
    bytes += out->ByteSizeLong();
  }
  return absl::OkStatus();
}

absl::Status HandleFinishWriter(ServiceContext& service, RpcScope& scope, const v1::FinishWriterRequest& request,
                                v1::FinishWriterResponse* response) {
  scope.set_ref(SessionRef(request.session_id()));
  CAIRN_ASSIGN_OR_RETURN(const Session session, service.engine.FinishWriter(request.session_id(), request.writer()));
  return ShowSession(service, session, response->mutable_session());
}

absl::Status HandleCommitSave(ServiceContext& service, RpcScope& scope, const v1::CommitSaveRequest& request,
                              v1::CommitSaveResponse* response) {
  scope.set_ref(SessionRef(request.session_id()));
  CAIRN_ASSIGN_OR_RETURN(const CheckpointRow row, service.engine.CommitSave(request.session_id()));
  scope.set_ref(absl::StrCat(row.name, "@", row.step));
  ToProto(row, response->mutable_checkpoint());
  return absl::OkStatus();
}

absl::Status HandleAbortSave(ServiceContext& service, RpcScope& scope, const v1::AbortSaveRequest& request,
                             v1::AbortSaveResponse*) {
  scope.set_ref(SessionRef(request.session_id()));
  return service.engine.AbortSave(request.session_id());
}

}  // namespace cairn
