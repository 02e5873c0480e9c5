// Kills a real daemon with SIGKILL, at named fail points and at random moments, under several writers. Whatever was
// committed must be there whole, byte for byte; whatever was not must not be seen; and the saves that were under way
// go on by themselves once the daemon is back.
#include <atomic>
#include <chrono>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <tuple>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "server/registry/sqlite_registry.h"
#include "tests/testing/daemon_process.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/test_model.h"

namespace cairn::testing {
namespace {

constexpr uint32_t kWriters = 3;

// Small objects and extents, so that a small model has many of each.
const std::vector<std::string>& Flags() {
  static const std::vector<std::string>* const flags = new std::vector<std::string>{
      "--extent-bytes", "64KiB", "--object-bytes", "1MiB", "--max-chunk-bytes", "64KiB", "--log-level", "warning"};
  return *flags;
}

// How steps resemble each other: not at all, or so much that they travel, and are stored, as the difference to the one before.
enum class Steps { kUnrelated, kDeltas };

// Some objects per writer.
TestModel ModelOf(int64_t step, Steps steps) {
  const auto number = static_cast<uint64_t>(step);
  return steps == Steps::kUnrelated ? TestModel(number, kWriters, /*rows_per_writer=*/600)
                                    : TestModel(1, kWriters, /*rows_per_writer=*/600, 4096, number);
}

// Saves one step with several writers at once.
absl::Status SaveWithAllWriters(const client::Client& client, int64_t step, Steps steps = Steps::kUnrelated) {
  const TestModel model = ModelOf(step, steps);
  const TestModel parent = ModelOf(step - 1, steps);
  client::SaveSpec spec;
  spec.name = "run";
  spec.step = step;
  spec.writers = kWriters;
  spec.session_key = absl::StrCat("crash-", step);
  spec.parent_is_previous = steps == Steps::kDeltas;
  std::vector<absl::Status> results(kWriters);
  std::vector<std::thread> threads;
  for (uint32_t writer = 0; writer < kWriters; ++writer) {
    threads.emplace_back([&, writer] {
      auto save = client.Save(spec, writer);
      results[writer] = save.ok() ? model.Put(**save, writer, steps == Steps::kDeltas ? &parent : nullptr) : save.status();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) {
    if (!result.ok()) return result;
  }
  auto save = client.Save(spec, 0);
  if (!save.ok()) return save.status();
  return (*save)->Commit().status();
}

// Every checkpoint that is listed must be whole; those in `committed` must be listed.
void CheckAll(const client::Client& client, const std::set<int64_t>& committed, Steps steps = Steps::kUnrelated) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto listed, client.ListCheckpoints());
  std::set<int64_t> seen;
  for (const client::CheckpointInfo& checkpoint : listed) {
    seen.insert(checkpoint.step);
    CAIRN_EXPECT_OK(ModelOf(checkpoint.step, steps).Check(client, checkpoint.ShownRef()));
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto verified, client.Verify(checkpoint.UidRef()));
    EXPECT_TRUE(verified.problems.empty()) << verified.problems[0].message;
  }
  for (int64_t step : committed) EXPECT_TRUE(seen.contains(step)) << "step " << step << " was committed and is gone";
}

// Whether the daemon ends by itself before the work that is under way does.
bool DiesBefore(DaemonProcess& daemon, const std::atomic<bool>& done) {
  while (!done) {
    if (!daemon.Running()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

std::string NameOf(Steps steps) { return steps == Steps::kDeltas ? "Deltas" : "Unrelated"; }

using Point = std::pair<const char*, int>;
const auto& Points() {
  static const auto* const points = new auto(::testing::Values(
      Point("upload.before_seal", 1), Point("upload.before_seal", 4), Point("local_store.before_sync", 2),
      Point("local_store.before_link", 3), Point("local_store.after_link", 2), Point("upload.before_record", 1),
      Point("upload.before_record", 5), Point("upload.after_record", 1), Point("upload.after_record", 6),
      Point("commit.before_manifest", 1), Point("commit.before_row", 1), Point("commit.after_row", 1)));
  return *points;
}
std::string NameOf(const Point& point) {
  std::string name = absl::StrCat(point.first, "_", point.second);
  for (char& c : name) {
    if (c == '.') c = '_';
  }
  return name;
}

class FailPointCrashTest : public ::testing::TestWithParam<std::tuple<Point, Steps>> {};

TEST_P(FailPointCrashTest, ASaveGoesOnAfterTheDaemonWasKilledThereAndNothingIsLost) {
  const auto [point, steps] = GetParam();
  TempDir folder;
  DaemonProcess daemon(folder.path(), Flags());
  daemon.Start();
  client::Client client = daemon.Connect();
  CAIRN_ASSERT_OK(SaveWithAllWriters(client, 1, steps));
  daemon.Kill();

  daemon.Start({{"CAIRN_FAIL_POINT", absl::StrCat(point.first, "=kill:", point.second)}});
  absl::Status saved;
  std::atomic<bool> done{false};
  std::thread saving([&, steps = steps] {
    saved = SaveWithAllWriters(client, 2, steps);
    done = true;
  });
  EXPECT_TRUE(DiesBefore(daemon, done)) << "the fail point was not reached";
  daemon.Kill();
  daemon.Start();
  // While the save is still going on: the old one is whole, and half a new one is not to be seen.
  CheckAll(daemon.Connect(), {1}, steps);
  saving.join();
  CAIRN_ASSERT_OK(saved) << daemon.Log();
  CheckAll(client, {1, 2}, steps);

  // What the crash left is garbage, and the rest is not.
  CAIRN_ASSERT_OK(client.CollectGarbage(false));
  CheckAll(client, {1, 2}, steps);
  EXPECT_EQ(daemon.Stop(), 0);
}

INSTANTIATE_TEST_SUITE_P(Points, FailPointCrashTest,
                         ::testing::Combine(Points(), ::testing::Values(Steps::kUnrelated, Steps::kDeltas)),
                         [](const auto& test) {
                           return absl::StrCat(NameOf(std::get<0>(test.param)), "_", NameOf(std::get<1>(test.param)));
                         });

// The parent of a save is deleted after the daemon was killed under that.
class ParentCrashTest : public ::testing::TestWithParam<Point> {
 protected:
  // What its parents are made of: the save needs that for what is durable of it, and for what is to come.
  void KillAndDelete(bool while_it_is_down) {
    const auto [point, nth] = GetParam();
    TempDir folder;
    DaemonProcess daemon(folder.path(), Flags());
    daemon.Start();
    client::Client client = daemon.Connect();
    CAIRN_ASSERT_OK(SaveWithAllWriters(client, 1, Steps::kDeltas));
    CAIRN_ASSERT_OK(SaveWithAllWriters(client, 2, Steps::kDeltas));
    daemon.Kill();

    daemon.Start({{"CAIRN_FAIL_POINT", absl::StrCat(point, "=kill:", nth)}});
    absl::Status saved;
    std::atomic<bool> done{false};
    std::thread saving([&] {
      saved = SaveWithAllWriters(client, 3, Steps::kDeltas);
      done = true;
    });
    EXPECT_TRUE(DiesBefore(daemon, done)) << "the fail point was not reached";
    daemon.Kill();
    if (while_it_is_down) Purge(daemon.data_dir());
    daemon.Start();
    for (const char* ref : {"run@1", "run@2"}) {
      CAIRN_EXPECT_OK(client.DeleteCheckpoint(ref, /*allow_missing=*/true));
      CAIRN_EXPECT_OK(client.CollectGarbage(false));
    }
    saving.join();
    CAIRN_ASSERT_OK(saved) << daemon.Log();
    CAIRN_ASSERT_OK(client.CollectGarbage(false));
    CheckAll(client, {3}, Steps::kDeltas);
    daemon.Kill();
    daemon.Start();
    CAIRN_ASSERT_OK(client.CollectGarbage(false));
    CheckAll(client, {3}, Steps::kDeltas);
  }

 private:
  // As an hour later, when nothing that the dead daemon has pinned is held any more.
  static void Purge(const std::string& data_dir) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Registry> registry, OpenSqliteRegistry({.path = data_dir + "/registry.db"}));
    for (const int64_t step : {1, 2}) {
      CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, registry->GetCheckpoint("run", step, ""));
      CAIRN_ASSERT_OK(registry->DeleteCheckpoint(row.uid, absl::Now()));
    }
    CAIRN_ASSERT_OK_AND_ASSIGN(const uint64_t purged, registry->PurgeDeleted(absl::Now() + absl::Hours(1)));
    EXPECT_EQ(purged, 2u);
  }
};

TEST_P(ParentCrashTest, AParentThatIsDeletedWhileItsChildGoesOnTakesNothingWithIt) { KillAndDelete(/*while_it_is_down=*/false); }
TEST_P(ParentCrashTest, AParentThatIsGoneBeforeItsChildGoesOnTakesNothingWithIt) { KillAndDelete(/*while_it_is_down=*/true); }

INSTANTIATE_TEST_SUITE_P(Points, ParentCrashTest, Points(), [](const auto& test) { return NameOf(test.param); });

class GarbageCrashTest : public ::testing::TestWithParam<Steps> {};

TEST_P(GarbageCrashTest, ACollectionThatWasKilledIsFinishedByTheNextOne) {
  const Steps steps = GetParam();
  for (const char* point : {"gc.after_condemn", "gc.before_forget"}) {
    TempDir folder;
    DaemonProcess daemon(folder.path(), Flags());
    daemon.Start({{"CAIRN_FAIL_POINT", absl::StrCat(point, "=kill:1")}});
    client::Client client = daemon.Connect();
    CAIRN_ASSERT_OK(SaveWithAllWriters(client, 1, steps));
    CAIRN_ASSERT_OK(SaveWithAllWriters(client, 2, steps));
    CAIRN_ASSERT_OK(client.DeleteCheckpoint("run@1"));
    std::atomic<bool> done{false};
    std::thread collecting([&] {
      (void)client.CollectGarbage(false);
      done = true;
    });
    EXPECT_TRUE(DiesBefore(daemon, done)) << point;
    daemon.Kill();
    daemon.Start();
    collecting.join();
    CAIRN_ASSERT_OK(client.CollectGarbage(false));
    CheckAll(client, {2}, steps);
    if (steps == Steps::kDeltas) continue;
    CAIRN_ASSERT_OK_AND_ASSIGN(const client::ServerInfo info, client.GetServerInfo());
    CAIRN_ASSERT_OK_AND_ASSIGN(const client::CheckpointInfo left, client.GetCheckpoint("run@2"));
    // Nothing is stored but what the one that is left needs: its bytes and its manifest.
    EXPECT_LT(info.object_bytes, left.logical_bytes + (64u << 10)) << point;
  }
}

INSTANTIATE_TEST_SUITE_P(Steps, GarbageCrashTest, ::testing::Values(Steps::kUnrelated, Steps::kDeltas),
                         [](const auto& steps) { return NameOf(steps.param); });

class RandomCrashTest : public ::testing::TestWithParam<Steps> {};

TEST_P(RandomCrashTest, KilledAtRandomMomentsUnderSeveralWritersNothingCommittedIsEverLost) {
  const Steps steps = GetParam();
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  TempDir folder;
  DaemonProcess daemon(folder.path(), Flags());
  daemon.Start();
  client::Client client = daemon.Connect();

  std::mutex mu;
  std::set<int64_t> committed;  // Acknowledged to the client.
  std::set<int64_t> deleted;
  absl::Status failure;
  std::atomic<bool> done{false};
  std::atomic<int> kills{0};
  std::thread saving([&] {
    for (int64_t step = 1; step <= 12 || kills < 8; ++step) {
      absl::Status saved = SaveWithAllWriters(client, step, steps);
      std::lock_guard lock(mu);
      if (!saved.ok()) {
        failure = saved;
        break;
      }
      committed.insert(step);
    }
    done = true;
  });
  std::thread collecting([&] {
    while (!done) {
      int64_t victim = 0;
      {
        std::lock_guard lock(mu);
        if (committed.size() > 3) {
          victim = *committed.begin();
          committed.erase(victim);  // From now on it may or may not be there.
        }
      }
      if (victim != 0) (void)client.DeleteCheckpoint(absl::StrCat("run@", victim), /*allow_missing=*/true);
      (void)client.CollectGarbage(false);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  while (!done && kills < 25) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50 + random() % 400));
    daemon.Kill();
    daemon.Start();
    ++kills;
  }
  saving.join();
  collecting.join();
  CAIRN_ASSERT_OK(failure) << daemon.Log();
  CheckAll(client, committed, steps);
  CAIRN_ASSERT_OK(client.CollectGarbage(false));
  CheckAll(client, committed, steps);
  if (steps == Steps::kDeltas) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto listed, client.ListCheckpoints());
    for (const client::CheckpointInfo& checkpoint : listed) {
      if (checkpoint.parent.empty()) continue;
      EXPECT_LT(checkpoint.new_bytes * 4, checkpoint.logical_bytes) << checkpoint.step;
    }
  }
  RecordProperty("kills", kills.load());
}

INSTANTIATE_TEST_SUITE_P(Steps, RandomCrashTest, ::testing::Values(Steps::kUnrelated, Steps::kDeltas),
                         [](const auto& steps) { return NameOf(steps.param); });

}  // namespace
}  // namespace cairn::testing
