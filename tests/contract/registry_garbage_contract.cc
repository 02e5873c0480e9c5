#include <string>
#include <vector>

#include "tests/contract/registry_contract.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// ---- Pins

TEST_P(RegistryContract, APinHoldsADeletedCheckpointUntilItsEnd) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 1, .new_objects = {"o1"}}));
  CAIRN_ASSERT_OK(registry_->PinCheckpoint("u1", "reader", At(100)));
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("u1", At(20)));
  CAIRN_ASSERT_OK_AND_ASSIGN(uint64_t purged, registry_->PurgeDeleted(At(99)));
  EXPECT_EQ(purged, 0u);
  EXPECT_THAT(CondemnedKeys(*registry_), IsEmpty());
  CAIRN_EXPECT_OK(registry_->DeleteCheckpoint("u1", At(99)));
  CAIRN_ASSERT_OK_AND_ASSIGN(purged, registry_->PurgeDeleted(At(100)));
  EXPECT_EQ(purged, 1u);
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("manifest-u1", "o1"));
}

TEST_P(RegistryContract, APinIsMovedByItsHolderEvenAfterTheDeletion) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 1}));
  CAIRN_ASSERT_OK(registry_->PinCheckpoint("u1", "reader", At(100)));
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("u1", At(20)));
  EXPECT_THAT(registry_->PinCheckpoint("u1", "stranger", At(200)),
              StatusIs(StatusCode::kNotFound, HasSubstr("u1")));
  CAIRN_ASSERT_OK(registry_->PinCheckpoint("u1", "reader", At(200)));
  CAIRN_ASSERT_OK_AND_ASSIGN(uint64_t purged, registry_->PurgeDeleted(At(150)));
  EXPECT_EQ(purged, 0u);
  // Earlier is a move, too.
  CAIRN_ASSERT_OK(registry_->PinCheckpoint("u1", "reader", At(140)));
  CAIRN_ASSERT_OK_AND_ASSIGN(purged, registry_->PurgeDeleted(At(150)));
  EXPECT_EQ(purged, 1u);
  EXPECT_THAT(registry_->PinCheckpoint("u1", "reader", At(300)), StatusIs(StatusCode::kNotFound));
}

TEST_P(RegistryContract, EveryHolderHasItsOwnPin) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 1}));
  CAIRN_ASSERT_OK(registry_->PinCheckpoint("u1", "a", At(100)));
  CAIRN_ASSERT_OK(registry_->PinCheckpoint("u1", "b", At(100)));
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("u1", At(20)));
  CAIRN_EXPECT_OK(registry_->UnpinCheckpoint("u1", "a"));
  CAIRN_EXPECT_OK(registry_->UnpinCheckpoint("u1", "a"));
  CAIRN_EXPECT_OK(registry_->UnpinCheckpoint("never", "a"));
  CAIRN_ASSERT_OK_AND_ASSIGN(uint64_t purged, registry_->PurgeDeleted(At(30)));
  EXPECT_EQ(purged, 0u);
  CAIRN_EXPECT_OK(registry_->UnpinCheckpoint("u1", "b"));
  CAIRN_ASSERT_OK_AND_ASSIGN(purged, registry_->PurgeDeleted(At(30)));
  EXPECT_EQ(purged, 1u);
  EXPECT_THAT(registry_->PinCheckpoint("never", "a", At(100)), StatusIs(StatusCode::kNotFound));
}

TEST_P(RegistryContract, APinOnALiveCheckpointSurvivesAReopen) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 1}));
  CAIRN_ASSERT_OK(registry_->PinCheckpoint("u1", "a", At(100)));
  Reopen();
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("u1", At(20)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const uint64_t purged, registry_->PurgeDeleted(At(30)));
  EXPECT_EQ(purged, 0u);
}

TEST_P(RegistryContract, PurgeDeletedLeavesLiveCheckpoints) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 1, .new_objects = {"o1"}}));
  CAIRN_ASSERT_OK(registry_->PinCheckpoint("u1", "a", At(5)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const uint64_t purged, registry_->PurgeDeleted(At(1000)));
  EXPECT_EQ(purged, 0u);
  CAIRN_EXPECT_OK(registry_->GetCheckpointByUid("u1"));
  EXPECT_THAT(CondemnedKeys(*registry_), IsEmpty());
}

// ---- Garbage

