#pragma once

#include "absl/status/statusor.h"
#include "cairn/types.h"
#include "cairn/v1/checkpoint_service.pb.h"

// Answers of the daemon -> types of the library. INTERNAL for an answer that makes no sense.
namespace cairn::client {

CheckpointInfo FromProto(const v1::Checkpoint& proto);
SaveSession FromProto(const v1::SaveSession& proto);
absl::StatusOr<SaveStatus> FromProto(const v1::GetSaveStatusResponse& proto);
absl::StatusOr<EntryPage> FromProto(const v1::ListEntriesResponse& proto);
ServerInfo FromProto(const v1::GetServerInfoResponse& proto);
ConversionResult FromProto(const v1::ConvertResponse& proto);

absl::StatusOr<EntryDiff> FromProto(const v1::DiffResponse::EntryDiff& proto);

// A box as it came, not yet held against a shape.
Box BoxFromProto(const v1::Box& proto);

// INVALID_ARGUMENT from reading what the daemon sent is no fault of the caller's.
absl::Status BadAnswer(const absl::Status& status);

}  // namespace cairn::client
