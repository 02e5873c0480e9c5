#include "tests/benchmark/programs/stopwatch.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace cairn::benchmark {
namespace {

double Seconds(const timeval& time) { return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec); }

double ProcessSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
}

// First line of /proc/stat, see proc(5): user nice system idle iowait irq softirq steal. Zero where it cannot be read.
double MachineSeconds() {
  std::ifstream file("/proc/stat");
  std::string name;
  double ticks[8] = {};
  file >> name;
  for (double& value : ticks) file >> value;
  if (!file) return 0;
  return (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7]) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

Stopwatch::Stopwatch() : process_(ProcessSeconds()), machine_(MachineSeconds()) { wall_ = std::chrono::steady_clock::now(); }

nlohmann::json Stopwatch::Read() const {
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - wall_;
  return {{"seconds", wall.count()},
          {"cpu_seconds", ProcessSeconds() - process_},
          {"machine_seconds", MachineSeconds() - machine_}};
}

}  // namespace cairn::benchmark
