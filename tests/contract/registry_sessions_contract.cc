#include <limits>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/contract/registry_contract.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using absl::StatusCode;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

SessionSpec FullSpec() {
  SessionSpec spec = SpecOf("team/run", 400, "client-1");
  spec.writers = 3;
  spec.overwrite = true;
  spec.auto_commit = true;
  spec.metadata = {{"", "empty key"}, {"loss", "0.25"}, {"note", "quote ' and \" and \xc3\xa9"}};
  spec.parent = "uid-parent";
  spec.created_by = "host/user";
  spec.lease = absl::Seconds(90) + absl::Microseconds(7);
  spec.options = std::string("\0opaque\xff", 8);
  return spec;
}

void ExpectFullSession(const Session& session) {
  const SessionSpec spec = FullSpec();
  EXPECT_EQ(session.id, "s1");
  EXPECT_EQ(session.spec.name, spec.name);
  EXPECT_EQ(session.spec.step, spec.step);
  EXPECT_EQ(session.spec.client_key, spec.client_key);
  EXPECT_EQ(session.spec.writers, spec.writers);
  EXPECT_TRUE(session.spec.overwrite);
  EXPECT_TRUE(session.spec.auto_commit);
  EXPECT_EQ(session.spec.metadata, spec.metadata);
  EXPECT_EQ(session.spec.parent, spec.parent);
  EXPECT_EQ(session.spec.created_by, spec.created_by);
  EXPECT_EQ(session.spec.lease, spec.lease);
  EXPECT_EQ(session.spec.options, spec.options);
  EXPECT_EQ(session.state, SessionState::kOpen);
  EXPECT_EQ(session.created_at, At(5));
  EXPECT_EQ(session.expires_at, At(5) + spec.lease);
  EXPECT_THAT(session.finished_writers, IsEmpty());
  EXPECT_EQ(session.checkpoint_uid, "");
}

TEST_P(RegistryContract, BeginSessionKeepsEverythingItIsGiven) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const Session begun, registry_->BeginSession("s1", FullSpec(), At(5)));
  ExpectFullSession(begun);
  Reopen();
  CAIRN_ASSERT_OK_AND_ASSIGN(const Session found, registry_->GetSession("s1"));
  ExpectFullSession(found);
}

TEST_P(RegistryContract, BeginSessionTakesEmptyOptionalFieldsAndAnEndlessLease) {
  SessionSpec spec = SpecOf("a", 0, "k");
  spec.lease = absl::InfiniteDuration();
  CAIRN_ASSERT_OK_AND_ASSIGN(const Session session, registry_->BeginSession("s1", spec, At(0)));
  EXPECT_EQ(session.expires_at, absl::InfiniteFuture());
  EXPECT_EQ(session.spec.lease, absl::InfiniteDuration());
  EXPECT_EQ(session.spec.options, "");
  EXPECT_THAT(session.spec.metadata, IsEmpty());
}

TEST_P(RegistryContract, BeginSessionAgainReturnsTheSameSession) {
  CAIRN_ASSERT_OK(registry_->BeginSession("s1", FullSpec(), At(5)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Session again, registry_->BeginSession("s2", FullSpec(), At(60)));
  ExpectFullSession(again);
  EXPECT_THAT(registry_->GetSession("s2"), StatusIs(StatusCode::kNotFound));
}

TEST_P(RegistryContract, BeginSessionAgainReturnsItWhateverItsState) {
  Begin("aborted", 1);
  CAIRN_ASSERT_OK(registry_->AbortSession("s-aborted", At(0)));
  CAIRN_ASSERT_OK_AND_ASSIGN(Session again,
                             registry_->BeginSession("x", SpecOf("team/run", 1, "aborted"), At(1)));
  EXPECT_EQ(again.id, "s-aborted");
  EXPECT_EQ(again.state, SessionState::kAborted);

  // Its own checkpoint does not stand in its way.
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 7}));
  CAIRN_ASSERT_OK_AND_ASSIGN(again, registry_->BeginSession("y", SpecOf("team/run", 7, "key-u1"), At(1)));
  EXPECT_EQ(again.state, SessionState::kCommitted);
  EXPECT_EQ(again.checkpoint_uid, "u1");
}

