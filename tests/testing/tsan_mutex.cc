// Tells ThreadSanitizer about the locks of Abseil. The distribution's Abseil is not instrumented, so it would
// see no order between threads that meet in an absl::Mutex and report every guarded variable. These
// definitions stand before those of the shared library: each says what it orders, and calls the library. Only
// in the tsan preset.

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>
#include <stdio.h>
#include <stdlib.h>

#include "absl/synchronization/barrier.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}

namespace {

void* Next(const char* symbol) {
  void* const found = dlsym(RTLD_NEXT, symbol);
  if (found == nullptr) {
    fprintf(stderr, "tsan_mutex.cc: Abseil has no %s; adapt the names to this version\n", symbol);
    abort();
  }
  return found;
}

// While Abseil works on a lock, it evaluates conditions of any waiter in this thread: they are guarded by the
// lock, but by then we have said that it is released.
class Inside {
 public:
  Inside() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Inside() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
};

// Calls the library's member function of that mangled name.
template <typename Result, typename... Args>
Result Call(void* function, Args... args) {
  const Inside inside;
  return reinterpret_cast<Result (*)(Args...)>(function)(args...);
}

}  // namespace

#define CAIRN_NEXT(mangled)                                         \
  ([]() -> void* {                                                  \
    static void* const function = Next("_ZN4absl7debian3" mangled); \
    return function;                                                \
  }())

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  Call<void>(CAIRN_NEXT("5Mutex4LockEv"), this);
  __tsan_acquire(this);
}

void Mutex::Unlock() {
  __tsan_release(this);
  Call<void>(CAIRN_NEXT("5Mutex6UnlockEv"), this);
}

bool Mutex::TryLock() {
  const bool locked = Call<bool>(CAIRN_NEXT("5Mutex7TryLockEv"), this);
  if (locked) __tsan_acquire(this);
  return locked;
}

void Mutex::ReaderLock() {
  Call<void>(CAIRN_NEXT("5Mutex10ReaderLockEv"), this);
  __tsan_acquire(this);
}

void Mutex::ReaderUnlock() {
  __tsan_release(this);
  Call<void>(CAIRN_NEXT("5Mutex12ReaderUnlockEv"), this);
}

void Mutex::Await(const Condition& condition) {
  __tsan_release(this);
  Call<void>(CAIRN_NEXT("5Mutex5AwaitERKNS0_9ConditionE"), this, &condition);
  __tsan_acquire(this);
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  __tsan_release(this);
  const bool met = Call<bool>(CAIRN_NEXT("5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE"), this,
                              &condition, timeout);
  __tsan_acquire(this);
  return met;
}

bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  __tsan_release(this);
  const bool met = Call<bool>(CAIRN_NEXT("5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE"), this,
                              &condition, deadline);
  __tsan_acquire(this);
  return met;
}

void Mutex::LockWhen(const Condition& condition) {
  Call<void>(CAIRN_NEXT("5Mutex8LockWhenERKNS0_9ConditionE"), this, &condition);
  __tsan_acquire(this);
}

bool Mutex::LockWhenWithTimeout(const Condition& condition, Duration timeout) {
  const bool met = Call<bool>(CAIRN_NEXT("5Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE"), this,
                              &condition, timeout);
  __tsan_acquire(this);
  return met;
}

bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  const bool met = Call<bool>(CAIRN_NEXT("5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE"), this,
                              &condition, deadline);
  __tsan_acquire(this);
  return met;
}

void CondVar::Wait(Mutex* mu) {
  __tsan_release(mu);
  Call<void>(CAIRN_NEXT("7CondVar4WaitEPNS0_5MutexE"), this, mu);
  __tsan_acquire(mu);
}

bool CondVar::WaitWithTimeout(Mutex* mu, Duration timeout) {
  __tsan_release(mu);
  const bool expired =
      Call<bool>(CAIRN_NEXT("7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE"), this, mu, timeout);
  __tsan_acquire(mu);
  return expired;
}

bool CondVar::WaitWithDeadline(Mutex* mu, Time deadline) {
  __tsan_release(mu);
  const bool expired =
      Call<bool>(CAIRN_NEXT("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE"), this, mu, deadline);
  __tsan_acquire(mu);
  return expired;
}

void Notification::Notify() {
  __tsan_release(this);
  Call<void>(CAIRN_NEXT("12Notification6NotifyEv"), this);
}

void Notification::WaitForNotification() const {
  static void* const function = Next("_ZNK4absl7debian312Notification19WaitForNotificationEv");
  Call<void>(function, this);
  __tsan_acquire(const_cast<Notification*>(this));
}

bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  static void* const function =
      Next("_ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE");
  const bool notified = Call<bool>(function, this, timeout);
  if (notified) __tsan_acquire(const_cast<Notification*>(this));
  return notified;
}

bool BlockingCounter::DecrementCount() {
  __tsan_release(this);
  return Call<bool>(CAIRN_NEXT("15BlockingCounter14DecrementCountEv"), this);
}

void BlockingCounter::Wait() {
  Call<void>(CAIRN_NEXT("15BlockingCounter4WaitEv"), this);
  __tsan_acquire(this);
}

bool Barrier::Block() {
  __tsan_release(this);
  const bool last = Call<bool>(CAIRN_NEXT("7Barrier5BlockEv"), this);
  __tsan_acquire(this);
  return last;
}

ABSL_NAMESPACE_END
}  // namespace absl
