#pragma once

#include <chrono>
#include <cstdint>

#include "nlohmann/json.hpp"

namespace cairn::benchmark {

// Time of the wall, of this process and of the whole machine between two moments.
class Stopwatch {
 public:
  Stopwatch();  // Starts.
  // {"seconds", "cpu_seconds", "machine_seconds"}: the last is what all processors together were busy, so that whoever
  // reads a figure sees whether others were at work meanwhile.
  nlohmann::json Read() const;

 private:
  std::chrono::steady_clock::time_point wall_;
  double process_ = 0;
  double machine_ = 0;
};

}  // namespace cairn::benchmark