TEST_P(RegistryContract, BeginSessionRefusesAKeyThatMeansSomethingElse) {
  CAIRN_ASSERT_OK(registry_->BeginSession("s1", SpecOf("team/run", 1, "k"), At(0)));
  SessionSpec more_writers = SpecOf("team/run", 1, "k");
  more_writers.writers = 2;
  for (const SessionSpec& other : {SpecOf("team/other", 1, "k"), SpecOf("team/run", 2, "k"), more_writers}) {
    EXPECT_THAT(registry_->BeginSession("s2", other, At(0)),
                StatusIs(StatusCode::kAlreadyExists, AllOf(HasSubstr("s1"), HasSubstr("team/run@1"))));
  }
}

TEST_P(RegistryContract, BeginSessionRefusesAnEmptyKeyAndATakenId) {
  EXPECT_THAT(registry_->BeginSession("s1", SpecOf("a", 1, ""), At(0)),
              StatusIs(StatusCode::kInvalidArgument));
  CAIRN_ASSERT_OK(registry_->BeginSession("s1", SpecOf("a", 1, "k1"), At(0)));
  EXPECT_THAT(registry_->BeginSession("s1", SpecOf("a", 2, "k2"), At(0)),
              StatusIs(StatusCode::kAlreadyExists, HasSubstr("s1")));
}

TEST_P(RegistryContract, BeginSessionRefusesACommittedStepUnlessItOverwrites) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 4}));
  SessionSpec spec = SpecOf("team/run", 4, "k");
  EXPECT_THAT(registry_->BeginSession("s1", spec, At(0)),
              StatusIs(StatusCode::kAlreadyExists, HasSubstr("team/run@4")));
  spec.overwrite = true;
  CAIRN_EXPECT_OK(registry_->BeginSession("s1", spec, At(0)));
  CAIRN_EXPECT_OK(registry_->BeginSession("s2", SpecOf("team/other", 4, "k2"), At(0)));
}

TEST_P(RegistryContract, BeginSessionTakesAStepWhoseCheckpointWasDeleted) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 4}));
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("u1", At(0)));
  CAIRN_EXPECT_OK(registry_->BeginSession("s1", SpecOf("team/run", 4, "k"), At(0)));
}

TEST_P(RegistryContract, NoSessionMethodInventsASession) {
  const auto not_found = StatusIs(StatusCode::kNotFound, HasSubstr("ghost"));
  EXPECT_THAT(registry_->GetSession("ghost"), not_found);
  EXPECT_THAT(registry_->RenewSession("ghost", At(0)), not_found);
  EXPECT_THAT(Record("ghost", "object"), not_found);
  EXPECT_THAT(registry_->ListParts("ghost", std::nullopt, 0, 10), not_found);
  EXPECT_THAT(registry_->ClaimExtents("ghost", {}), not_found);
  EXPECT_THAT(registry_->ClaimObjects("ghost", {}), not_found);
  EXPECT_THAT(registry_->GetSessionByKey("ghost"), not_found);
  EXPECT_THAT(registry_->FinishWriter("ghost", 0, At(0)), not_found);
  EXPECT_THAT(registry_->CommitSession("ghost", RowOf("u", "team/run", 1), {}, 0, At(0)), not_found);
  EXPECT_THAT(registry_->AbortSession("ghost", At(0)), not_found);
  EXPECT_FALSE(Knows("object"));
}

