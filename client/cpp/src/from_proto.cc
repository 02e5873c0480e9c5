#include "client/cpp/src/from_proto.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "proto/wire/proto_convert.h"

namespace cairn::client {
namespace {

SessionState FromProto(v1::SessionState state) {
  switch (state) {
    case v1::SESSION_STATE_OPEN:
      return SessionState::kOpen;
    case v1::SESSION_STATE_COMMITTED:
      return SessionState::kCommitted;
    case v1::SESSION_STATE_ABORTED:
      return SessionState::kAborted;
    case v1::SESSION_STATE_EXPIRED:
      return SessionState::kExpired;
    default:
      return SessionState::kUnknown;
  }
}

}  // namespace

absl::Status BadAnswer(const absl::Status& status) {
  if (!absl::IsInvalidArgument(status)) return status;
  return absl::InternalError(absl::StrCat("the daemon's answer makes no sense: ", status.message()));
}

CheckpointInfo FromProto(const v1::Checkpoint& proto) {
  CheckpointInfo info;
  info.uid = proto.uid();
  info.name = proto.name();
  info.step = proto.step();
  info.create_time = wire::FromProto(proto.create_time());
  info.commit_time = wire::FromProto(proto.commit_time());
  info.entry_count = proto.entry_count();
  info.tensor_count = proto.tensor_count();
  info.logical_bytes = proto.logical_bytes();
  info.new_bytes = proto.new_bytes();
  info.metadata = {proto.metadata().begin(), proto.metadata().end()};
  info.parent = proto.parent();
  info.created_by = proto.created_by();
  info.tags = {proto.tags().begin(), proto.tags().end()};
  info.manifest_digest = proto.manifest_digest();
  return info;
}

SaveSession FromProto(const v1::SaveSession& proto) {
  SaveSession session;
  session.session_id = proto.session_id();
  session.name = proto.name();
  session.step = proto.step();
  session.writers = proto.writers();
  session.state = FromProto(proto.state());
  session.create_time = wire::FromProto(proto.create_time());
  session.expire_time = wire::FromProto(proto.expire_time());
  session.finished_writers = {proto.finished_writers().begin(), proto.finished_writers().end()};
  if (proto.has_checkpoint()) session.checkpoint = FromProto(proto.checkpoint());
  return session;
}

ConversionResult FromProto(const v1::ConvertResponse& proto) {
  ConversionResult result;
  result.progress = {proto.bytes_done(), proto.bytes_total(), proto.bytes_skipped(), proto.entries_done(), proto.entries_total()};
  result.source_format = proto.source_format();
  result.target_format = proto.target_format();
  if (proto.has_checkpoint()) result.checkpoint = FromProto(proto.checkpoint());
  result.weights = proto.weights();
  result.map = proto.map();
  result.map_dropped.assign(proto.map_dropped().begin(), proto.map_dropped().end());
  result.left_out.assign(proto.left_out().begin(), proto.left_out().end());
  result.notes.assign(proto.notes().begin(), proto.notes().end());
  return result;
}

namespace {

absl::StatusOr<Difference> FromProto(v1::DiffResponse::Difference difference) {
  switch (difference) {
    case v1::DiffResponse::DIFFERENCE_EQUAL:
      return Difference::kEqual;
    case v1::DiffResponse::DIFFERENCE_CHANGED:
      return Difference::kChanged;
    case v1::DiffResponse::DIFFERENCE_VALUE_CHANGED:
      return Difference::kValueChanged;
    case v1::DiffResponse::DIFFERENCE_ADDED:
      return Difference::kAdded;
    case v1::DiffResponse::DIFFERENCE_REMOVED:
      return Difference::kRemoved;
    case v1::DiffResponse::DIFFERENCE_RESHAPED:
      return Difference::kReshaped;
    case v1::DiffResponse::DIFFERENCE_RECAST:
      return Difference::kRecast;
    default:
      return absl::InvalidArgumentError(absl::StrCat("unknown difference ", static_cast<int>(difference)));
  }
}

DiffStatistics FromProto(const v1::DiffResponse::Statistics& proto) {
  DiffStatistics statistics;
  statistics.has_values = proto.has_values();
  statistics.elements = proto.elements();
  statistics.changed = proto.changed();
  statistics.outside = proto.outside();
  statistics.base_nan = proto.base_nan();
  statistics.base_infinite = proto.base_infinite();
  statistics.target_nan = proto.target_nan();
  statistics.target_infinite = proto.target_infinite();
  statistics.max_absolute = proto.max_absolute();
  statistics.max_relative = proto.max_relative();
  statistics.mean_absolute = proto.mean_absolute();
  statistics.mean_relative = proto.mean_relative();
  statistics.norm = proto.norm();
  statistics.base_norm = proto.base_norm();
  statistics.cosine = proto.cosine();
  return statistics;
}

absl::StatusOr<EntryDiff> Unchecked(const v1::DiffResponse::EntryDiff& proto) {
  EntryDiff diff;
  CAIRN_ASSIGN_OR_RETURN(diff.difference, FromProto(proto.difference()));
  if (proto.has_base()) {
    CAIRN_ASSIGN_OR_RETURN(diff.base, wire::FromProto(proto.base()));
  }
  if (proto.has_target()) {
    CAIRN_ASSIGN_OR_RETURN(diff.target, wire::FromProto(proto.target()));
  }
  // Readers take the one that the difference promises.
  const bool needs_base = diff.difference != Difference::kAdded, needs_target = diff.difference != Difference::kRemoved;
  if (diff.base.has_value() != needs_base || diff.target.has_value() != needs_target) {
    return absl::InvalidArgumentError("a difference without its entries");
  }
  if (proto.has_statistics()) diff.statistics = FromProto(proto.statistics());
  diff.close = proto.close();
  return diff;
}

}  // namespace

absl::StatusOr<EntryDiff> FromProto(const v1::DiffResponse::EntryDiff& proto) {
  absl::StatusOr<EntryDiff> diff = Unchecked(proto);
  if (!diff.ok()) return BadAnswer(diff.status());
  return diff;
}

Box BoxFromProto(const v1::Box& proto) {
  return Box{{proto.offset().begin(), proto.offset().end()}, {proto.extent().begin(), proto.extent().end()}};
}

absl::StatusOr<SaveStatus> FromProto(const v1::GetSaveStatusResponse& proto) {
  SaveStatus status;
  status.session = FromProto(proto.session());
  status.next_page_token = proto.next_page_token();
  status.durable_bytes = proto.durable_bytes();
  status.shards.reserve(proto.shards_size());
  for (const v1::ShardStatus& from : proto.shards()) {
    absl::StatusOr<KeyPath> path = wire::FromProto(from.path());
    if (!path.ok()) return BadAnswer(path.status());
    ShardStatus& shard = status.shards.emplace_back();
    shard.writer = from.writer();
    shard.path = *std::move(path);
    if (from.has_box()) shard.box = BoxFromProto(from.box());
    shard.durable_bytes = from.durable_bytes();
    shard.total_bytes = from.total_bytes();
    shard.finished = from.finished();
  }
  return status;
}

absl::StatusOr<EntryPage> FromProto(const v1::ListEntriesResponse& proto) {
  EntryPage page;
  page.checkpoint = FromProto(proto.checkpoint());
  page.next_page_token = proto.next_page_token();
  page.entries.reserve(proto.entries_size());
  for (const v1::EntryInfo& from : proto.entries()) {
    absl::StatusOr<Entry> entry = wire::FromProto(from.entry());
    if (!entry.ok()) return BadAnswer(entry.status());
    EntryInfo& info = page.entries.emplace_back();
    info.entry = *std::move(entry);
    info.bytes = from.bytes();
    info.digest = from.digest();
    for (const v1::Box& box : from.shards()) info.shards.push_back(BoxFromProto(box));
  }
  return page;
}

ServerInfo FromProto(const v1::GetServerInfoResponse& proto) {
  ServerInfo info;
  info.version = proto.version();
  info.start_time = wire::FromProto(proto.start_time());
  info.object_store = proto.object_store();
  info.registry = proto.registry();
  info.free_bytes = proto.free_bytes();
  info.total_bytes = proto.total_bytes();
  info.checkpoints = proto.checkpoints();
  info.open_sessions = proto.open_sessions();
  info.objects = proto.objects();
  info.object_bytes = proto.object_bytes();
  info.logical_bytes = proto.logical_bytes();
  info.max_chunk_bytes = proto.max_chunk_bytes();
  info.memory_budget_bytes = proto.memory_budget_bytes();
  info.memory_in_use_bytes = proto.memory_in_use_bytes();
  return info;
}

}  // namespace cairn::client
