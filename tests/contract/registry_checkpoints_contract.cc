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

constexpr size_t kAll = std::numeric_limits<size_t>::max();

// ---- Commit

TEST_P(RegistryContract, CommitKeepsTheWholeRow) {
  Begin("k", 400);
  CheckpointRow row = RowOf("u1", "team/run", 400);
  row.entry_count = 11;
  row.tensor_count = 9;
  row.logical_bytes = uint64_t{1} << 45;
  row.new_bytes = 12345;
  row.metadata = {{"arch", "llama"}, {"empty", ""}};
  row.parent = "u0";
  row.created_by = "host/user";
  row.tags = {"ignored"};
  row.committed_at = At(-99);
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow committed,
                             registry_->CommitSession("s-k", row, {}, 0, At(33)));
  Reopen();
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow found, registry_->GetCheckpoint("team/run", 400, ""));
  for (const CheckpointRow& got : {committed, found}) {
    EXPECT_EQ(got.uid, "u1");
    EXPECT_EQ(got.name, "team/run");
    EXPECT_EQ(got.step, 400);
    EXPECT_EQ(got.created_at, At(1));
    EXPECT_EQ(got.committed_at, At(33));
    EXPECT_EQ(got.manifest_key, row.manifest_key);
    EXPECT_EQ(got.manifest_digest, row.manifest_digest);
    EXPECT_EQ(got.manifest_bytes, 7u);
    EXPECT_EQ(got.entry_count, 11u);
    EXPECT_EQ(got.tensor_count, 9u);
    EXPECT_EQ(got.logical_bytes, uint64_t{1} << 45);
    EXPECT_EQ(got.new_bytes, 12345u);
    EXPECT_EQ(got.metadata, row.metadata);
    EXPECT_EQ(got.parent, "u0");
    EXPECT_EQ(got.created_by, "host/user");
    EXPECT_THAT(got.tags, IsEmpty());
  }
  CAIRN_ASSERT_OK_AND_ASSIGN(const Session session, registry_->GetSession("s-k"));
  EXPECT_EQ(session.state, SessionState::kCommitted);
  EXPECT_EQ(session.checkpoint_uid, "u1");
}

TEST_P(RegistryContract, CommitAgainReturnsTheRowThatIsThere) {
  Begin("k", 1);
  CAIRN_ASSERT_OK(registry_->CommitSession("s-k", RowOf("u1", "team/run", 1), {}, 0, At(5)));
  CAIRN_ASSERT_OK_AND_ASSIGN(CheckpointRow again, registry_->CommitSession("s-k", RowOf("u2", "team/run", 1),
                                                                           {"unknown"}, 9, At(6)));
  EXPECT_EQ(again.uid, "u1");
  EXPECT_EQ(again.committed_at, At(5));
  // Even if it was deleted since, as long as it is remembered.
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("u1", At(7)));
  CAIRN_ASSERT_OK_AND_ASSIGN(again,
                             registry_->CommitSession("s-k", RowOf("u2", "team/run", 1), {}, 0, At(8)));
  EXPECT_EQ(again.uid, "u1");
  CAIRN_ASSERT_OK(registry_->PurgeDeleted(At(9)));
  EXPECT_THAT(registry_->CommitSession("s-k", RowOf("u2", "team/run", 1), {}, 0, At(10)),
              StatusIs(StatusCode::kNotFound, HasSubstr("u1")));
}

TEST_P(RegistryContract, CommitIsAbortedIfThePartsAreOthersThanExpected) {
  Begin("k", 1);
  CAIRN_ASSERT_OK(Record("s-k", "o1"));
  CAIRN_ASSERT_OK(Record("s-k", ""));
  for (const uint64_t count : {0, 1, 3}) {
    EXPECT_THAT(registry_->CommitSession("s-k", RowOf("u1", "team/run", 1), {"o1"}, count, At(0)),
                StatusIs(StatusCode::kAborted, HasSubstr("2 parts")));
  }
  EXPECT_THAT(registry_->GetCheckpointByUid("u1"), StatusIs(StatusCode::kNotFound));
  CAIRN_EXPECT_OK(registry_->CommitSession("s-k", RowOf("u1", "team/run", 1), {"o1"}, 2, At(0)));
}