TEST_P(RegistryContract, OnlyAnOpenSessionTakesCalls) {
  Begin("aborted", 1);
  CAIRN_ASSERT_OK(registry_->AbortSession("s-aborted", At(0)));
  Begin("expired", 2);
  CAIRN_ASSERT_OK(registry_->ExpireSessions(At(100'000)));
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 3}));
  const std::map<std::string, std::string> states = {
      {"s-aborted", "aborted"}, {"s-expired", "expired"}, {"session-u1", "committed"}};
  for (const auto& [id, state] : states) {
    const auto refused = StatusIs(StatusCode::kFailedPrecondition, AllOf(HasSubstr(id), HasSubstr(state)));
    EXPECT_THAT(registry_->RenewSession(id, At(0)), refused);
    EXPECT_THAT(Record(id, absl::StrCat("object of ", id)), refused);
    EXPECT_THAT(registry_->ClaimExtents(id, {}), refused);
    EXPECT_THAT(registry_->ClaimObjects(id, {}), refused);
    EXPECT_THAT(registry_->FinishWriter(id, 0, At(0)), refused);
    EXPECT_FALSE(Knows(absl::StrCat("object of ", id)));
  }
  for (const char* id : {"s-aborted", "s-expired"}) {
    EXPECT_THAT(registry_->CommitSession(id, RowOf("u2", "team/run", 1), {}, 0, At(0)),
                StatusIs(StatusCode::kFailedPrecondition));
  }
}

TEST_P(RegistryContract, RenewSessionMovesTheEndOfTheLease) {
  Begin("k", 1);
  CAIRN_ASSERT_OK(registry_->RenewSession("s-k", At(1000)));
  CAIRN_ASSERT_OK_AND_ASSIGN(Session session, registry_->GetSession("s-k"));
  EXPECT_EQ(session.expires_at, At(1000) + absl::Minutes(10));
  EXPECT_EQ(session.created_at, At(0));

  CAIRN_ASSERT_OK(registry_->RecordPart("s-k", {.object_key = "o"}, {}, At(2000)));
  CAIRN_ASSERT_OK_AND_ASSIGN(session, registry_->GetSession("s-k"));
  EXPECT_EQ(session.expires_at, At(2000) + absl::Minutes(10));

  CAIRN_ASSERT_OK_AND_ASSIGN(session, registry_->FinishWriter("s-k", 0, At(3000)));
  EXPECT_EQ(session.expires_at, At(3000) + absl::Minutes(10));
}

TEST_P(RegistryContract, ExpireSessionsEndsExactlyThoseWhoseLeaseIsOver) {
  SessionSpec spec = SpecOf("team/run", 1, "later");
  spec.lease = absl::Seconds(20);
  CAIRN_ASSERT_OK(registry_->BeginSession("later", spec, At(1)));
  spec = SpecOf("team/run", 2, "first");
  spec.lease = absl::Seconds(20);
  CAIRN_ASSERT_OK(registry_->BeginSession("first", spec, At(0)));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::vector<std::string> ids, registry_->ExpireSessions(At(19)));
  EXPECT_THAT(ids, IsEmpty());
  CAIRN_ASSERT_OK_AND_ASSIGN(ids, registry_->ExpireSessions(At(20)));
  EXPECT_THAT(ids, ElementsAre("first"));
  CAIRN_ASSERT_OK_AND_ASSIGN(ids, registry_->ExpireSessions(At(20)));
  EXPECT_THAT(ids, IsEmpty());
  CAIRN_ASSERT_OK_AND_ASSIGN(const Session session, registry_->GetSession("first"));
  EXPECT_EQ(session.state, SessionState::kExpired);
  CAIRN_ASSERT_OK_AND_ASSIGN(ids, registry_->ExpireSessions(At(1000)));
  EXPECT_THAT(ids, ElementsAre("later"));
}

