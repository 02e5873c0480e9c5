#pragma once

#include <exception>
#include <functional>
#include <utility>

#include "absl/time/time.h"
#include "nanobind/nanobind.h"

namespace cairn::python {

// What a stream calls now and then to say how far it is: a Python callable, and how its arguments are made.
class ProgressCallback {
 public:
  ProgressCallback() = default;
  // `report` calls the callable. It is called with the interpreter lock, in the thread that is in the call.
  ProgressCallback(nanobind::object callable, std::function<void(const nanobind::object&)> report)
      : callable_(std::move(callable)), report_(std::move(report)) {}

  bool wanted() const { return callable_.is_valid() && !callable_.is_none(); }
  bool due(absl::Time now) const;
  void Call();

  nanobind::object& callable() { return callable_; }  // For the garbage collector.

 private:
  nanobind::object callable_;
  std::function<void(const nanobind::object&)> report_;
  absl::Time last_ = absl::InfinitePast();
};

// A call into the C++ client, without the interpreter lock. While it lasts, PollBlockingCall() (which the client
// asks in this thread: client::Options::interrupted) takes the lock now and then, lets signal handlers run and reports progress.
// What they raise ends the call.
class BlockingCall {
 public:
  // `progress` may be null.
  explicit BlockingCall(ProgressCallback* progress);
  ~BlockingCall();
  BlockingCall(const BlockingCall&) = delete;
  BlockingCall& operator=(const BlockingCall&) = delete;

  // The innermost one of this thread; null if there is none.
  static BlockingCall* Current();

  // True if the call shall end. Without the interpreter lock.
  bool Poll();
  // Runs Python code in the middle of the call; what it raises ends the call. False if it raised, now or earlier.
  // Without the interpreter lock.
  bool RunPython(const std::function<void()>& code);

  bool raised() const { return raised_ != nullptr; }
  // Goes on with what was raised, if something was. With the interpreter lock.
  void Rethrow();

 private:
  BlockingCall* const outer_;
  ProgressCallback* const progress_;
  absl::Time last_look_;
  std::exception_ptr raised_;
};

// client::Options::interrupted.
bool PollBlockingCall();

// Remembers which thread signals are handled in. Called when the module is made.
void RememberMainThread();

// Runs `work` as a blocking call and returns what it returned. `on_raise` is called first if something was raised.
template <typename Work, typename OnRaise>
auto RunBlocking(ProgressCallback* progress, Work work, OnRaise on_raise) -> decltype(work()) {
  BlockingCall call(progress);
  auto result = [&] {
    const nanobind::gil_scoped_release release;
    auto made = work();
    if (call.raised()) on_raise();
    return made;
  }();
  call.Rethrow();
  return result;
}
template <typename Work>
auto RunBlocking(ProgressCallback* progress, Work work) -> decltype(work()) {
  return RunBlocking(progress, std::move(work), [] {});
}

}  // namespace cairn::python