TEST_P(RegistryContract, CommitIsAbortedIfAnObjectIsUnknownOrCondemned) {
  Begin("dead", 1);
  CAIRN_ASSERT_OK(Record("s-dead", "condemned"));
  CAIRN_ASSERT_OK(registry_->AbortSession("s-dead", At(0)));
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("condemned"));
  Begin("k", 1);
  CAIRN_ASSERT_OK(Record("s-k", "o1"));
  for (const std::string bad : {"condemned", "never-seen"}) {
    EXPECT_THAT(registry_->CommitSession("s-k", RowOf("u1", "team/run", 1), {"o1", bad}, 1, At(0)),
                StatusIs(StatusCode::kAborted, HasSubstr(bad)));
  }
  // Nothing of the attempts stays: no row, no manifest, and the session is as it was.
  EXPECT_THAT(registry_->GetCheckpointByUid("u1"), StatusIs(StatusCode::kNotFound));
  EXPECT_FALSE(Knows("manifest-u1"));
  CAIRN_EXPECT_OK(registry_->CommitSession("s-k", RowOf("u1", "team/run", 1), {"o1", "o1"}, 1, At(0)));
}

TEST_P(RegistryContract, CommitRefusesARowForAnotherStep) {
  Begin("k", 1);
  EXPECT_THAT(
      registry_->CommitSession("s-k", RowOf("u1", "team/run", 2), {}, 0, At(0)),
      StatusIs(StatusCode::kInvalidArgument, AllOf(HasSubstr("team/run@1"), HasSubstr("team/run@2"))));
  EXPECT_THAT(registry_->CommitSession("s-k", RowOf("u1", "team/other", 1), {}, 0, At(0)),
              StatusIs(StatusCode::kInvalidArgument));
}

TEST_P(RegistryContract, OfTwoSessionsForOneStepTheFirstToCommitWins) {
  Begin("a", 1);
  Begin("b", 1);
  CAIRN_ASSERT_OK(registry_->CommitSession("s-b", RowOf("ub", "team/run", 1), {}, 0, At(0)));
  EXPECT_THAT(registry_->CommitSession("s-a", RowOf("ua", "team/run", 1), {}, 0, At(0)),
              StatusIs(StatusCode::kAlreadyExists, HasSubstr("team/run@1")));
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, registry_->GetCheckpoint("team/run", 1, ""));
  EXPECT_EQ(row.uid, "ub");
}

TEST_P(RegistryContract, OverwriteReplacesTheRowAndMovesItsTags) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "old", .step = 1, .new_objects = {"o-old"}}));
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "neighbour", .step = 2}));
  CAIRN_ASSERT_OK(registry_->SetTag("team/run", "prod", "old", std::nullopt));
  CAIRN_ASSERT_OK(registry_->SetTag("team/run", "best", "old", std::nullopt));
  CAIRN_ASSERT_OK(registry_->SetTag("team/run", "other", "neighbour", std::nullopt));
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow committed,
                             SaveCheckpoint(*registry_, {.uid = "new", .step = 1, .overwrite = true}));
  EXPECT_THAT(committed.tags, ElementsAre("best", "prod"));
  CAIRN_ASSERT_OK_AND_ASSIGN(CheckpointRow row, registry_->GetCheckpoint("team/run", 1, ""));
  EXPECT_EQ(row.uid, "new");
  CAIRN_ASSERT_OK_AND_ASSIGN(row, registry_->GetCheckpoint("team/run", std::nullopt, "prod"));
  EXPECT_EQ(row.uid, "new");
  CAIRN_ASSERT_OK_AND_ASSIGN(row, registry_->GetCheckpoint("team/run", std::nullopt, "other"));
  EXPECT_EQ(row.uid, "neighbour");
  EXPECT_THAT(registry_->GetCheckpointByUid("old"), StatusIs(StatusCode::kNotFound));
  // The old one is deleted as by DeleteCheckpoint: remembered until purged, and its objects with it.
  CAIRN_EXPECT_OK(registry_->DeleteCheckpoint("old", At(0)));
  EXPECT_THAT(CondemnedKeys(*registry_), IsEmpty());
  CAIRN_ASSERT_OK_AND_ASSIGN(const uint64_t purged, registry_->PurgeDeleted(At(100)));
  EXPECT_EQ(purged, 1u);
  EXPECT_THAT(CondemnedKeys(*registry_), ElementsAre("manifest-old", "o-old"));
}

