#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/v1/tensor.pb.h"
#include "common/tensor/checkpoint_index.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace cairn::wire {

// Proto <-> domain, with validation on the way in: INVALID_ARGUMENT for an unknown dtype, a shape or size that
// overflows, a path with no segment, more than 64 segments or more than 4096 shown bytes, a value that does not
// decode, a box that leaves its tensor.

absl::StatusOr<KeyPath> FromProto(const v1::KeyPath& proto);
void ToProto(const KeyPath& path, v1::KeyPath* proto);

// Fills Entry::byte_size.
absl::StatusOr<Entry> FromProto(const v1::Entry& proto);
void ToProto(const Entry& entry, v1::Entry* proto);
// What FromProto would say of ToProto(entry): whether the peer will take it.
absl::Status CheckEntry(const Entry& entry);

absl::StatusOr<Box> FromProto(const v1::Box& proto, absl::Span<const int64_t> shape);
void ToProto(const Box& box, v1::Box* proto);

absl::StatusOr<Dtype> FromProto(v1::Dtype proto);
inline v1::Dtype ToProto(Dtype dtype) { return static_cast<v1::Dtype>(dtype); }

void ToProto(absl::Time time, google::protobuf::Timestamp* proto);
absl::Time FromProto(const google::protobuf::Timestamp& proto);
void ToProto(absl::Duration duration, google::protobuf::Duration* proto);
absl::Duration FromProto(const google::protobuf::Duration& proto);

}  // namespace cairn::wire
