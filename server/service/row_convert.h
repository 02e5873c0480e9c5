#pragma once

#include "cairn/v1/checkpoint.pb.h"
#include "server/registry/registry.h"

namespace cairn {

// Rows of the registry as the API shows them.
void ToProto(const CheckpointRow& row, v1::Checkpoint* proto);
void ToProto(const Session& session, v1::SaveSession* proto);

}  // namespace cairn