TEST_P(RegistryContract, ListPartsKeepsTheOrderAndPagesOverTheSelection) {
  Begin("k", 1, /*writers=*/2);
  Begin("other", 2);
  CAIRN_ASSERT_OK(Record("s-other", "o-other"));
  for (int i = 0; i < 6; ++i) {
    SessionPart part;
    part.writer = i % 2;
    if (i != 3) part.object_key = absl::StrCat("o", i);
    part.object_bytes = i == 3 ? 0 : 1000 + i;
    part.record = i == 4 ? std::string("\0\xff", 2) : absl::StrCat("record ", i);
    CAIRN_ASSERT_OK(registry_->RecordPart("s-k", part, {}, At(0)));
  }
  const auto records = [&](std::optional<uint32_t> writer, uint64_t start, size_t limit) {
    std::vector<std::string> found;
    const auto parts = registry_->ListParts("s-k", writer, start, limit);
    CAIRN_EXPECT_OK(parts);
    if (!parts.ok()) return found;
    for (const SessionPart& part : *parts) found.push_back(part.object_key + "|" + part.record);
    return found;
  };
  const std::string binary = std::string("o4|\0\xff", 5);
  EXPECT_THAT(records(std::nullopt, 0, 100),
              ElementsAre("o0|record 0", "o1|record 1", "o2|record 2", "|record 3", binary, "o5|record 5"));
  EXPECT_THAT(records(std::nullopt, 2, 3), ElementsAre("o2|record 2", "|record 3", binary));
  EXPECT_THAT(records(1, 0, 100), ElementsAre("o1|record 1", "|record 3", "o5|record 5"));
  EXPECT_THAT(records(1, 1, 1), ElementsAre("|record 3"));
  EXPECT_THAT(records(std::nullopt, 6, 10), IsEmpty());
  EXPECT_THAT(records(std::nullopt, 0, 0), IsEmpty());
  EXPECT_THAT(records(std::nullopt, std::numeric_limits<uint64_t>::max(), std::numeric_limits<size_t>::max()),
              IsEmpty());
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto parts, registry_->ListParts("s-k", 1, 0, 1));
  EXPECT_EQ(parts[0].writer, 1u);
  EXPECT_EQ(parts[0].object_bytes, 1001u);
}

TEST_P(RegistryContract, RecordPartRefusesWhatCannotBe) {
  Begin("k", 1, /*writers=*/2);
  EXPECT_THAT(Record("s-k", "o", {}, /*writer=*/2),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("2 writers")));
  EXPECT_THAT(Record("s-k", "", ExtentNumbers(0, 1)), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(registry_->RecordPart("s-k", {.object_bytes = 5}, {}, At(0)),
              StatusIs(StatusCode::kInvalidArgument));
  CAIRN_ASSERT_OK(registry_->FinishWriter("s-k", 1, At(0)));
  EXPECT_THAT(Record("s-k", "o", {}, /*writer=*/1),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("writer 1")));
  EXPECT_FALSE(Knows("o"));
  CAIRN_EXPECT_OK(Record("s-k", "o", {}, /*writer=*/0));
}

