#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"

namespace cairn::testing {

// A forked copy of the test, for what only another process can show: locks, death, other rights and limits.
// The test must have no other threads at that moment.
class ChildProcess {
 public:
  // Hands a status to the parent and then waits to be killed, with everything on the stack alive.
  using Report = std::function<void(const absl::Status&)>;

  // Runs `body` in the child. A body that returns without a report has reported OK.
  explicit ChildProcess(const std::function<void(const Report&)>& body);
  // Kills the child.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  int pid() const { return pid_; }
  // Waits for the report.
  absl::Status Reported();
  // kill -9, and waits until the process is gone.
  void Kill();

 private:
  int pid_ = -1;
  int from_child_ = -1;
};

// Runs `body` in a child and returns what it returned.
absl::Status RunInChild(const std::function<absl::Status()>& body);

// In a child only: gives up all rights of root, where it has them. Permission bits bind from then on.
void BecomeNobody();

}  // namespace cairn::testing
