#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/command_set.h"
#include "common/diff/compare.h"
#include "common/diff/layers.h"

namespace cairn::cli {

struct DiffReportOptions {
  std::vector<std::string> only;  // Names of differences; empty: all.
  bool layers = false;            // A summary by layer, after the entries.
  bool with_tolerance = false;    // What is close counts as no difference.
};

// USAGE for a name that is no difference.
absl::Status CheckOnly(const std::vector<std::string>& only);

// Shows how entries differ as they come: lines for people, or JSON, one object a line.
class DiffReport {
 public:
  DiffReport(CommandContext& context, DiffReportOptions options) : context_(context), options_(std::move(options)) {}

  void Add(const EntryComparison& entry);
  // Totals, and the layers if asked for.
  void Finish(LayerTable& layers);
  // Something differs by more than the tolerance.
  bool different() const { return different_; }

 private:
  CommandContext& context_;
  const DiffReportOptions options_;
  std::map<std::string, uint64_t> counts_;
  uint64_t entries_ = 0, close_ = 0;
  bool different_ = false;
};

}  // namespace cairn::cli
