#include "common/base/thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/barrier.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cairn {
namespace {

TEST(ThreadPool, RunsAllThatManyThreadsSchedule) {
  constexpr int kThreads = 4, kEach = 2000;
  std::atomic<int> ran{0};
  absl::BlockingCounter all(kThreads * kEach);
  ThreadPool pool("test", 3);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        pool.Schedule([&] {
          ++ran;
          all.DecrementCount();
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  all.Wait();
  EXPECT_EQ(ran, kThreads * kEach);
}

TEST(ThreadPool, RunsAsManyPiecesAtOnceAsItHasThreads) {
  absl::BlockingCounter done(3);
  auto* const meeting = new absl::Barrier(3);
  ThreadPool pool("test", 3);
  // Each piece waits for the two others: none would end if they ran one after another.
  for (int i = 0; i < 3; ++i) {
    pool.Schedule([&done, meeting] {
      if (meeting->Block()) delete meeting;
      done.DecrementCount();
    });
  }
  done.Wait();
}

TEST(ThreadPool, WorkGoesToTheThreadThatRestedLast) {
  constexpr int kPieces = 50;
  ThreadPool pool("test", 4);
  std::map<std::thread::id, int> ran;
  for (int i = 0; i < kPieces; ++i) {
    absl::Notification done;
    pool.Schedule([&] {
      ++ran[std::this_thread::get_id()];
      done.Notify();
    });
    done.WaitForNotification();
    absl::SleepFor(absl::Milliseconds(5));  // Until it rests again: nothing tells.
  }
  int most = 0;
  for (const auto& [thread, pieces] : ran) most = std::max(most, pieces);
  EXPECT_GT(most, kPieces / 2);
}

TEST(ThreadPool, ItsDestructorRunsWhatIsQueued) {
  std::atomic<int> ran{0};
  absl::Notification go;
  {
    ThreadPool pool("test", 1);
    pool.Schedule([&] { go.WaitForNotification(); });
    for (int i = 0; i < 100; ++i) pool.Schedule([&] { ++ran; });
    EXPECT_EQ(ran, 0);
    go.Notify();
  }
  EXPECT_EQ(ran, 100);
}

TEST(ThreadPool, WorkMayScheduleWork) {
  absl::Notification done;
  ThreadPool pool("test", 1);
  pool.Schedule([&] { pool.Schedule([&] { done.Notify(); }); });
  done.WaitForNotification();
}

TEST(ThreadPool, NamesItsThreads) {
  std::string name;
  absl::Notification done;
  ThreadPool pool("a-long-name-for-a-pool", 1);
  pool.Schedule([&] {
    char text[16];
    pthread_getname_np(pthread_self(), text, sizeof(text));
    name = text;
    done.Notify();
  });
  done.WaitForNotification();
  EXPECT_EQ(name, "a-long-name-for");
}

TEST(SerialQueue, RunsInOrderAndOneAtATime) {
  ThreadPool pool("test", 4);
  SerialQueue queue(&pool);
  constexpr int kPieces = 3000;
  std::vector<int> order;  // Needs no lock if the queue keeps its word; ThreadSanitizer would tell.
  std::atomic<int> running{0};
  absl::Notification done;
  for (int i = 0; i < kPieces; ++i) {
    queue.Schedule([&, i] {
      EXPECT_EQ(++running, 1);
      order.push_back(i);
      --running;
      if (i == kPieces - 1) done.Notify();
    });
  }
  done.WaitForNotification();
  ASSERT_EQ(order.size(), size_t{kPieces});
  for (int i = 0; i < kPieces; ++i) ASSERT_EQ(order[i], i);
}

TEST(SerialQueue, KeepsTheOrderOfEachThreadThatSchedules) {
  constexpr int kThreads = 4, kEach = 1000;
  ThreadPool pool("test", 3);
  SerialQueue queue(&pool);
  std::vector<std::vector<int>> order(kThreads);
  absl::BlockingCounter all(kThreads * kEach);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        queue.Schedule([&, t, i] {
          order[t].push_back(i);
          all.DecrementCount();
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  all.Wait();
  for (const std::vector<int>& of_thread : order) {
    ASSERT_EQ(of_thread.size(), size_t{kEach});
    for (int i = 0; i < kEach; ++i) ASSERT_EQ(of_thread[i], i);
  }
}

TEST(SerialQueue, ABusyQueueDoesNotKeepAnotherOneWaiting) {
  ThreadPool pool("test", 1);
  SerialQueue busy(&pool), other(&pool);
  std::vector<std::string> order;
  absl::Notification go, done;
  pool.Schedule([&] { go.WaitForNotification(); });
  for (int i = 0; i < 3; ++i) busy.Schedule([&] { order.push_back("busy"); });
  other.Schedule([&] { order.push_back("other"); });
  busy.Schedule([&] { done.Notify(); });
  go.Notify();
  done.WaitForNotification();
  EXPECT_THAT(order, ::testing::ElementsAre("busy", "other", "busy", "busy"));
}

TEST(SerialQueue, RunsWorkInTheCallersThreadWhereNothingElseRuns) {
  ThreadPool pool("test", 2);
  SerialQueue queue(&pool);
  std::vector<std::string> order;  // Needs no lock if the queue keeps its word.
  absl::Notification after;
  const std::thread::id here = std::this_thread::get_id();
  EXPECT_TRUE(queue.RunHere([&] {
    EXPECT_EQ(std::this_thread::get_id(), here);
    queue.Schedule([&] {
      order.push_back("after");
      EXPECT_NE(std::this_thread::get_id(), here);
      EXPECT_FALSE(queue.RunHere([&] { order.push_back("never"); }));
      after.Notify();
    });
    EXPECT_FALSE(queue.RunHere([&] { order.push_back("never"); }));
    order.push_back("here");
  }));
  after.WaitForNotification();
  EXPECT_THAT(order, ::testing::ElementsAre("here", "after"));
}

TEST(SerialQueue, WorkInManyThreadsIsNeverAtOnce) {
  ThreadPool pool("test", 3);
  SerialQueue queue(&pool);
  constexpr int kThreads = 4, kEach = 2000;
  int counted = 0;  // Without a lock.
  absl::BlockingCounter all(kThreads * kEach);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        const auto work = [&] {
          ++counted;
          all.DecrementCount();
        };
        if (!queue.RunHere(work)) queue.Schedule(work);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  all.Wait();
  EXPECT_EQ(counted, kThreads * kEach);
}

TEST(SerialQueue, MayBeDestroyedBeforeItsWorkRuns) {
  std::atomic<int> ran{0};
  absl::Notification go;
  {
    ThreadPool pool("test", 2);
    {
      SerialQueue queue(&pool);
      queue.Schedule([&] { go.WaitForNotification(); });
      for (int i = 0; i < 10; ++i) queue.Schedule([&] { ++ran; });
    }
    go.Notify();
  }
  EXPECT_EQ(ran, 10);
}

// Takes its time to go, so that the next piece would overtake it.
class SlowToGo {
 public:
  explicit SlowToGo(std::atomic<bool>* gone) : gone_(gone) {}
  ~SlowToGo() {
    for (int i = 0; i < 20; ++i) std::this_thread::yield();
    *gone_ = true;
  }

 private:
  std::atomic<bool>* const gone_;
};

TEST(SerialQueue, LetsGoOfWhatAPieceCapturedBeforeTheNextOne) {
  ThreadPool pool("test", 2);
  for (int round = 0; round < 100; ++round) {
    SerialQueue queue(&pool);
    std::atomic<bool> gone{false}, gone_in_time{false};
    absl::Notification done;
    queue.Schedule([held = std::make_shared<SlowToGo>(&gone)] {});
    queue.Schedule([&] {
      gone_in_time = gone.load();
      done.Notify();
    });
    done.WaitForNotification();
    ASSERT_TRUE(gone_in_time) << round;
  }
}

}  // namespace
}  // namespace cairn