TEST_P(RegistryContract, RecordPartAgainRecordsItOnce) {
  Begin("k", 1, /*writers=*/2);
  Begin("other", 2);
  CAIRN_ASSERT_OK(Record("s-k", "o", ExtentNumbers(0, 3)));
  CAIRN_ASSERT_OK(Record("s-k", "o", ExtentNumbers(0, 3)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto parts, registry_->ListParts("s-k", std::nullopt, 0, 10));
  EXPECT_EQ(parts.size(), 1u);
  const auto refused = StatusIs(StatusCode::kAlreadyExists, HasSubstr("object o "));
  EXPECT_THAT(Record("s-other", "o"), refused);
  EXPECT_THAT(Record("s-k", "o", {}, /*writer=*/1), refused);
  EXPECT_THAT(
      registry_->RecordPart("s-k", {.object_key = "o", .object_bytes = 100, .record = "new"}, {}, At(0)),
      refused);
}

TEST_P(RegistryContract, ASessionIsFoundByItsClientKeyWhateverItsState) {
  Begin("a", 1);
  Begin("b", 2);
  CAIRN_ASSERT_OK(registry_->AbortSession("s-b", At(0)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Session open, registry_->GetSessionByKey("a"));
  EXPECT_EQ(open.id, "s-a");
  CAIRN_ASSERT_OK_AND_ASSIGN(const Session aborted, registry_->GetSessionByKey("b"));
  EXPECT_EQ(aborted.id, "s-b");
  EXPECT_EQ(aborted.state, SessionState::kAborted);
}

TEST_P(RegistryContract, ClaimExtentsTellsWhereTheyAre) {
  Begin("a", 1);
  Begin("b", 2);
  std::vector<NewExtent> extents = ExtentNumbers(0, 2);
  extents[1] = {.digest = DigestNumber(1),
                .offset = uint64_t{1} << 40,
                .stored_bytes = 4'000'000'000,
                .raw_bytes = 4'294'967'295,
                .encoding = 255};
  CAIRN_ASSERT_OK(Record("s-a", "o", extents));
  const std::vector<Digest> wanted = {DigestNumber(7), DigestNumber(1), DigestNumber(0), DigestNumber(1)};
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto found, registry_->ClaimExtents("s-b", wanted));
  ASSERT_EQ(found.size(), 4u);
  EXPECT_FALSE(found[0].has_value());
  ASSERT_TRUE(found[1].has_value());
  EXPECT_EQ(found[1]->object_key, "o");
  EXPECT_EQ(found[1]->offset, uint64_t{1} << 40);
  EXPECT_EQ(found[1]->stored_bytes, 4'000'000'000u);
  EXPECT_EQ(found[1]->raw_bytes, 4'294'967'295u);
  EXPECT_EQ(found[1]->encoding, 255);
  ASSERT_TRUE(found[2].has_value());
  EXPECT_EQ(found[2]->offset, 0u);
  EXPECT_EQ(found[2]->stored_bytes, 10u);
  ASSERT_TRUE(found[3].has_value());
  EXPECT_EQ(found[3]->offset, found[1]->offset);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto nothing, registry_->ClaimExtents("s-b", {}));
  EXPECT_THAT(nothing, IsEmpty());
}

TEST_P(RegistryContract, AKnownExtentStaysWhereItIs) {
  Begin("a", 1);
  CAIRN_ASSERT_OK(Record("s-a", "first", ExtentNumbers(0, 2)));
  // One digest twice in a part, too.
  std::vector<NewExtent> extents = ExtentNumbers(1, 2);
  extents.push_back(extents.back());
  CAIRN_ASSERT_OK(Record("s-a", "second", extents));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto found, registry_->ClaimExtents("s-a", DigestNumbers(0, 3)));
  EXPECT_EQ(found[0]->object_key, "first");
  EXPECT_EQ(found[1]->object_key, "first");
  EXPECT_EQ(found[1]->offset, 10u);
  EXPECT_EQ(found[2]->object_key, "second");
}

TEST_P(RegistryContract, FinishWriterIsIdempotentAndTellsWhoHasFinished) {
  Begin("k", 1, /*writers=*/3);
  CAIRN_ASSERT_OK_AND_ASSIGN(Session session, registry_->FinishWriter("s-k", 2, At(0)));
  EXPECT_THAT(session.finished_writers, ElementsAre(2));
  CAIRN_ASSERT_OK_AND_ASSIGN(session, registry_->FinishWriter("s-k", 0, At(0)));
  CAIRN_ASSERT_OK_AND_ASSIGN(session, registry_->FinishWriter("s-k", 2, At(0)));
  EXPECT_THAT(session.finished_writers, ElementsAre(0, 2));
  EXPECT_THAT(registry_->FinishWriter("s-k", 3, At(0)), StatusIs(StatusCode::kInvalidArgument));
  Reopen();
  CAIRN_ASSERT_OK_AND_ASSIGN(session, registry_->GetSession("s-k"));
  EXPECT_THAT(session.finished_writers, ElementsAre(0, 2));
}

TEST_P(RegistryContract, AbortSessionIsIdempotentAndRefusesACommittedOne) {
  Begin("k", 1);
  CAIRN_EXPECT_OK(registry_->AbortSession("s-k", At(0)));
  CAIRN_EXPECT_OK(registry_->AbortSession("s-k", At(0)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Session session, registry_->GetSession("s-k"));
  EXPECT_EQ(session.state, SessionState::kAborted);
  Begin("expired", 2);
  CAIRN_ASSERT_OK(registry_->ExpireSessions(At(100'000)));
  CAIRN_EXPECT_OK(registry_->AbortSession("s-expired", At(0)));
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 3}));
  EXPECT_THAT(registry_->AbortSession("session-u1", At(0)),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("committed")));
}

TEST_P(RegistryContract, ListOpenSessionsIsOldestFirst) {
  CAIRN_ASSERT_OK(registry_->BeginSession("young", SpecOf("a", 1, "k1"), At(20)));
  CAIRN_ASSERT_OK(registry_->BeginSession("old", SpecOf("a", 2, "k2"), At(10)));
  CAIRN_ASSERT_OK(registry_->BeginSession("aborted", SpecOf("a", 3, "k3"), At(5)));
  CAIRN_ASSERT_OK(registry_->AbortSession("aborted", At(0)));
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 3}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::vector<Session> sessions, registry_->ListOpenSessions());
  ASSERT_EQ(sessions.size(), 2u);
  EXPECT_EQ(sessions[0].id, "old");
  EXPECT_EQ(sessions[1].id, "young");
  EXPECT_EQ(sessions[1].spec.client_key, "k1");
}

