#include "common/base/byte_budget.h"

#include <atomic>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;

TEST(ByteBudget, GrantsAtOnceWhatIsFree) {
  ByteBudget budget(100);
  bool granted = false;
  budget.Acquire(60, [&](ByteBudget::Reservation reservation) {
    granted = true;
    EXPECT_EQ(reservation.bytes(), 60u);
    EXPECT_EQ(budget.in_use(), 60u);
  });
  EXPECT_TRUE(granted);
  EXPECT_EQ(budget.in_use(), 0u) << "the reservation died with the callback";
}

TEST(ByteBudget, ServesWaitersInOrderOfArrival) {
  ByteBudget budget(100);
  ByteBudget::Reservation all = budget.TryAcquire(100);
  ASSERT_EQ(all.bytes(), 100u);
  std::vector<int> order;
  std::vector<ByteBudget::Reservation> held;
  const auto wait = [&](int who, uint64_t bytes) {
    budget.Acquire(bytes, [&, who](ByteBudget::Reservation reservation) {
      order.push_back(who);
      held.push_back(std::move(reservation));
    });
  };
  wait(1, 70);
  wait(2, 10);
  wait(3, 30);
  EXPECT_TRUE(order.empty());
  all.Release();
  EXPECT_THAT(order, ElementsAre(1, 2));
  std::exchange(held, {}).clear();
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST(ByteBudget, ASmallRequestDoesNotOvertakeALargeOneThatWaits) {
  ByteBudget budget(100);
  ByteBudget::Reservation most = budget.TryAcquire(80);
  bool large = false, small = false;
  budget.Acquire(90, [&](ByteBudget::Reservation) { large = true; });
  budget.Acquire(10, [&](ByteBudget::Reservation) { small = true; });
  EXPECT_FALSE(small) << "20 bytes are free, but somebody came first";
  EXPECT_EQ(budget.TryAcquire(1).bytes(), 0u);
  most.Release();
  EXPECT_TRUE(large);
  EXPECT_TRUE(small);
  EXPECT_EQ(budget.in_use(), 0u);
}

TEST(ByteBudget, ARequestAboveTheLimitGetsTheWholeBudget) {
  ByteBudget budget(100);
  ByteBudget::Reservation one = budget.TryAcquire(1);
  ByteBudget::Reservation whole;
  budget.Acquire(1000, [&](ByteBudget::Reservation reservation) { whole = std::move(reservation); });
  EXPECT_EQ(whole.bytes(), 0u);
  one.Release();
  EXPECT_EQ(whole.bytes(), 100u);
  EXPECT_EQ(budget.in_use(), 100u);
}

TEST(ByteBudget, TryAcquireGivesNothingWhenTheBudgetIsShort) {
  ByteBudget budget(100);
  ByteBudget::Reservation held = budget.TryAcquire(60);
  EXPECT_EQ(budget.TryAcquire(41).bytes(), 0u);
  EXPECT_EQ(budget.TryAcquire(40).bytes(), 40u);
  EXPECT_EQ(budget.in_use(), 60u);
}

TEST(ByteBudget, TryAcquireLeavesWhatItIsToldTo) {
  ByteBudget budget(10);
  EXPECT_EQ(budget.TryAcquire(6, 5).bytes(), 0u);
  EXPECT_EQ(budget.TryAcquire(11, 0).bytes(), 0u);
  EXPECT_EQ(budget.TryAcquire(5, 5).bytes(), 5u);
}

TEST(ByteBudget, TellsWhetherSomebodyWaits) {
  ByteBudget budget(10);
  ByteBudget::Reservation all = budget.TryAcquire(10);
  EXPECT_FALSE(budget.HasWaiters());
  ByteBudget::Reservation late;
  budget.Acquire(1, [&](ByteBudget::Reservation reservation) { late = std::move(reservation); });
  EXPECT_TRUE(budget.HasWaiters());
  all.Release();
  EXPECT_FALSE(budget.HasWaiters());
}

TEST(ByteBudget, AReservationGivesItsBytesBackOnce) {
  ByteBudget budget(100);
  ByteBudget::Reservation first = budget.TryAcquire(30);
  ByteBudget::Reservation second = std::move(first);
  EXPECT_EQ(first.bytes(), 0u);
  first.Release();
  EXPECT_EQ(budget.in_use(), 30u);
  second = budget.TryAcquire(50);
  EXPECT_EQ(budget.in_use(), 50u) << "assignment releases what was held";
  second.Release();
  second.Release();
  EXPECT_EQ(budget.in_use(), 0u);
}

TEST(ByteBudget, ACallbackMayAcquireAgain) {
  ByteBudget budget(100);
  ByteBudget::Reservation all = budget.TryAcquire(100);
  std::vector<int> order;
  budget.Acquire(10, [&](ByteBudget::Reservation) {
    order.push_back(1);
    budget.Acquire(10, [&](ByteBudget::Reservation) { order.push_back(2); });
  });
  all.Release();
  EXPECT_THAT(order, ElementsAre(1, 2));
}

TEST(ByteBudget, BlockingWaitsForTheThreadThatGivesBack) {
  ByteBudget budget(100);
  ByteBudget::Reservation all = budget.TryAcquire(100);
  absl::Notification got;
  std::thread waiter([&] {
    const ByteBudget::Reservation mine = budget.AcquireBlocking(70);
    EXPECT_EQ(mine.bytes(), 70u);
    got.Notify();
  });
  EXPECT_FALSE(got.HasBeenNotified());
  all.Release();
  got.WaitForNotification();
  waiter.join();
  EXPECT_EQ(budget.in_use(), 0u);
}

TEST(ByteBudget, AReservationThatShrinksServesWaiters) {
  ByteBudget budget(100);
  ByteBudget::Reservation held = budget.AcquireBlocking(80);
  bool granted = false;
  budget.Acquire(50, [&](ByteBudget::Reservation) { granted = true; });
  held.ShrinkTo(60);
  EXPECT_FALSE(granted);
  held.ShrinkTo(90);
  EXPECT_EQ(held.bytes(), 60u);
  held.ShrinkTo(50);
  EXPECT_TRUE(granted);
  EXPECT_EQ(budget.in_use(), 50u);
}

TEST(ByteBudget, WhoIsCancelledWaitsNoMoreAndLetsOthersPass) {
  ByteBudget budget(100);
  ByteBudget::Reservation held = budget.AcquireBlocking(60);
  const Cancellation cancellation;
  absl::Notification ended;
  std::thread waiting([&] {
    EXPECT_THAT(budget.AcquireBlocking(100, cancellation).status(), testing::StatusIs(absl::StatusCode::kCancelled));
    ended.Notify();
  });
  while (!budget.HasWaiters()) std::this_thread::yield();
  absl::Notification granted;
  budget.Acquire(40, [&](ByteBudget::Reservation) { granted.Notify(); });  // Fits, but it came later.
  EXPECT_FALSE(granted.HasBeenNotified());
  cancellation.Cancel();
  ended.WaitForNotification();
  EXPECT_TRUE(granted.HasBeenNotified());
  waiting.join();
  EXPECT_EQ(budget.in_use(), 60u);
  EXPECT_THAT(budget.AcquireBlocking(10, cancellation).status(), testing::StatusIs(absl::StatusCode::kCancelled));
  CAIRN_ASSERT_OK_AND_ASSIGN(const ByteBudget::Reservation more, budget.AcquireBlocking(40, Cancellation()));
  EXPECT_EQ(more.bytes(), 40u);
}

// Every thread finishes only if no waiter is ever forgotten.
TEST(ByteBudget, LosesNoWakeupAndNeverExceedsItsLimitUnderManyThreads) {
  constexpr uint64_t kLimit = 1000;
  ByteBudget budget(kLimit);
  std::atomic<uint64_t> in_flight{0}, most{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 2000; ++i) {
        const uint64_t bytes = 1 + random() % (kLimit / (t == 0 ? 1 : 4));  // One of them wants large pieces.
        const ByteBudget::Reservation held = budget.AcquireBlocking(bytes);
        const uint64_t now = in_flight += bytes;
        uint64_t seen = most.load();
        while (seen < now && !most.compare_exchange_weak(seen, now)) {
        }
        in_flight -= bytes;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most.load(), kLimit);
  EXPECT_EQ(budget.in_use(), 0u);
}

TEST(ByteBudget, CallbacksFromManyThreadsAllRun) {
  ByteBudget budget(10);
  constexpr int kThreads = 4, kEach = 1000;
  absl::BlockingCounter granted(kThreads * kEach);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        budget.Acquire(1 + i % 10, [&](ByteBudget::Reservation reservation) {
          reservation.Release();
          granted.DecrementCount();
        });
      }
    });
  }
  granted.Wait();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(budget.in_use(), 0u);
}

}  // namespace
}  // namespace cairn