TEST_P(RegistryContract, WhatASessionStoredOutlivesIt) {
  Begin("k", 1);
  CAIRN_ASSERT_OK(Record("s-k", "o1", ExtentNumbers(0, 1)));
  EXPECT_THAT(CondemnedKeys(*registry_), IsEmpty());
  CAIRN_ASSERT_OK(registry_->CommitSession("s-k", RowOf("u1", "team/run", 1), {"o1"}, 1, At(0)));
  EXPECT_THAT(CondemnedKeys(*registry_), IsEmpty());
  CAIRN_ASSERT_OK(registry_->ForgetEndedSessions(At(1000)));
  EXPECT_THAT(CondemnedKeys(*registry_), IsEmpty());
}

TEST_P(RegistryContract, ACommitDropsWhatItsCheckpointDoesNotNeed) {
  Begin("k", 1);
  CAIRN_ASSERT_OK(Record("s-k", "kept"));
  CAIRN_ASSERT_OK(Record("s-k", "superfluous"));
  CAIRN_ASSERT_OK(registry_->CommitSession("s-k", RowOf("u1", "team/run", 1), {"kept"}, 2, At(0)));
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("superfluous"));
}

TEST_P(RegistryContract, AbortAndExpiryLeaveGarbage) {
  Begin("aborted", 1);
  CAIRN_ASSERT_OK(Record("s-aborted", "o1"));
  Begin("expired", 2);
  CAIRN_ASSERT_OK(Record("s-expired", "o2"));
  Begin("open", 3);
  CAIRN_ASSERT_OK(Record("s-open", "o3"));
  CAIRN_ASSERT_OK(registry_->RenewSession("s-open", At(1'000'000)));
  CAIRN_ASSERT_OK(registry_->AbortSession("s-aborted", At(0)));
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("o1"));
  CAIRN_ASSERT_OK(registry_->ExpireSessions(At(100'000)));
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("o1", "o2"));
}

TEST_P(RegistryContract, AClaimKeepsAnObjectForTheSessionAlone) {
  Begin("first", 1);
  CAIRN_ASSERT_OK(Record("s-first", "o1", ExtentNumbers(0, 2)));
  CAIRN_ASSERT_OK(Record("s-first", "o2", ExtentNumbers(2, 2)));
  Begin("second", 2);
  EXPECT_EQ(Claim("s-second", {DigestNumber(0)}), 1u);
  EXPECT_EQ(Claim("s-second", {DigestNumber(0), DigestNumber(1)}), 2u);
  CAIRN_ASSERT_OK(registry_->AbortSession("s-first", At(0)));
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("o2"));
  EXPECT_EQ(Claim("s-second", DigestNumbers(0, 4)), 2u);
  CAIRN_ASSERT_OK(registry_->AbortSession("s-second", At(0)));
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("o1", "o2"));
}

TEST_P(RegistryContract, OneClaimKeepsEveryObjectInItsAnswer) {
  Begin("first", 1);
  for (int i = 0; i < 5; ++i)
    CAIRN_ASSERT_OK(Record("s-first", "o" + std::to_string(i), ExtentNumbers(2 * i, 2)));
  Begin("second", 2);
  EXPECT_EQ(Claim("s-second", {DigestNumber(0), DigestNumber(99), DigestNumber(3), DigestNumber(6)}), 3u);
  CAIRN_ASSERT_OK(registry_->AbortSession("s-first", At(0)));
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("o2", "o4"));
}

TEST_P(RegistryContract, ObjectsAreClaimedByTheirKeys) {
  Begin("first", 1);
  for (const char* key : {"o1", "o2", "o3"}) CAIRN_ASSERT_OK(Record("s-first", key));
  Begin("second", 2);
  const std::vector<std::string> wanted = {"o1", "unknown", "o3", "o1"};
  for (int again = 0; again < 2; ++again) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::vector<bool> claimed, registry_->ClaimObjects("s-second", wanted));
    EXPECT_THAT(claimed, ElementsAre(true, false, true, true));
  }
  CAIRN_ASSERT_OK(registry_->AbortSession("s-first", At(0)));
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("o2"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::vector<bool> late, registry_->ClaimObjects("s-second", {"o2", "o3"}));
  EXPECT_THAT(late, ElementsAre(false, true)) << "what is condemned is claimed by nobody";
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("o2"));
  CAIRN_ASSERT_OK(registry_->AbortSession("s-second", At(0)));
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("o1", "o2", "o3"));
}

