#include "server/service/row_convert.h"

#include "proto/wire/proto_convert.h"

namespace cairn {

void ToProto(const CheckpointRow& row, v1::Checkpoint* proto) {
  proto->set_uid(row.uid);
  proto->set_name(row.name);
  proto->set_step(row.step);
  wire::ToProto(row.created_at, proto->mutable_create_time());
  wire::ToProto(row.committed_at, proto->mutable_commit_time());
  proto->set_entry_count(row.entry_count);
  proto->set_tensor_count(row.tensor_count);
  proto->set_logical_bytes(row.logical_bytes);
  proto->set_new_bytes(row.new_bytes);
  proto->mutable_metadata()->insert(row.metadata.begin(), row.metadata.end());
  proto->set_parent(row.parent);
  proto->set_created_by(row.created_by);
  proto->mutable_tags()->Add(row.tags.begin(), row.tags.end());
  proto->set_manifest_digest(row.manifest_digest.ToHex());
}

void ToProto(const Session& session, v1::SaveSession* proto) {
  proto->set_session_id(session.id);
  proto->set_name(session.spec.name);
  proto->set_step(session.spec.step);
  proto->set_writers(session.spec.writers);
  proto->set_state(static_cast<v1::SessionState>(session.state));
  wire::ToProto(session.created_at, proto->mutable_create_time());
  wire::ToProto(session.expires_at, proto->mutable_expire_time());
  proto->mutable_finished_writers()->Add(session.finished_writers.begin(), session.finished_writers.end());
}

}  // namespace cairn
