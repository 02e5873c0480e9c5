#include "common/base/thread_pool.h"

#include <pthread.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace cairn {

ThreadPool::ThreadPool(std::string name, int threads) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this, thread_name = absl::StrCat(name, "-", i).substr(0, 15)] {
      pthread_setname_np(pthread_self(), thread_name.c_str());
      Run();
    });
  }
}

ThreadPool::~ThreadPool() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    while (!sleeping_.empty()) WakeOne();
  }
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::Schedule(std::function<void()> work) {
  absl::MutexLock lock(&mu_);
  queue_.push_back(std::move(work));
  if (!sleeping_.empty()) WakeOne();
}

void ThreadPool::ScheduleAndReturn(std::function<void()> work) {
  absl::MutexLock lock(&mu_);
  queue_.push_back(std::move(work));
}

void ThreadPool::WakeOne() {
  Sleeper& sleeper = *sleeping_.back();
  sleeping_.pop_back();
  sleeper.awake = true;
  sleeper.woken.Signal();
}

void ThreadPool::Sleep() {
  Sleeper self;
  sleeping_.push_back(&self);
  while (!self.awake) self.woken.Wait(&mu_);
}

void ThreadPool::Run() {
  while (true) {
    std::function<void()> work;
    {
      absl::MutexLock lock(&mu_);
      while (queue_.empty() && !stopping_) Sleep();
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

struct SerialQueue::State {
  explicit State(ThreadPool* p) : pool(p) {}
  ThreadPool* const pool;
  absl::Mutex mu;
  std::deque<std::function<void()>> queue ABSL_GUARDED_BY(mu);
  bool running ABSL_GUARDED_BY(mu) = false;
};

SerialQueue::SerialQueue(ThreadPool* pool) : state_(std::make_shared<State>(pool)) {}

void SerialQueue::Schedule(std::function<void()> work) {
  {
    absl::MutexLock lock(&state_->mu);
    state_->queue.push_back(std::move(work));
    if (std::exchange(state_->running, true)) return;
  }
  state_->pool->Schedule([state = state_] { RunNext(state); });
}

bool SerialQueue::RunHere(absl::FunctionRef<void()> work) {
  const std::shared_ptr<State> state = state_;  // The queue may go meanwhile.
  {
    absl::MutexLock lock(&state->mu);
    if (state->running) return false;
    state->running = true;
  }
  work();
  {
    absl::MutexLock lock(&state->mu);
    if (state->queue.empty()) {
      state->running = false;
      return true;
    }
  }
  state->pool->Schedule([state] { RunNext(state); });
  return true;
}

void SerialQueue::RunNext(const std::shared_ptr<State>& state) {
  std::function<void()> work;
  {
    absl::MutexLock lock(&state->mu);
    work = std::move(state->queue.front());
    state->queue.pop_front();
  }
  work();
  work = nullptr;  // What it captured goes before the next piece runs.
  {
    absl::MutexLock lock(&state->mu);
    if (state->queue.empty()) {
      state->running = false;
      return;
    }
  }
  // Back to the end of the pool's queue: one busy stream does not keep the others waiting.
  state->pool->ScheduleAndReturn([state] { RunNext(state); });
}

}  // namespace cairn
