#include "server/registry/registry_rules.h"

#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace cairn::registry_rules {
namespace {

constexpr int64_t kForever = std::numeric_limits<int64_t>::max();
constexpr int64_t kNever = std::numeric_limits<int64_t>::min();

}  // namespace

int64_t ToMicros(absl::Time time) { return absl::ToUnixMicros(time); }

absl::Time TimeFromMicros(int64_t micros) {
  if (micros == kForever) return absl::InfiniteFuture();
  if (micros == kNever) return absl::InfinitePast();
  return absl::FromUnixMicros(micros);
}

int64_t ToMicros(absl::Duration duration) { return absl::ToInt64Microseconds(duration); }

absl::Duration DurationFromMicros(int64_t micros) {
  return micros == kForever ? absl::InfiniteDuration() : absl::Microseconds(micros);
}

absl::string_view SessionStateName(SessionState state) {
  switch (state) {
    case SessionState::kOpen:
      return "open";
    case SessionState::kCommitted:
      return "committed";
    case SessionState::kAborted:
      return "aborted";
    case SessionState::kExpired:
      return "expired";
  }
  return "unknown";
}

std::string Ref(absl::string_view name, int64_t step) { return absl::StrCat(name, "@", step); }

absl::Status CheckSpec(const SessionSpec& spec) {
  if (spec.client_key.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("save session for ", Ref(spec.name, spec.step),
                                                   ": the client key is empty; choose one per save"));
  }
  return absl::OkStatus();
}

absl::Status CheckRepeatedBegin(const Session& existing, const SessionSpec& spec) {
  const SessionSpec& had = existing.spec;
  if (had.name == spec.name && had.step == spec.step && had.writers == spec.writers) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat("client key \"", spec.client_key, "\" belongs to save session ", existing.id, " for ",
                   Ref(had.name, had.step), " with ", had.writers, " writers, not for ",
                   Ref(spec.name, spec.step), " with ", spec.writers, "; choose another key"));
}

absl::Status SessionIdTaken(absl::string_view id) {
  return absl::AlreadyExistsError(
      absl::StrCat("save session ", id, " exists already, under another client key"));
}

absl::Status NoSession(absl::string_view id) {
  return absl::NotFoundError(absl::StrCat("no save session ", id, "; it may have ended long ago"));
}

absl::Status NoSessionWithKey(absl::string_view client_key) {
  return absl::NotFoundError(absl::StrCat("no save session has the client key \"", client_key, "\""));
}

absl::Status CheckOpen(absl::string_view id, SessionState state) {
  if (state == SessionState::kOpen) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("save session ", id, " is ", SessionStateName(state), ", expected open"));
}

absl::Status CheckWriter(absl::string_view id, uint32_t writer, uint32_t writers) {
  if (writer < writers) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("save session ", id, " has ", writers,
                                                 " writers, numbered from 0; there is no writer ", writer));
}

absl::Status WriterFinished(absl::string_view id, uint32_t writer) {
  return absl::FailedPreconditionError(
      absl::StrCat("writer ", writer, " of save session ", id, " has finished already"));
}

absl::Status CheckPart(const SessionPart& part, size_t extents) {
  if (!part.object_key.empty() || (extents == 0 && part.object_bytes == 0)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a part of writer ", part.writer, " has ", extents,
                                                 " extents and ", part.object_bytes,
                                                 " bytes, but no object that holds them"));
}

absl::Status ObjectRecordedAlready(absl::string_view object_key) {
  return absl::AlreadyExistsError(
      absl::StrCat("object ", object_key, " is recorded already, by another part"));
}

absl::Status CheckCommitRow(absl::string_view session_id, absl::string_view name, int64_t step,
                            const CheckpointRow& row) {
  if (row.name == name && row.step == step) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("save session ", session_id, " is for ", Ref(name, step),
                                                 ", but its commit is for ", Ref(row.name, row.step)));
}

absl::Status PartCountDiffers(absl::string_view session_id, uint64_t expected, uint64_t found) {
  return absl::AbortedError(absl::StrCat("save session ", session_id, " has ", found, " parts, expected ",
                                         expected, "; one was recorded meanwhile, read them again"));
}

absl::Status ObjectNotLive(absl::string_view object_key, bool condemned) {
  return absl::AbortedError(absl::StrCat("object ", object_key, " is ",
                                         condemned ? "condemned as garbage" : "not known",
                                         "; its bytes must be stored again"));
}

absl::Status StepTaken(absl::string_view name, int64_t step) {
  return absl::AlreadyExistsError(
      absl::StrCat("checkpoint ", Ref(name, step), " exists already; ask for overwrite, or delete it first"));
}

absl::Status CheckSelector(absl::string_view name, bool has_step, absl::string_view tag) {
  if (!has_step || tag.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("checkpoint ", name, ": selected by a step and by tag \"", tag, "\"; give one of them"));
}

absl::Status NoName(absl::string_view name) {
  return absl::NotFoundError(absl::StrCat("no checkpoint is named ", name));
}

absl::Status NoStep(absl::string_view name, int64_t step) {
  return absl::NotFoundError(absl::StrCat("checkpoint ", name, " has no step ", step));
}

absl::Status NoStepBelow(absl::string_view name, int64_t step) {
  return absl::NotFoundError(absl::StrCat("checkpoint ", name, " has no step below ", step));
}

absl::Status NoTag(absl::string_view name, absl::string_view tag) {
  return absl::NotFoundError(absl::StrCat("checkpoint ", name, " has no tag \"", tag, "\""));
}

absl::Status NoUid(absl::string_view uid) {
  return absl::NotFoundError(absl::StrCat("no checkpoint has the uid ", uid, "; it may have been deleted"));
}

absl::Status CheckSettableTag(absl::string_view tag) {
  if (tag.empty()) return absl::InvalidArgumentError("the tag is empty");
  if (tag == kLatestTag) {
    return absl::InvalidArgumentError(
        absl::StrCat("tag \"", kLatestTag, "\" is always the highest step; it cannot be set"));
  }
  return absl::OkStatus();
}

absl::Status TagMoved(absl::string_view name, absl::string_view tag, absl::string_view expected,
                      absl::string_view found) {
  auto target = [](absl::string_view uid) {
    return uid.empty() ? std::string("nothing") : absl::StrCat("checkpoint ", uid);
  };
  return absl::AbortedError(absl::StrCat("tag \"", tag, "\" of ", name, " points to ", target(found),
                                         ", expected ", target(expected),
                                         "; somebody moved it meanwhile, look again"));
}

ListStart StartOfList(const CheckpointFilter& filter, absl::string_view after_name, int64_t after_step) {
  ListStart after{std::string(after_name), after_step};
  // No name is less than the prefix that it begins with, and no step is this small.
  ListStart range{filter.name.empty() ? filter.name_prefix : filter.name,
                  std::numeric_limits<int64_t>::min()};
  return std::pair(after.name, after.step) < std::pair(range.name, range.step) ? range : after;
}

bool NameInRange(const CheckpointFilter& filter, absl::string_view name) {
  return (filter.name.empty() || name == filter.name) && absl::StartsWith(name, filter.name_prefix);
}

}  // namespace cairn::registry_rules
