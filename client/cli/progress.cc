#include "client/cli/progress.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/text.h"

namespace cairn::cli {
namespace {

constexpr absl::Duration kRedraw = absl::Milliseconds(100);
constexpr absl::Duration kLineEvery = absl::Seconds(5);
constexpr absl::Duration kRateWindow = absl::Seconds(10);
constexpr int kWidestBar = 40;
constexpr int kNarrowestBar = 5;

double Fraction(const ProgressCounts& counts) {
  if (counts.total == 0) return 0;
  return std::min(1.0, static_cast<double>(counts.done) / static_cast<double>(counts.total));
}

std::string Rate(double bytes_per_second) {
  return absl::StrCat(FormatBytes(static_cast<uint64_t>(bytes_per_second)), "/s");
}

std::string TimeLeft(const ProgressCounts& counts, double bytes_per_second) {
  if (counts.total < counts.done || bytes_per_second < 1) return "";
  const double seconds = static_cast<double>(counts.total - counts.done) / bytes_per_second;
  if (seconds > 99 * 3600.0) return "";
  return absl::StrCat(FormatElapsed(absl::Seconds(static_cast<int64_t>(std::ceil(seconds)))), " left");
}

std::string Bar(double fraction, int columns, bool utf8) {
  std::string bar;
  if (!utf8) {
    const int full = static_cast<int>(fraction * columns);
    bar.assign(static_cast<size_t>(full), '#').append(static_cast<size_t>(columns - full), '.');
    return absl::StrCat("[", bar, "]");
  }
  // Eighths of a column.
  static constexpr std::array<const char*, 8> kParts = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = static_cast<int>(fraction * columns * 8);
  for (int i = 0; i < columns; ++i) {
    const int here = std::clamp(eighths - i * 8, 0, 8);
    bar += here == 8 ? "█" : kParts[static_cast<size_t>(here)];
  }
  return absl::StrCat("▕", bar, "▏");
}

}  // namespace

namespace progress_internal {

std::string RenderBar(const std::string& label, const ProgressCounts& counts, double bytes_per_second,
                      int width, bool utf8) {
  const double fraction = Fraction(counts);
  const int percent = static_cast<int>(fraction * 100);
  // From the dispensable to the indispensable: what does not fit goes first.
  std::string tail = absl::StrFormat("%3d%%", percent);
  const auto add = [&](const std::string& part) {
    const std::string longer = part.empty() ? tail : absl::StrCat(tail, "  ", part);
    if (DisplayWidth(longer) <= width) tail = longer;
  };
  add(absl::StrCat(FormatBytes(counts.done), " of ", FormatBytes(counts.total)));
  if (bytes_per_second > 0) {
    add(Rate(bytes_per_second));
    add(TimeLeft(counts, bytes_per_second));
  }
  int room = width - DisplayWidth(tail) - 2;
  std::string line;
  const int label_room = room - (kNarrowestBar + 4);
  if (label_room >= 8) {
    line = FitLeft(label, label_room);
    room -= DisplayWidth(line) + 2;
    line += "  ";
  }
  const int bar = std::min(room - 2, kWidestBar);
  if (bar >= kNarrowestBar) absl::StrAppend(&line, Bar(fraction, bar, utf8), "  ");
  absl::StrAppend(&line, tail);
  return line;
}

std::string RenderLine(const std::string& label, const ProgressCounts& counts, double bytes_per_second) {
  std::string line = absl::StrFormat("%s: %d%% (%s of %s)", label, static_cast<int>(Fraction(counts) * 100),
                                     FormatBytes(counts.done), FormatBytes(counts.total));
  if (bytes_per_second > 0) absl::StrAppend(&line, ", ", Rate(bytes_per_second));
  const std::string left = TimeLeft(counts, bytes_per_second);
  if (!left.empty()) absl::StrAppend(&line, ", ", left);
  return line;
}

}  // namespace progress_internal

ProgressMeter::ProgressMeter(std::string label, Options options, std::ostream& err, const Clock& clock)
    : label_(SafeText(label)), options_(std::move(options)), err_(err), clock_(clock), start_(clock.Now()) {
  // The first moments of work that is over at once are not worth a line.
  next_draw_ = start_ + (options_.mode == Mode::kBar ? kRedraw : kLineEvery);
}

void ProgressMeter::Sample(absl::Time now, const ProgressCounts& counts) {
  samples_.emplace_back(now, counts.done - std::min(counts.skipped, counts.done));
  while (samples_.size() > 2 && now - samples_.front().first > kRateWindow) samples_.pop_front();
}

void ProgressMeter::Update(const ProgressCounts& counts) {
  if (options_.mode == Mode::kOff) return;
  const absl::Time now = clock_.Now();
  if (samples_.empty()) Sample(start_, ProgressCounts{});
  if (now < next_draw_) return;
  Sample(now, counts);
  const absl::Duration span = now - samples_.front().first;
  const uint64_t moved = samples_.back().second - std::min(samples_.front().second, samples_.back().second);
  const double rate =
      span > absl::ZeroDuration() ? static_cast<double>(moved) / absl::ToDoubleSeconds(span) : 0;
  if (options_.mode == Mode::kBar) {
    // Drawn, then the rest of the line erased; one column is left free, or some terminals wrap.
    const int width = std::max(options_.terminal_width() - 1, 10);
    err_ << '\r' << progress_internal::RenderBar(label_, counts, rate, width, options_.utf8) << "\x1b[K"
         << std::flush;
    drawn_ = true;
    next_draw_ = now + kRedraw;
  } else {
    err_ << "cairn: " << progress_internal::RenderLine(label_, counts, rate) << std::endl;
    next_draw_ = now + kLineEvery;
  }
}

void ProgressMeter::Clear() {
  if (!drawn_) return;
  err_ << "\r\x1b[K" << std::flush;
  drawn_ = false;
}

}  // namespace cairn::cli
