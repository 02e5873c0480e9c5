#include "common/base/fail_point.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace cairn {
namespace {

struct Armed {
  std::string name;
  bool kill = false;
  int64_t at = 1;  // Which time it is reached, counted from 1.
};

Armed ParseEnvironment() {
  Armed armed;
  const char* text = std::getenv("CAIRN_FAIL_POINT");
  if (text == nullptr) return armed;
  const std::vector<std::string> halves = absl::StrSplit(text, absl::MaxSplits('=', 1));
  if (halves.size() != 2) return armed;
  const std::vector<std::string> action = absl::StrSplit(halves[1], ':');
  armed.name = halves[0];
  armed.kill = action[0] == "kill";
  if (action.size() > 1 && !absl::SimpleAtoi(action[1], &armed.at)) armed.at = 1;
  return armed;
}

}  // namespace

absl::Status ReachFailPoint(absl::string_view name) {
  static const Armed* const armed = new Armed(ParseEnvironment());
  static std::atomic<int64_t> reached{0};
  if (armed->name.empty() || armed->name != name) return absl::OkStatus();
  if (++reached != armed->at) return absl::OkStatus();
  if (armed->kill) kill(getpid(), SIGKILL);
  return absl::UnavailableError(absl::StrCat("fail point ", armed->name));
}

}  // namespace cairn