TEST_P(RegistryContract, OverwriteOfAFreeStepIsAnOrdinarySave) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 1, .overwrite = true}));
  CAIRN_EXPECT_OK(registry_->GetCheckpoint("team/run", 1, ""));
}

TEST_P(RegistryContract, CommitTakesAHundredThousandObjects) {
  Begin("k", 1);
  std::vector<std::string> objects;
  for (int i = 0; i < 1000; ++i) {
    objects.push_back(absl::StrCat("o", i));
    CAIRN_ASSERT_OK(Record("s-k", objects.back()));
  }
  const std::vector<std::string> once = objects;
  while (objects.size() < 100'000) objects.insert(objects.end(), once.begin(), once.end());
  CAIRN_ASSERT_OK(registry_->CommitSession("s-k", RowOf("u1", "team/run", 1), objects, 1000, At(0)));
  EXPECT_THAT(CondemnedKeys(*registry_), IsEmpty());
}

// ---- Get, list, delete

TEST_P(RegistryContract, GetCheckpointTellsWhichPartIsMissing) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 3}));
  EXPECT_THAT(registry_->GetCheckpoint("nobody", std::nullopt, ""),
              StatusIs(StatusCode::kNotFound, HasSubstr("named nobody")));
  EXPECT_THAT(registry_->GetCheckpoint("nobody", 3, ""),
              StatusIs(StatusCode::kNotFound, HasSubstr("named nobody")));
  EXPECT_THAT(registry_->GetCheckpoint("team/run", 4, ""),
              StatusIs(StatusCode::kNotFound, HasSubstr("step 4")));
  EXPECT_THAT(registry_->GetCheckpoint("team/run", std::nullopt, "best"),
              StatusIs(StatusCode::kNotFound, HasSubstr("tag \"best\"")));
  EXPECT_THAT(registry_->GetCheckpointByUid("u9"), StatusIs(StatusCode::kNotFound, HasSubstr("u9")));
  EXPECT_THAT(registry_->GetCheckpoint("team/run", 3, "best"), StatusIs(StatusCode::kInvalidArgument));
  CAIRN_EXPECT_OK(registry_->GetCheckpointByUid("u1"));
}

TEST_P(RegistryContract, LatestIsTheHighestStepAtAnyMoment) {
  const auto latest = [&](absl::string_view tag) {
    const auto row = registry_->GetCheckpoint("team/run", std::nullopt, tag);
    return row.ok() ? row->uid : row.status().ToString();
  };
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u9", .step = 9}));
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u10", .step = 10}));
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u2", .step = 2}));
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "x", .name = "team/run2", .step = 99}));
  EXPECT_EQ(latest(""), "u10");
  EXPECT_EQ(latest("latest"), "u10");
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("u10", At(0)));
  EXPECT_EQ(latest(""), "u9");
  EXPECT_EQ(latest("latest"), "u9");
}

TEST_P(RegistryContract, TheCheckpointBelowAStepIsTheHighestOfItsNameThatIsThere) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .name = "a", .step = 1}));
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u5", .name = "a", .step = 5}));
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u9", .name = "a", .step = 9}));
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "b3", .name = "a/b", .step = 3}));
  const auto below = [&](int64_t step) {
    const auto row = registry_->GetCheckpointBelow("a", step);
    return row.ok() ? row->uid : std::string(absl::StatusCodeToString(row.status().code()));
  };
  EXPECT_EQ(below(1), "NOT_FOUND");
  EXPECT_EQ(below(2), "u1");
  EXPECT_EQ(below(9), "u5");
  EXPECT_EQ(below(100), "u9");
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("u5", At(20)));
  EXPECT_EQ(below(9), "u1");
}

