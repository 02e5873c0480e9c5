#include <atomic>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tests/contract/registry_contract.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

// Whether the session "s-living" got hold of the object of that number.
using ClaimOne = std::function<absl::StatusOr<bool>(int)>;

// Two daemons on one database: what holds between threads must hold between processes, too.
void ExpectClaimedOrCondemned(Registry& registry, Registry& collector, int objects, const ClaimOne& claim) {
  std::set<std::string> condemned;
  std::atomic<bool> done = false;
  std::thread collecting([&] {
    while (!done) {
      const auto garbage = collector.CondemnObjects(condemned.size() + 1);
      CAIRN_ASSERT_OK(garbage);
      for (const Registry::Garbage& object : *garbage) condemned.insert(object.object_key);
    }
  });
  // In the collector's own order: whoever falls behind skips what is decided and catches up, so they contest
  // each one.
  std::set<std::string> claimed;
  for (int i = 0; i < objects; ++i) {
    const absl::StatusOr<bool> got = claim(i);
    if (!got.ok()) {
      ADD_FAILURE() << got.status();
      break;
    }
    if (*got) claimed.insert(absl::StrCat("o", i));
  }
  done = true;
  collecting.join();
  for (const std::string& key : CondemnedKeys(registry)) condemned.insert(key);
  for (const std::string& key : claimed) EXPECT_EQ(condemned.count(key), 0u) << key;
  EXPECT_EQ(claimed.size() + condemned.size(), static_cast<size_t>(objects));
}

TEST_P(RegistryConcurrency, AnObjectIsEitherClaimedOrCondemned) {
  constexpr int kObjects = 60;
  for (const bool by_key : {false, true}) {
    const std::string dead = by_key ? "dead2" : "dead1", living = by_key ? "living2" : "living1";
    Begin(dead, by_key ? 3 : 1);
    for (int i = 0; i < kObjects; ++i) {
      CAIRN_ASSERT_OK(Record("s-" + dead, absl::StrCat("o", i), ExtentNumbers(i, 1)));
    }
    Begin(living, by_key ? 4 : 2);
    CAIRN_ASSERT_OK(registry_->AbortSession("s-" + dead, At(0)));
    const std::unique_ptr<Registry> collector = OpenAnother();
    ASSERT_NE(collector, nullptr);
    ExpectClaimedOrCondemned(*registry_, *collector, kObjects, [&](int i) -> absl::StatusOr<bool> {
      if (by_key) {
        const auto claimed = registry_->ClaimObjects("s-" + living, {absl::StrCat("o", i)});
        if (!claimed.ok()) return claimed.status();
        return claimed->at(0);
      }
      const auto found = registry_->ClaimExtents("s-" + living, {DigestNumber(i)});
      if (!found.ok()) return found.status();
      return found->at(0).has_value();
    });
    // What one way has left, the other finds anew.
    CAIRN_ASSERT_OK(registry_->AbortSession("s-" + living, At(0)));
    CAIRN_ASSERT_OK(registry_->CondemnObjects(1000));
    CAIRN_ASSERT_OK(registry_->ForgetObjects(CondemnedKeys(*registry_)));
  }
}

TEST_P(RegistryConcurrency, AReaderSeesOneCheckpointAtEveryMomentOfAnOverwrite) {
  CAIRN_ASSERT_OK(SaveCheckpoint(*registry_, {.uid = "u0", .step = 1}));
  CAIRN_ASSERT_OK(registry_->SetTag("team/run", "prod", "u0", std::nullopt));
  const std::unique_ptr<Registry> other = OpenAnother();
  ASSERT_NE(other, nullptr);
  std::atomic<bool> done = false;
  std::atomic<int> reads = 0;
  const auto read = [&](Registry& registry) {
    while (!done) {
      const auto by_step = registry.GetCheckpoint("team/run", 1, "");
      CAIRN_ASSERT_OK(by_step);
      ASSERT_EQ(by_step->tags.size(), 1u) << "a row without its tag: " << by_step->uid;
      CAIRN_ASSERT_OK(registry.GetCheckpoint("team/run", std::nullopt, "prod"));
      const auto rows = registry.ListCheckpoints({}, "", 0, 100);
      CAIRN_ASSERT_OK(rows);
      ASSERT_EQ(rows->size(), 1u);
      ++reads;
    }
  };
  std::thread here([&] { read(*registry_); });
  std::thread there([&] { read(*other); });
  // Until enough reads fell between overwrites, not for a time.
  for (int i = 1; i <= 25 || (reads < 50 && i <= 1000); ++i) {
    CAIRN_EXPECT_OK(SaveCheckpoint(*registry_, {.uid = absl::StrCat("u", i), .step = 1, .overwrite = true}));
  }
  done = true;
  here.join();
  there.join();
}

