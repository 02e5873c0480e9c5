#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <ostream>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "common/base/clock.h"

namespace cairn::cli {

struct ProgressCounts {
  uint64_t done = 0;     // Bytes, skipped ones included.
  uint64_t total = 0;    // 0: unknown.
  uint64_t skipped = 0;  // Of `done`, what needed no work; left out of the rate.
};

// Shows how far long work has come, on stderr. One thread.
class ProgressMeter {
 public:
  enum class Mode {
    kOff,
    kLines,  // A plain line every few seconds: a log file, a pipe.
    kBar,    // One line that is drawn over, at most ten times a second: a terminal.
  };
  struct Options {
    Mode mode = Mode::kOff;
    bool utf8 = false;
    std::function<int()> terminal_width = [] { return 80; };
  };

  ProgressMeter(std::string label, Options options, std::ostream& err, const Clock& clock);
  // Takes the bar off the screen.
  ~ProgressMeter() { Clear(); }
  ProgressMeter(const ProgressMeter&) = delete;
  ProgressMeter& operator=(const ProgressMeter&) = delete;

  // Cheap; draws only when it is time to.
  void Update(const ProgressCounts& counts);
  // Takes the bar off the screen, so that other text may follow.
  void Clear();

  absl::Duration elapsed() const { return clock_.Now() - start_; }

 private:
  void Sample(absl::Time now, const ProgressCounts& counts);

  const std::string label_;
  const Options options_;
  std::ostream& err_;
  const Clock& clock_;
  const absl::Time start_;
  absl::Time next_draw_;
  std::deque<std::pair<absl::Time, uint64_t>> samples_;  // Bytes moved, over the last seconds.
  bool drawn_ = false;
};

namespace progress_internal {
// One line of at most `width` columns, without a line end. `bytes_per_second` <= 0: unknown.
std::string RenderBar(const std::string& label, const ProgressCounts& counts, double bytes_per_second,
                      int width, bool utf8);
std::string RenderLine(const std::string& label, const ProgressCounts& counts, double bytes_per_second);
}  // namespace progress_internal

}  // namespace cairn::cli