// A save that builds on a checkpoint keeps what it needs of it when that is deleted.
TEST_P(RegistryContract, AClaimOutlivesTheCheckpointThatNeededTheObject) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 1, .new_objects = {"o1", "o2"}}));
  Begin("k", 2);
  CAIRN_ASSERT_OK(registry_->ClaimObjects("s-k", {"o1"}));
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("u1", At(20)));
  CAIRN_ASSERT_OK(registry_->PurgeDeleted(At(30)));
  EXPECT_THAT(CondemnedKeys(*registry_), ::testing::Not(::testing::Contains("o1")));
  CAIRN_ASSERT_OK(Record("s-k", "o3"));
  CAIRN_ASSERT_OK(registry_->CommitSession("s-k", RowOf("u2", "team/run", 2), {"o1", "o3"}, 1, At(40)));
  EXPECT_THAT(CondemnedKeys(*registry_), ::testing::Contains("o2"));
  EXPECT_TRUE(Knows("o1"));
}

TEST_P(RegistryContract, ACondemnedObjectIsNeverClaimedAgain) {
  Begin("first", 1);
  CAIRN_ASSERT_OK(Record("s-first", "o1", ExtentNumbers(0, 3)));
  CAIRN_ASSERT_OK(registry_->AbortSession("s-first", At(0)));
  Begin("second", 2);
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("o1"));
  EXPECT_EQ(Claim("s-second", DigestNumbers(0, 3)), 0u);
  // Stored anew, the extents are where they are now, and the end of the old object does not touch them.
  CAIRN_ASSERT_OK(Record("s-second", "o2", ExtentNumbers(0, 3)));
  CAIRN_ASSERT_OK(registry_->ForgetObjects({"o1"}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto found, registry_->ClaimExtents("s-second", DigestNumbers(0, 3)));
  for (const auto& location : found) {
    ASSERT_TRUE(location.has_value());
    EXPECT_EQ(location->object_key, "o2");
  }
}

TEST_P(RegistryContract, CondemningIsRepeatableUntilTheObjectsAreForgotten) {
  Begin("k", 1);
  for (const char* key : {"o1", "o2", "o3", "o4", "o5"}) CAIRN_ASSERT_OK(Record("s-k", key));
  CAIRN_ASSERT_OK(registry_->AbortSession("s-k", At(0)));
  const std::vector<std::string> two = CondemnedKeys(*registry_, 2);
  EXPECT_EQ(two.size(), 2u);
  Reopen();
  EXPECT_EQ(CondemnedKeys(*registry_, 2), two);
  EXPECT_EQ(CondemnedKeys(*registry_, 0).size(), 0u);
  EXPECT_EQ(CondemnedKeys(*registry_, 4).size(), 4u);
  CAIRN_ASSERT_OK(registry_->ForgetObjects(two));
  CAIRN_ASSERT_OK(registry_->ForgetObjects(two));
  EXPECT_FALSE(Knows(two[0]));
  EXPECT_EQ(CondemnedKeys(*registry_).size(), 3u);
}

// What a forecast says, and then that the three calls do just that.
void ExpectForecast(Registry& registry, absl::Time now, uint64_t sessions, uint64_t checkpoints, uint64_t objects) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const Registry::GarbageForecast forecast, registry.ForecastGarbage(now));
  EXPECT_EQ(forecast.sessions, sessions);
  EXPECT_EQ(forecast.checkpoints, checkpoints);
  EXPECT_EQ(forecast.objects, objects);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> expired, registry.ExpireSessions(now));
  EXPECT_EQ(expired.size(), forecast.sessions);
  CAIRN_ASSERT_OK_AND_ASSIGN(const uint64_t purged, registry.PurgeDeleted(now));
  EXPECT_EQ(purged, forecast.checkpoints);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::vector<Registry::Garbage> garbage, registry.CondemnObjects(SIZE_MAX));
  EXPECT_EQ(garbage.size(), forecast.objects);
  uint64_t bytes = 0;
  for (const Registry::Garbage& object : garbage) bytes += object.bytes;
  EXPECT_EQ(bytes, forecast.bytes);
}