TEST_P(RegistryConcurrency, OfManyCommitsForOneStepExactlyOneWins) {
  constexpr int kSessions = 8;
  for (int i = 0; i < kSessions; ++i) Begin(absl::StrCat(i), 1);
  const std::unique_ptr<Registry> other = OpenAnother();
  ASSERT_NE(other, nullptr);
  std::atomic<int> won = 0;
  std::atomic<int> lost = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kSessions; ++i) {
    threads.emplace_back([&, i] {
      Registry& registry = i % 2 == 0 ? *registry_ : *other;
      const auto row = registry.CommitSession(absl::StrCat("s-", i),
                                              RowOf(absl::StrCat("u", i), "team/run", 1), {}, 0, At(0));
      if (row.ok()) ++won;
      if (absl::IsAlreadyExists(row.status())) ++lost;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(won, 1);
  EXPECT_EQ(lost, kSessions - 1);
}

TEST_P(RegistryConcurrency, TheSameBeginFromManyGivesOneSession) {
  constexpr int kThreads = 8;
  std::vector<std::string> ids(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const auto session = registry_->BeginSession(absl::StrCat("s", i), SpecOf("a", 1, "same"), At(0));
      if (session.ok()) ids[i] = session->id;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_NE(ids[0], "");
  for (const std::string& id : ids) EXPECT_EQ(id, ids[0]);
}

TEST_P(RegistryConcurrency, ALeaseGoesToOneOfMany) {
  constexpr int kThreads = 8;
  const std::unique_ptr<Registry> other = OpenAnother();
  ASSERT_NE(other, nullptr);
  std::atomic<int> holders = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      Registry& registry = i % 2 == 0 ? *registry_ : *other;
      const auto got = registry.AcquireLease("gc", absl::StrCat("daemon-", i), At(0), absl::Seconds(10));
      CAIRN_EXPECT_OK(got);
      if (got.ok() && *got) ++holders;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(holders, 1);
}

TEST_P(RegistryConcurrency, WritersOfOneSessionRecordAllTheirParts) {
  constexpr int kWriters = 6;
  constexpr int kParts = 15;
  Begin("k", 1, kWriters);
  const std::unique_ptr<Registry> other = OpenAnother();
  ASSERT_NE(other, nullptr);
  std::vector<std::thread> threads;
  for (int writer = 0; writer < kWriters; ++writer) {
    threads.emplace_back([&, writer] {
      Registry& registry = writer % 2 == 0 ? *registry_ : *other;
      for (int part = 0; part < kParts; ++part) {
        SessionPart recorded;
        recorded.writer = static_cast<uint32_t>(writer);
        recorded.object_key = absl::StrCat("o-", writer, "-", part);
        recorded.record = absl::StrCat(part);
        // Half of the extents are the same for all of them.
        CAIRN_EXPECT_OK(
            registry.RecordPart("s-k", recorded, ExtentNumbers(part % 2 == 0 ? 0 : writer * 100, 10), At(0)));
      }
      CAIRN_EXPECT_OK(registry.FinishWriter("s-k", static_cast<uint32_t>(writer), At(0)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (uint32_t writer = 0; writer < kWriters; ++writer) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto parts, registry_->ListParts("s-k", writer, 0, 1000));
    ASSERT_EQ(parts.size(), static_cast<size_t>(kParts));
    for (int part = 0; part < kParts; ++part) EXPECT_EQ(parts[part].record, absl::StrCat(part));
  }
  CAIRN_ASSERT_OK_AND_ASSIGN(const Session session, registry_->GetSession("s-k"));
  EXPECT_EQ(session.finished_writers.size(), static_cast<size_t>(kWriters));
}

}  // namespace
}  // namespace cairn::testing
