#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/client.h"
#include "common/tensor/dtype.h"

namespace cairn::python {

// Diffs that this process computes: of files, and of refs whose daemon cannot do it by itself.

// A file argument as on the command line, or, with a client, a ref.
struct LocalPlace {
  std::string text;
  std::shared_ptr<client::Client> client;  // Null: a file.
};

struct LocalOutput {
  LocalPlace place;
  std::string format;  // Of a file; empty: by prefix or name.
  std::optional<Dtype> float_dtype;
  bool default_dtype = false;  // Of a file: what its format holds if nobody says anything.
  bool overwrite = false;
  std::string session_key;  // Of a ref.
  std::map<std::string, std::string> metadata;
  std::string created_by;
};

using LocalProgress = std::function<void(uint64_t done, uint64_t total)>;

// In a BlockingCall, which they ask for interruptions.
absl::StatusOr<client::DiffResult> CompareHere(const LocalPlace& base, const LocalPlace& target, const std::vector<std::string>& select,
                                               double absolute, double relative, const LocalProgress& progress);
absl::StatusOr<client::DiffResult> WriteDiffHere(const LocalPlace& base, const LocalPlace& target, const std::vector<std::string>& select,
                                                 bool exact, const LocalOutput& output, const LocalProgress& progress);
absl::StatusOr<client::RecoverResult> RecoverHere(const LocalPlace& base, const LocalPlace& diff, bool exact, const LocalOutput& output,
                                                  const LocalProgress& progress);

}  // namespace cairn::python
