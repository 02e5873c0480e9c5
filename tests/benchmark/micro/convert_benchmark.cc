// One conversion of files by the pipeline, as `cairn convert` does it, timed from the opening of the source to the rename
// of the durable target:
//
//   convert_benchmark SOURCE FORMAT TARGET [DTYPE]
//
// Prints seconds, processor seconds of the process, the target's bytes, entries and the peak of resident memory as JSON.

#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/status_macros.h"
#include "common/convert/convert.h"
#include "common/format/all_formats.h"
#include "common/io/file_tree.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace {

absl::Status Run(const std::string& source, const std::string& format_name, const std::string& target,
                 std::optional<Dtype> dtype) {
  const auto begin = std::chrono::steady_clock::now();
  CAIRN_ASSIGN_OR_RETURN(const Format* const format, FormatByName(format_name));
  CAIRN_ASSIGN_OR_RETURN(const FileSpec spec, ParseFileSpec(source));
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointReader> reader, OpenCheckpointFile(spec, ReadLimits()));
  CAIRN_ASSIGN_OR_RETURN(const ConvertPlan plan, MakeConvertPlan(reader->index(), {.float_dtype = dtype}));
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<SinkTree> sink, CreateSinkTree(target, {.overwrite = true}));
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointWriter> writer, format->Create(std::move(sink), WriteOptions()));
  CAIRN_RETURN_IF_ERROR(RunConvert(*reader, plan, *writer, ConvertOptions()));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;

  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  const auto in_seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  const nlohmann::json report = {{"seconds", seconds.count()},
                                 {"user_seconds", in_seconds(usage.ru_utime)},
                                 {"system_seconds", in_seconds(usage.ru_stime)},
                                 {"bytes", plan.target.TotalBytes()},
                                 {"entries", plan.target.entries.size()},
                                 {"peak_mib", static_cast<double>(usage.ru_maxrss) / 1024}};
  std::printf("%s\n", report.dump().c_str());
  return absl::OkStatus();
}

}  // namespace
}  // namespace cairn

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) {
    std::fprintf(stderr, "usage: convert_benchmark SOURCE FORMAT TARGET [DTYPE]\n");
    return 2;
  }
  std::optional<cairn::Dtype> dtype;
  if (argc == 5) {
    dtype = cairn::ParseDtype(argv[4]);
    if (!dtype.has_value()) {
      std::fprintf(stderr, "unknown dtype %s\n", argv[4]);
      return 2;
    }
  }
  const absl::Status status = cairn::Run(argv[1], argv[2], argv[3], dtype);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
