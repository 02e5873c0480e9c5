#include "proto/wire/proto_convert.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"

namespace cairn::wire {
namespace {

constexpr size_t kMaxSegments = 64;
constexpr size_t kMaxShownBytes = 4096;

// What a Timestamp and a Duration may hold (their .proto files): the years 1 to 9999.
constexpr int64_t kMinTimestampSeconds = -62'135'596'800;
constexpr int64_t kMaxTimestampSeconds = 253'402'300'799;
constexpr int64_t kMaxDurationSeconds = 315'576'000'000;

// A bound for what ToString() gives, without making it: a character is shown as four at most, a position as 22.
size_t MostShownBytes(const KeyPath& path) {
  size_t bytes = 0;
  for (const KeyPath::Segment& segment : path.segments()) {
    const std::string* key = std::get_if<std::string>(&segment);
    bytes += key == nullptr ? 23 : 4 * key->size() + 3;
  }
  return bytes;
}

absl::Status CheckSegments(size_t segments) {
  if (segments == 0) return absl::InvalidArgumentError("a key path without segments");
  if (segments <= kMaxSegments) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a key path of ", segments, " segments, at most ", kMaxSegments, " are allowed"));
}

absl::Status CheckPath(const KeyPath& path) {
  CAIRN_RETURN_IF_ERROR(CheckSegments(path.segments().size()));
  if (MostShownBytes(path) <= kMaxShownBytes) return absl::OkStatus();
  const std::string shown = path.ToString();
  if (shown.size() <= kMaxShownBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a key path of ", shown.size(), " bytes (", shown.substr(0, 64),
                                                 "...), at most ", kMaxShownBytes, " are allowed"));
}

absl::StatusOr<uint64_t> CheckTensor(Dtype dtype, absl::Span<const int64_t> shape) {
  CAIRN_RETURN_IF_ERROR(FromProto(ToProto(dtype)).status());
  if (shape.size() > kMaxRank) {
    return absl::InvalidArgumentError(
        absl::StrCat("a tensor of ", shape.size(), " dimensions, at most ", kMaxRank, " are allowed"));
  }
  return ByteSize(dtype, shape);
}

absl::Status CheckAsset(uint64_t bytes) {
  if (bytes <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("an asset of ", bytes, " bytes is too large"));
}

absl::Status CheckKind(const Entry& entry) {
  switch (entry.kind) {
    case EntryKind::kTensor:
      return CheckTensor(entry.dtype, entry.shape).status();
    case EntryKind::kValue:
      return DecodeValue(EncodeValue(entry.value)).status();
    case EntryKind::kAsset:
      return CheckAsset(entry.byte_size);
    case EntryKind::kAlias:
      return CheckPath(entry.target);
  }
  return absl::InvalidArgumentError("an entry that is no tensor, value, asset or alias");
}

absl::StatusOr<Entry> TensorFromProto(KeyPath path, const v1::TensorType& proto) {
  CAIRN_ASSIGN_OR_RETURN(const Dtype dtype, FromProto(proto.dtype()));
  CAIRN_ASSIGN_OR_RETURN(const uint64_t bytes, CheckTensor(dtype, proto.shape()));
  return Entry::Tensor(std::move(path), dtype, Shape(proto.shape().begin(), proto.shape().end()), bytes);
}

absl::StatusOr<Entry> KindFromProto(KeyPath path, const v1::Entry& proto) {
  switch (proto.kind_case()) {
    case v1::Entry::kTensor:
      return TensorFromProto(std::move(path), proto.tensor());
    case v1::Entry::kValue: {
      CAIRN_ASSIGN_OR_RETURN(Value value, DecodeValue(proto.value()));
      return Entry::OfValue(std::move(path), std::move(value));
    }
    case v1::Entry::kAsset:
      CAIRN_RETURN_IF_ERROR(CheckAsset(proto.asset().bytes()));
      return Entry::Asset(std::move(path), proto.asset().bytes());
    case v1::Entry::kAliasOf: {
      CAIRN_ASSIGN_OR_RETURN(KeyPath target, FromProto(proto.alias_of()));
      return Entry::Alias(std::move(path), std::move(target));
    }
    case v1::Entry::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("an entry that is no tensor, value, asset or alias");
}

}  // namespace

absl::StatusOr<KeyPath> FromProto(const v1::KeyPath& proto) {
  CAIRN_RETURN_IF_ERROR(CheckSegments(proto.segments().size()));
  KeyPath path;
  for (const v1::KeySegment& segment : proto.segments()) {
    switch (segment.kind_case()) {
      case v1::KeySegment::kKey:
        path.Append(segment.key());
        break;
      case v1::KeySegment::kIndex:
        path.Append(segment.index());
        break;
      case v1::KeySegment::KIND_NOT_SET:
        return absl::InvalidArgumentError("a key path with a segment that is neither a key nor an index");
    }
  }
  CAIRN_RETURN_IF_ERROR(CheckPath(path));
  return path;
}

void ToProto(const KeyPath& path, v1::KeyPath* proto) {
  proto->Clear();
  for (const KeyPath::Segment& segment : path.segments()) {
    v1::KeySegment* out = proto->add_segments();
    if (const std::string* key = std::get_if<std::string>(&segment)) {
      out->set_key(*key);
    } else {
      out->set_index(std::get<int64_t>(segment));
    }
  }
}

absl::StatusOr<Entry> FromProto(const v1::Entry& proto) {
  CAIRN_ASSIGN_OR_RETURN(KeyPath path, FromProto(proto.path()));
  absl::StatusOr<Entry> entry = KindFromProto(std::move(path), proto);
  if (entry.ok()) return entry;
  CAIRN_ASSIGN_OR_RETURN(path, FromProto(proto.path()));  // Once more: it was given away.
  return Annotate(entry.status(), absl::StrCat("entry \"", path.ToString(), "\""));
}

absl::Status CheckEntry(const Entry& entry) {
  CAIRN_RETURN_IF_ERROR(CheckPath(entry.path));
  absl::Status status = CheckKind(entry);
  if (status.ok()) return status;
  return Annotate(status, absl::StrCat("entry \"", entry.path.ToString(), "\""));
}

void ToProto(const Entry& entry, v1::Entry* proto) {
  proto->Clear();
  ToProto(entry.path, proto->mutable_path());
  switch (entry.kind) {
    case EntryKind::kTensor:
      proto->mutable_tensor()->set_dtype(ToProto(entry.dtype));
      proto->mutable_tensor()->mutable_shape()->Assign(entry.shape.begin(), entry.shape.end());
      break;
    case EntryKind::kValue:
      proto->set_value(EncodeValue(entry.value));
      break;
    case EntryKind::kAsset:
      proto->mutable_asset()->set_bytes(entry.byte_size);
      break;
    case EntryKind::kAlias:
      ToProto(entry.target, proto->mutable_alias_of());
      break;
  }
}

absl::StatusOr<Box> FromProto(const v1::Box& proto, absl::Span<const int64_t> shape) {
  Box box;
  box.offset.assign(proto.offset().begin(), proto.offset().end());
  box.extent.assign(proto.extent().begin(), proto.extent().end());
  CAIRN_RETURN_IF_ERROR(CheckBox(box, shape));
  return box;
}

void ToProto(const Box& box, v1::Box* proto) {
  proto->mutable_offset()->Assign(box.offset.begin(), box.offset.end());
  proto->mutable_extent()->Assign(box.extent.begin(), box.extent.end());
}

absl::StatusOr<Dtype> FromProto(v1::Dtype proto) {
  const std::optional<Dtype> dtype = proto < 0 ? std::nullopt : DtypeFromNumber(static_cast<uint32_t>(proto));
  if (!dtype.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("unknown dtype number ", static_cast<int>(proto)));
  }
  return *dtype;
}

void ToProto(absl::Time time, google::protobuf::Timestamp* proto) {
  const absl::Time in_range = std::clamp(time, absl::FromUnixSeconds(kMinTimestampSeconds),
                                         absl::FromUnixSeconds(kMaxTimestampSeconds));
  const int64_t seconds = absl::ToUnixSeconds(in_range);  // Rounds down, so that nanos is never negative.
  proto->set_seconds(seconds);
  proto->set_nanos(static_cast<int32_t>((in_range - absl::FromUnixSeconds(seconds)) / absl::Nanoseconds(1)));
}

absl::Time FromProto(const google::protobuf::Timestamp& proto) {
  return absl::FromUnixSeconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

void ToProto(absl::Duration duration, google::protobuf::Duration* proto) {
  absl::Duration rest =
      std::clamp(duration, -absl::Seconds(kMaxDurationSeconds), absl::Seconds(kMaxDurationSeconds));
  proto->set_seconds(absl::IDivDuration(rest, absl::Seconds(1), &rest));
  proto->set_nanos(static_cast<int32_t>(rest / absl::Nanoseconds(1)));
}

absl::Duration FromProto(const google::protobuf::Duration& proto) {
  return absl::Seconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

}  // namespace cairn::wire
