#include "tests/unit/server/store/child_process.h"

#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace cairn::testing {
namespace {

// "CODE MESSAGE", closed by the end of the stream.
void Send(int to_parent, const absl::Status& status) {
  const std::string text = absl::StrCat(static_cast<int>(status.code()), " ", status.message());
  if (::write(to_parent, text.data(), text.size()) != static_cast<ssize_t>(text.size())) ::_exit(2);
  ::close(to_parent);
}

}  // namespace

ChildProcess::ChildProcess(const std::function<void(const Report&)>& body) {
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  pid_ = ::fork();
  if (pid_ < 0) std::abort();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close(ends[0]);
    const Report report = [&ends](const absl::Status& status) {
      Send(ends[1], status);
      while (true) ::pause();
    };
    body(report);
    report(absl::OkStatus());
  }
  ::close(ends[1]);
  from_child_ = ends[0];
}

ChildProcess::~ChildProcess() {
  Kill();
  ::close(from_child_);
}

absl::Status ChildProcess::Reported() {
  std::string text;
  char piece[512];
  while (true) {
    const ssize_t n = ::read(from_child_, piece, sizeof(piece));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(piece, static_cast<size_t>(n));
  }
  int code;
  const size_t space = text.find(' ');
  if (space == std::string::npos || !absl::SimpleAtoi(text.substr(0, space), &code)) {
    return absl::AbortedError("the child died without a report");
  }
  return absl::Status(static_cast<absl::StatusCode>(code), text.substr(space + 1));
}

void ChildProcess::Kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

absl::Status RunInChild(const std::function<absl::Status()>& body) {
  ChildProcess child([&](const ChildProcess::Report& report) { report(body()); });
  return child.Reported();
}

void BecomeNobody() {
  constexpr uid_t kNobody = 65534;
  if (::geteuid() != 0) return;
  if (::setgroups(0, nullptr) != 0 || ::setresgid(kNobody, kNobody, kNobody) != 0 ||
      ::setresuid(kNobody, kNobody, kNobody) != 0) {
    ::_exit(3);
  }
}

}  // namespace cairn::testing
