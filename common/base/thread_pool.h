#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"

namespace cairn {

// A fixed number of named threads for work that may block. Thread-safe. Work goes to the thread that went to sleep last: what it
// needs is likelier to be in its processor's cache.
// The destructor runs what is queued and joins; nothing may be scheduled after it has begun.
class ThreadPool {
 public:
  ThreadPool(std::string name, int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void Schedule(std::function<void()> work) ABSL_LOCKS_EXCLUDED(mu_);
  // As the last thing that a piece of the pool's own work does: wakes nobody, since this thread comes back for work.
  void ScheduleAndReturn(std::function<void()> work) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Sleeper {
    absl::CondVar woken;
    bool awake = false;
  };
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  void Sleep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WakeOne() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  absl::Mutex mu_;
  std::vector<Sleeper*> sleeping_ ABSL_GUARDED_BY(mu_);  // The last one is woken first.
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

// Runs work on a pool, one piece at a time, in the order it was scheduled. Thread-safe. Work that is queued keeps
// the queue's state alive, so the SerialQueue itself may be destroyed at any time; the pool must outlive the work.
class SerialQueue {
 public:
  explicit SerialQueue(ThreadPool* pool);
  void Schedule(std::function<void()> work);
  // Runs `work` in the calling thread, if nothing is queued or running; what is scheduled meanwhile comes after it, on the pool.
  // False if there is something: then nothing was done.
  bool RunHere(absl::FunctionRef<void()> work);

 private:
  struct State;
  static void RunNext(const std::shared_ptr<State>& state);
  std::shared_ptr<State> state_;
};

}  // namespace cairn