TEST_P(RegistryContract, ListCheckpointsIsOrderedByNameThenStepAndPages) {
  for (const auto& [name, step] : std::vector<std::pair<std::string, int64_t>>{
           {"b", 10}, {"b", 9}, {"a/x", 1}, {"a", 5}, {"ab", 0}, {"b", 100}, {"B", 3}}) {
    CAIRN_ASSERT_OK(
        SaveCheckpoint(*registry_, {.uid = absl::StrCat(name, "@", step), .name = name, .step = step}));
  }
  const std::vector<std::string> all = {"B@3", "a@5", "a/x@1", "ab@0", "b@9", "b@10", "b@100"};
  for (const size_t page : {size_t{1}, size_t{2}, size_t{3}, kAll}) {
    std::vector<std::string> seen;
    std::string after_name;
    int64_t after_step = 0;
    for (;;) {
      CAIRN_ASSERT_OK_AND_ASSIGN(const auto rows,
                                 registry_->ListCheckpoints({}, after_name, after_step, page));
      if (rows.empty()) break;
      ASSERT_LE(rows.size(), page);
      for (const CheckpointRow& row : rows) seen.push_back(row.uid);
      after_name = rows.back().name;
      after_step = rows.back().step;
    }
    EXPECT_EQ(seen, all) << "with pages of " << page;
  }
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto none, registry_->ListCheckpoints({}, "", 0, 0));
  EXPECT_THAT(none, IsEmpty());
}

TEST_P(RegistryContract, ListCheckpointsFilters) {
  const auto save = [&](std::string uid, std::string name, int64_t step,
                        std::map<std::string, std::string> metadata) {
    CAIRN_ASSERT_OK(SaveCheckpoint(
        *registry_,
        {.uid = std::move(uid), .name = std::move(name), .step = step, .metadata = std::move(metadata)}));
  };
  save("u1", "team/a", 1, {{"arch", "llama"}, {"size", "7b"}});
  save("u2", "team/a", 2, {{"arch", "llama"}, {"size", "70b"}});
  save("u3", "team/ab", 1, {{"arch", "gpt"}});
  save("u4", "team/b", 1, {{"size", "llama"}});
  save("u5", "tea", 1, {});
  const auto list = [&](CheckpointFilter filter, absl::string_view after_name = "", int64_t after_step = 0,
                        size_t limit = kAll) {
    const auto rows = registry_->ListCheckpoints(filter, after_name, after_step, limit);
    CAIRN_EXPECT_OK(rows);
    return rows.ok() ? UidsOf(*rows) : std::vector<std::string>();
  };
  EXPECT_THAT(list({.name = "team/a"}), ElementsAre("u1", "u2"));
  EXPECT_THAT(list({.name = "team/a"}, "team/a", 1), ElementsAre("u2"));
  EXPECT_THAT(list({.name = "team/a"}, "team/ab", 0), IsEmpty());
  EXPECT_THAT(list({.name = "team"}), IsEmpty());
  EXPECT_THAT(list({.name_prefix = "team/"}), ElementsAre("u1", "u2", "u3", "u4"));
  EXPECT_THAT(list({.name_prefix = "team/a"}, "team/a", 2), ElementsAre("u3"));
  EXPECT_THAT(list({.name_prefix = "team/a"}, "a", 0, 2), ElementsAre("u1", "u2"));
  EXPECT_THAT(list({.name_prefix = "%"}), IsEmpty());
  EXPECT_THAT(list({.name = "team/a", .name_prefix = "team/ab"}), IsEmpty());
  EXPECT_THAT(list({.name = "team/ab", .name_prefix = "team/a"}), ElementsAre("u3"));
  EXPECT_THAT(list({.metadata = {{"arch", "llama"}}}), ElementsAre("u1", "u2"));
  EXPECT_THAT(list({.metadata = {{"arch", "llama"}, {"size", "70b"}}}), ElementsAre("u2"));
  EXPECT_THAT(list({.metadata = {{"arch", ""}}}), IsEmpty());
  EXPECT_THAT(list({.metadata = {{"no such key", ""}}}), IsEmpty());
  // A limit counts what is wanted, not what is looked at.
  EXPECT_THAT(list({.metadata = {{"size", "llama"}}}, "", 0, 1), ElementsAre("u4"));
}