TEST_P(RegistryContract, AForecastOfNothingIsNothing) {
  ExpectForecast(*registry_, At(0), 0, 0, 0);
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "live", .step = 1, .new_objects = {"o1"}}));
  Begin("open", 2);
  CAIRN_ASSERT_OK(Record("s-open", "o2"));
  ExpectForecast(*registry_, At(0), 0, 0, 0);
}

TEST_P(RegistryContract, AForecastCountsWhatDeletedCheckpointsWouldFree) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "gone", .step = 1, .new_objects = {"o1", "o2"}}));
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "live", .step = 2, .new_objects = {"o3"}}));
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("gone", At(0)));
  ExpectForecast(*registry_, At(0), 0, 1, 3);  // Its two objects and its manifest.
}

TEST_P(RegistryContract, AForecastLeavesOutWhatIsNeededElsewhere) {
  Begin("first", 1);
  CAIRN_ASSERT_OK(Record("s-first", "shared", ExtentNumbers(0, 1)));
  CAIRN_ASSERT_OK(Record("s-first", "claimed", ExtentNumbers(1, 1)));
  CAIRN_ASSERT_OK(Record("s-first", "own", ExtentNumbers(2, 1)));
  const CheckpointRow first = RowOf("u1", "team/run", 1);
  CAIRN_ASSERT_OK(registry_->CommitSession("s-first", first, {"shared", "claimed", "own"}, 3, At(0)));
  Begin("second", 2);
  EXPECT_EQ(Claim("s-second", {DigestNumber(0)}), 1u);
  CAIRN_ASSERT_OK(registry_->CommitSession("s-second", RowOf("u2", "team/run", 2), {"shared"}, 0, At(0)));
  Begin("third", 3);
  EXPECT_EQ(Claim("s-third", {DigestNumber(1)}), 1u);
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("u1", At(0)));
  ExpectForecast(*registry_, At(0), 0, 1, 2);  // "own" and the manifest.
}

TEST_P(RegistryContract, AForecastKnowsPinsAndLeases) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "read", .step = 1, .new_objects = {"o1"}}));
  CAIRN_ASSERT_OK(registry_->PinCheckpoint("read", "reader", At(100)));
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("read", At(0)));
  SessionSpec spec = SpecOf("team/run", 2, "k");
  spec.lease = absl::Seconds(50);
  CAIRN_ASSERT_OK(registry_->BeginSession("s-k", spec, At(0)));
  CAIRN_ASSERT_OK(Record("s-k", "o2"));
  ExpectForecast(*registry_, At(49), 0, 0, 0);
  ExpectForecast(*registry_, At(50), 1, 0, 1);
  ExpectForecast(*registry_, At(99), 0, 0, 1);  // Condemned at 50, not yet forgotten.
  ExpectForecast(*registry_, At(100), 0, 1, 3);
}

TEST_P(RegistryContract, AForecastChangesNothing) {
  Begin("k", 1);
  CAIRN_ASSERT_OK(Record("s-k", "o1", ExtentNumbers(0, 1)));
  CAIRN_ASSERT_OK(Record("s-k", "o2"));
  CAIRN_ASSERT_OK(registry_->AbortSession("s-k", At(0)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Registry::GarbageForecast forecast, registry_->ForecastGarbage(At(0)));
  EXPECT_EQ(forecast.objects, 2u);
  EXPECT_EQ(forecast.bytes, 200u);
  // Still claimable, and still not to be forgotten.
  CAIRN_ASSERT_OK(registry_->ForgetObjects({"o1", "o2"}));
  EXPECT_TRUE(Knows("o1"));
  Begin("second", 2);
  EXPECT_EQ(Claim("s-second", {DigestNumber(0)}), 1u);
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("o2"));
}

TEST_P(RegistryContract, ForgetObjectsForgetsCondemnedOnesAlone) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 1, .new_objects = {"live"}}));
  CAIRN_ASSERT_OK(registry_->ForgetObjects({"live", "manifest-u1", "never-seen"}));
  EXPECT_TRUE(Knows("live"));
  EXPECT_TRUE(Knows("manifest-u1"));
}

TEST_P(RegistryContract, KnowsObjectsAnswersInOrder) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 1, .new_objects = {"o1"}}));
  Begin("k", 2);
  CAIRN_ASSERT_OK(Record("s-k", "o2"));
  CAIRN_ASSERT_OK(registry_->AbortSession("s-k", At(0)));
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("o2"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::vector<bool> known,
                             registry_->KnowsObjects({"x", "o2", "o1", "x", "manifest-u1", ""}));
  EXPECT_THAT(known, ElementsAre(false, true, true, false, true, false));
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::vector<bool> none, registry_->KnowsObjects({}));
  EXPECT_THAT(none, IsEmpty());
}