TEST_P(RegistryContract, ForgetEndedSessionsForgetsTheirKeysAndKeepsTheRest) {
  CAIRN_ASSERT_OK(
      SaveCheckpoint(*registry_, {.uid = "early", .step = 1, .new_objects = {"o1"}, .now = At(10)}));
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "late", .step = 2, .now = At(20)}));
  Begin("open", 3);
  CAIRN_ASSERT_OK(registry_->BeginSession("aborted", SpecOf("team/run", 4, "aborted"), At(0)));
  CAIRN_ASSERT_OK(Record("aborted", "o2"));
  CAIRN_ASSERT_OK(registry_->AbortSession("aborted", At(9)));
  CAIRN_ASSERT_OK(registry_->AbortSession("aborted", At(12)));  // Ended is ended: the first time counts.

  CAIRN_ASSERT_OK(registry_->ForgetEndedSessions(At(9)));
  CAIRN_EXPECT_OK(registry_->GetSession("aborted"));
  CAIRN_ASSERT_OK(registry_->ForgetEndedSessions(At(10)));
  CAIRN_EXPECT_OK(registry_->GetSession("session-early"));
  EXPECT_THAT(registry_->GetSession("aborted"), StatusIs(StatusCode::kNotFound));
  CAIRN_ASSERT_OK(registry_->ForgetEndedSessions(At(11)));
  EXPECT_THAT(registry_->GetSession("session-early"), StatusIs(StatusCode::kNotFound));
  CAIRN_EXPECT_OK(registry_->GetSession("session-late"));
  CAIRN_EXPECT_OK(registry_->GetSession("s-open"));
  CAIRN_EXPECT_OK(registry_->GetCheckpointByUid("early"));
  EXPECT_TRUE(Knows("o1"));
  // The key is free for something else.
  CAIRN_EXPECT_OK(registry_->BeginSession("again", SpecOf("team/other", 9, "key-early"), At(30)));
}

TEST_P(RegistryContract, ASessionGoesOnAtAnotherDaemon) {
  Begin("k", 1);
  CAIRN_ASSERT_OK(Record("s-k", "o1", ExtentNumbers(0, 5)));
  const std::unique_ptr<Registry> other = OpenAnother();
  ASSERT_NE(other, nullptr);
  CAIRN_ASSERT_OK(other->RecordPart("s-k", {.object_key = "o2", .object_bytes = 1}, {}, At(0)));
  CAIRN_ASSERT_OK(other->FinishWriter("s-k", 0, At(0)));
  CAIRN_ASSERT_OK(other->CommitSession("s-k", RowOf("u1", "team/run", 1), {"o1", "o2"}, 2, At(0)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Session session, registry_->GetSession("s-k"));
  EXPECT_EQ(session.state, SessionState::kCommitted);
  CAIRN_EXPECT_OK(registry_->GetCheckpoint("team/run", 1, ""));
}

TEST_P(RegistryContract, TakesAHundredThousandExtentsAtOnce) {
  Begin("k", 1);
  CAIRN_ASSERT_OK(Record("s-k", "o", ExtentNumbers(0, 100'000)));
  Begin("next", 2);
  EXPECT_EQ(Claim("s-next", DigestNumbers(99'500, 1000)), 500u);
}

}  // namespace
}  // namespace cairn::testing
