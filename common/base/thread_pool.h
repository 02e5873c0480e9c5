#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace cairn {

// A fixed number of named threads for work that may block. Thread-safe.
// The destructor runs what is queued and joins; nothing may be scheduled after it has begun.
class ThreadPool {
 public:
  ThreadPool(std::string name, int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void Schedule(std::function<void()> work) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  bool HasWorkOrStops() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !queue_.empty(); }

  absl::Mutex mu_;
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

 private:
  struct State;
  static void RunNext(const std::shared_ptr<State>& state);
  std::shared_ptr<State> state_;
};

}  // namespace cairn