TEST_P(RegistryContract, AnObjectLivesAsLongAsOneCheckpointNeedsIt) {
  Begin("a", 1);
  CAIRN_ASSERT_OK(Record("s-a", "shared", ExtentNumbers(0, 1)));
  CAIRN_ASSERT_OK(registry_->CommitSession("s-a", RowOf("ua", "team/run", 1), {"shared"}, 1, At(0)));
  Begin("b", 2);
  EXPECT_EQ(Claim("s-b", {DigestNumber(0)}), 1u);
  CAIRN_ASSERT_OK(registry_->CommitSession("s-b", RowOf("ub", "team/run", 2), {"shared"}, 0, At(0)));
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("ua", At(1)));
  CAIRN_ASSERT_OK(registry_->PurgeDeleted(At(2)));
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("manifest-ua"));
  CAIRN_ASSERT_OK(registry_->ForgetObjects({"manifest-ua"}));
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("ub", At(3)));
  EXPECT_THAT(CondemnedKeys(*registry_), IsEmpty());
  CAIRN_ASSERT_OK(registry_->PurgeDeleted(At(4)));
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("manifest-ub", "shared"));
  CAIRN_ASSERT_OK(registry_->ForgetObjects({"manifest-ub", "shared"}));
  EXPECT_FALSE(Knows("shared"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Registry::Totals totals, registry_->GetTotals());
  EXPECT_EQ(totals.objects, 0u);
}

// ---- Leases and totals

TEST_P(RegistryContract, ALeaseHasOneHolderAtATime) {
  const auto acquire = [&](absl::string_view holder, int64_t now, absl::string_view lease = "gc") {
    const auto got = registry_->AcquireLease(lease, holder, At(now), absl::Seconds(10));
    CAIRN_EXPECT_OK(got);
    return got.ok() && *got;
  };
  EXPECT_TRUE(acquire("a", 0));
  EXPECT_FALSE(acquire("b", 9));
  EXPECT_TRUE(acquire("b", 9, "another lease"));
  EXPECT_TRUE(acquire("a", 9));  // Renewed: now until 19.
  EXPECT_FALSE(acquire("b", 18));
  Reopen();
  EXPECT_FALSE(acquire("b", 18));
  EXPECT_TRUE(acquire("b", 19));  // Over.
  EXPECT_FALSE(acquire("a", 20));
  CAIRN_EXPECT_OK(registry_->ReleaseLease("gc", "a"));  // Not its own: stays.
  EXPECT_FALSE(acquire("a", 20));
  CAIRN_EXPECT_OK(registry_->ReleaseLease("gc", "b"));
  CAIRN_EXPECT_OK(registry_->ReleaseLease("gc", "b"));
  EXPECT_TRUE(acquire("a", 20));
}

TEST_P(RegistryContract, TotalsCountWhatIsThere) {
  CAIRN_ASSERT_OK_AND_ASSIGN(Registry::Totals totals, registry_->GetTotals());
  EXPECT_EQ(
      totals.checkpoints + totals.open_sessions + totals.objects + totals.object_bytes + totals.logical_bytes,
      0u);
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "gone", .step = 1}));
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("gone", At(0)));
  Begin("k", 2);
  CAIRN_ASSERT_OK(Record("s-k", "o1"));
  CheckpointRow row = RowOf("u2", "team/run", 2);
  row.logical_bytes = 5000;
  CAIRN_ASSERT_OK(registry_->CommitSession("s-k", row, {"o1"}, 1, At(0)));
  Begin("open", 3);
  CAIRN_ASSERT_OK_AND_ASSIGN(totals, registry_->GetTotals());
  EXPECT_EQ(totals.checkpoints, 1u);
  EXPECT_EQ(totals.open_sessions, 1u);
  EXPECT_EQ(totals.objects, 3u);  // o1 and two manifests.
  EXPECT_EQ(totals.object_bytes, 114u);
  EXPECT_EQ(totals.logical_bytes, 5000u);
  EXPECT_NE(registry_->Describe(), "");
}

}  // namespace
}  // namespace cairn::testing
