#include "client/cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "client/cli/exit_code.h"

namespace cairn::cli {
namespace {

const Cancellation* g_cancellation = nullptr;
std::atomic<int> g_signals{0};

// Only what is safe in a signal handler.
void HandleSignal(int) {
  if (g_signals.fetch_add(1) > 0) ::_exit(kExitInterrupted);
  g_cancellation->Cancel();
}

}  // namespace

Cancellation InstallInterruptHandler() {
  static const Cancellation* const cancellation = new Cancellation();  // Outlives every handler.
  g_cancellation = cancellation;
  struct sigaction action = {};
  action.sa_handler = HandleSignal;
  ::sigemptyset(&action.sa_mask);
  // No SA_RESTART: a prompt that waits for an answer must end too.
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  return *cancellation;
}

}  // namespace cairn::cli
