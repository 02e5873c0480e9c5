#include "client/cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"
#include "client/cli/text.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {
namespace {

int WidthOfStderr() {
  struct winsize size = {};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

// As the C library decides it, without changing the locale of the process.
bool LocaleIsUtf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string lower = absl::AsciiStrToLower(value);
    return absl::StrContains(lower, "utf-8") || absl::StrContains(lower, "utf8");
  }
  return false;
}

}  // namespace

Console::Streams Console::StandardStreams() {
  Streams streams{std::cin, std::cout, std::cerr};
  streams.in_is_terminal = ::isatty(STDIN_FILENO) != 0 && ::isatty(STDERR_FILENO) != 0;
  const char* term = std::getenv("TERM");
  streams.err_is_terminal =
      ::isatty(STDERR_FILENO) != 0 && (term == nullptr || absl::string_view(term) != "dumb");
  streams.utf8 = LocaleIsUtf8();
  streams.terminal_width = WidthOfStderr;
  return streams;
}

void Console::Configure(bool json, bool quiet, bool no_progress) {
  json_ = json;
  quiet_ = quiet;
  no_progress_ = no_progress;
}

void Console::PrintLine(absl::string_view line) { streams_.out << SafeText(line) << '\n'; }

void Console::PrintJson(const nlohmann::json& value) {
  streams_.out << value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

void Console::Note(absl::string_view text) {
  if (!quiet_) streams_.err << "cairn: " << SafeText(text) << std::endl;
}

void Console::PrintError(const absl::Status& status, absl::string_view hint) {
  streams_.out << std::flush;
  streams_.err << "cairn: " << ErrorWord(status) << ": " << SafeText(status.message()) << std::endl;
  if (!hint.empty()) streams_.err << "hint: " << SafeText(hint) << std::endl;
}

bool Console::Confirm(absl::string_view question) {
  streams_.out << std::flush;
  streams_.err << "cairn: " << SafeText(question) << " [y/N] " << std::flush;
  std::string answer;
  if (!std::getline(streams_.in, answer)) return false;
  answer = absl::AsciiStrToLower(absl::StripAsciiWhitespace(answer));
  return answer == "y" || answer == "yes";
}

std::unique_ptr<ProgressMeter> Console::StartProgress(std::string label) {
  ProgressMeter::Options options;
  if (!quiet_ && !no_progress_) {
    options.mode = streams_.err_is_terminal ? ProgressMeter::Mode::kBar : ProgressMeter::Mode::kLines;
  }
  options.utf8 = streams_.utf8;
  options.terminal_width = streams_.terminal_width;
  return std::make_unique<ProgressMeter>(std::move(label), std::move(options), streams_.err, Clock::Real());
}

absl::Status Console::Flush() {
  streams_.out << std::flush;
  if (streams_.out.good()) return absl::OkStatus();
  return absl::ResourceExhaustedError("stdout: the results could not be written");
}

}  // namespace cairn::cli
