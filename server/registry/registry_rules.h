#pragma once

// What the contract of registry.h says that no database needs to know: how times become numbers, which
// refusal has which code and words, and where a listing begins and ends. Shared by every implementation.

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/registry/registry.h"

namespace cairn::registry_rules {

// Times are stored as microseconds since 1970; the two ends of int64 are the infinite past and future.
int64_t ToMicros(absl::Time time);
absl::Time TimeFromMicros(int64_t micros);
// Lengths of leases; INT64_MAX is for ever.
int64_t ToMicros(absl::Duration duration);
absl::Duration DurationFromMicros(int64_t micros);

absl::string_view SessionStateName(SessionState state);
// "NAME@STEP".
std::string Ref(absl::string_view name, int64_t step);

// -- Sessions

// INVALID_ARGUMENT for what no registry could keep apart.
absl::Status CheckSpec(const SessionSpec& spec);
// ALREADY_EXISTS unless `existing` (found by the client key) is the session that `spec` asks for.
absl::Status CheckRepeatedBegin(const Session& existing, const SessionSpec& spec);
absl::Status SessionIdTaken(absl::string_view id);
absl::Status NoSession(absl::string_view id);
absl::Status NoSessionWithKey(absl::string_view client_key);
// OK if open, else FAILED_PRECONDITION naming the state.
absl::Status CheckOpen(absl::string_view id, SessionState state);
// INVALID_ARGUMENT for a writer that the session does not have.
absl::Status CheckWriter(absl::string_view id, uint32_t writer, uint32_t writers);
absl::Status WriterFinished(absl::string_view id, uint32_t writer);
// INVALID_ARGUMENT for extents without an object that holds them.
absl::Status CheckPart(const SessionPart& part, size_t extents);
absl::Status ObjectRecordedAlready(absl::string_view object_key);

// -- Commits

// INVALID_ARGUMENT unless the row is for the session's name and step.
absl::Status CheckCommitRow(absl::string_view session_id, absl::string_view name, int64_t step,
                            const CheckpointRow& row);
absl::Status PartCountDiffers(absl::string_view session_id, uint64_t expected, uint64_t found);
absl::Status ObjectNotLive(absl::string_view object_key, bool condemned);
absl::Status StepTaken(absl::string_view name, int64_t step);

// -- Checkpoints and tags

// The tag that is computed.
inline constexpr absl::string_view kLatestTag = "latest";
// INVALID_ARGUMENT for a selector that says two things.
absl::Status CheckSelector(absl::string_view name, bool has_step, absl::string_view tag);
absl::Status NoName(absl::string_view name);
absl::Status NoStep(absl::string_view name, int64_t step);
absl::Status NoStepBelow(absl::string_view name, int64_t step);
absl::Status NoTag(absl::string_view name, absl::string_view tag);
absl::Status NoUid(absl::string_view uid);
// INVALID_ARGUMENT for `latest` and for nothing.
absl::Status CheckSettableTag(absl::string_view tag);
// ABORTED: `found` is empty if there is no such tag.
absl::Status TagMoved(absl::string_view name, absl::string_view tag, absl::string_view expected,
                      absl::string_view found);

// A listing is a walk in the order of (name, step) that begins behind a position and ends with the first name
// that leaves the filter's range.
struct ListStart {
  std::string name;
  int64_t step = 0;
};
ListStart StartOfList(const CheckpointFilter& filter, absl::string_view after_name, int64_t after_step);
bool NameInRange(const CheckpointFilter& filter, absl::string_view name);

}  // namespace cairn::registry_rules