TEST_P(RegistryContract, ADeletedCheckpointIsGoneForReadersAndItsTagsToo) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 1}));
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u2", .step = 2}));
  CAIRN_ASSERT_OK(registry_->SetTag("team/run", "best", "u2", std::nullopt));
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("u2", At(0)));
  EXPECT_THAT(registry_->GetCheckpointByUid("u2"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(registry_->GetCheckpoint("team/run", 2, ""), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(registry_->GetCheckpoint("team/run", std::nullopt, "best"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(registry_->DeleteTag("team/run", "best"), StatusIs(StatusCode::kNotFound));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto rows, registry_->ListCheckpoints({}, "", 0, kAll));
  EXPECT_THAT(UidsOf(rows), ElementsAre("u1"));
  // The step is free, and the tag does not come back with it.
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow again,
                             SaveCheckpoint(*registry_, {.uid = "u2b", .step = 2}));
  EXPECT_THAT(again.tags, IsEmpty());
}

TEST_P(RegistryContract, DeleteAgainIsOkWhileItIsRemembered) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 1}));
  CAIRN_EXPECT_OK(registry_->DeleteCheckpoint("u1", At(0)));
  CAIRN_EXPECT_OK(registry_->DeleteCheckpoint("u1", At(1)));
  CAIRN_ASSERT_OK(registry_->PurgeDeleted(At(2)));
  EXPECT_THAT(registry_->DeleteCheckpoint("u1", At(3)), StatusIs(StatusCode::kNotFound, HasSubstr("u1")));
  EXPECT_THAT(registry_->DeleteCheckpoint("never", At(3)), StatusIs(StatusCode::kNotFound));
}

// ---- Tags

TEST_P(RegistryContract, TagsAreSetMovedListedAndDeleted) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 1}));
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u2", .step = 2}));
  CAIRN_ASSERT_OK(registry_->SetTag("team/run", "prod", "u1", std::nullopt));
  CAIRN_ASSERT_OK(registry_->SetTag("team/run", "best", "u1", std::nullopt));
  CAIRN_ASSERT_OK(registry_->SetTag("team/run", "best", "u1", std::nullopt));
  CAIRN_ASSERT_OK_AND_ASSIGN(CheckpointRow row, registry_->GetCheckpointByUid("u1"));
  EXPECT_THAT(row.tags, ElementsAre("best", "prod"));
  CAIRN_ASSERT_OK(registry_->SetTag("team/run", "best", "u2", std::nullopt));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto rows, registry_->ListCheckpoints({}, "", 0, kAll));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_THAT(rows[0].tags, ElementsAre("prod"));
  EXPECT_THAT(rows[1].tags, ElementsAre("best"));
  Reopen();
  CAIRN_ASSERT_OK_AND_ASSIGN(row, registry_->GetCheckpoint("team/run", std::nullopt, "best"));
  EXPECT_EQ(row.uid, "u2");
  CAIRN_ASSERT_OK(registry_->DeleteTag("team/run", "best"));
  EXPECT_THAT(registry_->DeleteTag("team/run", "best"), StatusIs(StatusCode::kNotFound, HasSubstr("best")));
  EXPECT_THAT(registry_->GetCheckpoint("team/run", std::nullopt, "best"), StatusIs(StatusCode::kNotFound));
}

TEST_P(RegistryContract, SetTagComparesBeforeItSwaps) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 1}));
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u2", .step = 2}));
  EXPECT_THAT(registry_->SetTag("team/run", "prod", "u1", "u2"),
              StatusIs(StatusCode::kAborted, AllOf(HasSubstr("nothing"), HasSubstr("u2"))));
  CAIRN_ASSERT_OK(registry_->SetTag("team/run", "prod", "u1", ""));
  EXPECT_THAT(registry_->SetTag("team/run", "prod", "u2", ""),
              StatusIs(StatusCode::kAborted, HasSubstr("u1")));
  EXPECT_THAT(registry_->SetTag("team/run", "prod", "u2", "u2"), StatusIs(StatusCode::kAborted));
  CAIRN_ASSERT_OK(registry_->SetTag("team/run", "prod", "u2", "u1"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row,
                             registry_->GetCheckpoint("team/run", std::nullopt, "prod"));
  EXPECT_EQ(row.uid, "u2");
}

TEST_P(RegistryContract, SetTagRefusesWhatCannotCarryIt) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u1", .step = 1}));
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "gone", .step = 2}));
  CAIRN_ASSERT_OK(registry_->DeleteCheckpoint("gone", At(0)));
  EXPECT_THAT(registry_->SetTag("team/run", "best", "gone", std::nullopt), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(registry_->SetTag("team/run", "best", "never", std::nullopt), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(registry_->SetTag("team/other", "best", "u1", std::nullopt), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(registry_->SetTag("team/run", "latest", "u1", std::nullopt),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("latest")));
  EXPECT_THAT(registry_->SetTag("team/run", "", "u1", std::nullopt), StatusIs(StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace cairn::testing
