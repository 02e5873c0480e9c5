#include "client/python/native/blocking_call.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "client/python/native/borrowed.h"

namespace cairn::python {
namespace {

namespace nb = nanobind;

constexpr absl::Duration kLookEvery = absl::Milliseconds(100);
constexpr absl::Duration kReportEvery = absl::Milliseconds(200);

thread_local BlockingCall* current = nullptr;
unsigned long main_thread = 0;  // As Python numbers them.

// Python runs signal handlers in one thread. After a fork it is the one that lives, which the system calls the main one.
bool HandlesSignals() { return PyThread_get_thread_ident() == main_thread || ::syscall(SYS_gettid) == ::getpid(); }

}  // namespace

bool ProgressCallback::due(absl::Time now) const { return wanted() && now - last_ >= kReportEvery; }

void ProgressCallback::Call() {
  if (!wanted()) return;
  last_ = absl::Now();
  report_(callable_);
}

BlockingCall::BlockingCall(ProgressCallback* progress)
    : outer_(current), progress_(progress), last_look_(absl::Now()) {
  current = this;
}

BlockingCall::~BlockingCall() {
  current = outer_;
  ReleaseBorrowed();
}

BlockingCall* BlockingCall::Current() { return current; }

bool BlockingCall::Poll() {
  if (raised()) return true;
  const absl::Time now = absl::Now();
  const bool report = progress_ != nullptr && progress_->due(now);
  if (now - last_look_ < kLookEvery && !report) return false;
  last_look_ = now;
  const bool signals = HandlesSignals();
  if (!report && !signals && !AnyToRelease()) return false;
  return !RunPython([&] {
    ReleaseBorrowed();
    if (signals && PyErr_CheckSignals() != 0) throw nb::python_error();
    if (report) progress_->Call();
  });
}

bool BlockingCall::RunPython(const std::function<void()>& code) {
  if (raised()) return false;
  const nb::gil_scoped_acquire acquire;
  try {
    code();
  } catch (...) {
    raised_ = std::current_exception();
  }
  return !raised();
}

void BlockingCall::Rethrow() {
  if (!raised()) return;
  std::exception_ptr raised;
  raised.swap(raised_);
  std::rethrow_exception(std::move(raised));
}

bool PollBlockingCall() { return current != nullptr && current->Poll(); }

void RememberMainThread() {
  main_thread = nb::cast<unsigned long>(nb::module_::import_("threading").attr("main_thread")().attr("ident"));
}

}  // namespace cairn::python
