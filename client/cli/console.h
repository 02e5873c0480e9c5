#pragma once

#include <functional>
#include <istream>
#include <memory>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/cli/progress.h"
#include "nlohmann/json_fwd.hpp"

namespace cairn::cli {

// Where the program talks: results on stdout, and nothing else there; all that is for people's eyes on
// stderr. One thread.
class Console {
 public:
  struct Streams {
    std::istream& in;
    std::ostream& out;
    std::ostream& err;
    bool in_is_terminal = false;
    bool err_is_terminal = false;
    bool utf8 = false;
    std::function<int()> terminal_width = [] { return 80; };
  };

  explicit Console(Streams streams) : streams_(std::move(streams)) {}

  // The process's own streams.
  static Streams StandardStreams();

  void Configure(bool json, bool quiet, bool no_progress);
  bool json() const { return json_; }
  bool quiet() const { return quiet_; }
  bool can_ask() const { return streams_.in_is_terminal; }
  std::ostream& out() { return streams_.out; }

  void PrintLine(absl::string_view line);  // Made safe to print.
  // One object on one line. Bytes that are no UTF-8 become U+FFFD.
  void PrintJson(const nlohmann::json& value);
  // For the user's eyes, unless --quiet.
  void Note(absl::string_view text);
  // "cairn: CODE: message" and a hint.
  void PrintError(const absl::Status& status, absl::string_view hint);
  // Asks on the terminal; true for "y" or "yes".
  bool Confirm(absl::string_view question);

  std::unique_ptr<ProgressMeter> StartProgress(std::string label);

  // Flushes stdout. An error if any result was lost (disk full).
  absl::Status Flush();

 private:
  Streams streams_;
  bool json_ = false;
  bool quiet_ = false;
  bool no_progress_ = false;
};

}  // namespace cairn::cli
