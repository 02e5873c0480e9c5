#include "client/python/native/files.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cairn/client.h"
#include "client/python/native/blocking_call.h"
#include "client/python/native/client.h"
#include "client/python/native/errors.h"
#include "client/python/native/values.h"
#include "client/transfer/local_export.h"
#include "client/transfer/local_import.h"
#include "common/base/status_macros.h"
#include "common/convert/convert.h"
#include "nanobind/stl/map.h"
#include "nanobind/stl/optional.h"
#include "nanobind/stl/pair.h"
#include "nanobind/stl/string.h"
#include "nanobind/stl/vector.h"

namespace cairn::python {
namespace {

namespace nb = nanobind;
using client::ConversionResult;
using client::ConvertCallback;
using client::ConvertSpec;
using TextFile = std::pair<std::string, std::string>;  // Name and content.

// What both ways have in common: which entries, and as what.
ConvertSpec SpecOf(nb::handle select, nb::handle exclude, std::string root, bool weights_only, const std::optional<std::string>& float_dtype,
                   std::string strip_prefix, std::optional<TextFile> renames, std::string map, std::vector<TextFile> map_files,
                   std::vector<TextFile> map_configs, std::optional<std::map<std::string, int64_t>> map_symbols, std::string prefix,
                   bool strict, bool overwrite) {
  ConvertSpec spec;
  const auto file = [](TextFile& text) { return ConvertSpec::TextFile{std::move(text.first), std::move(text.second)}; };
  if (renames.has_value()) spec.renames = file(*renames);
  for (TextFile& text : map_files) spec.map_files.push_back(file(text));
  for (TextFile& text : map_configs) spec.map_configs.push_back(file(text));
  if (map_symbols.has_value()) spec.map_symbols = *std::move(map_symbols);
  spec.select = ToStrings(select, "select");
  spec.exclude = ToStrings(exclude, "exclude");
  spec.root = std::move(root);
  spec.weights_only = weights_only;
  spec.float_dtype = ToFloatDtype(float_dtype);
  spec.strip_prefix = std::move(strip_prefix);
  spec.map = std::move(map);
  spec.prefix = std::move(prefix);
  spec.strict = strict;
  spec.overwrite = overwrite;
  return spec;
}

// Runs `work` without the interpreter lock, and tells `progress` a few times a second how far it is.
ConversionResult Run(nb::object progress, const std::function<absl::StatusOr<ConversionResult>(const ConvertCallback&)>& work) {
  ConvertProgress reached;
  ProgressCallback report(std::move(progress), [&](const nb::object& callable) { callable(reached); });
  absl::StatusOr<ConversionResult> result = RunBlocking(&report, [&] {
    return work([&](const client::ConversionProgress& now) {
      reached = {now.bytes_done, now.bytes_total, now.bytes_skipped, now.entries_done, now.entries_total};
    });
  });
  if (result.ok()) report.Call();
  return OrRaise(std::move(result));
}

ConversionResult Export(const Daemon& daemon, std::string ref, std::string path, std::string format, nb::handle select,
                        nb::handle exclude, std::string root, bool weights_only, const std::optional<std::string>& float_dtype,
                        std::string strip_prefix, std::optional<TextFile> renames, std::string map, std::vector<TextFile> map_files,
                        std::vector<TextFile> map_configs, std::optional<std::map<std::string, int64_t>> map_symbols,
                        std::string prefix, bool strict, uint64_t max_shard_bytes, uint32_t parts, std::string separator,
                        bool drop_unsupported, bool overwrite, nb::object progress) {
  ConvertSpec spec = SpecOf(select, exclude, std::move(root), weights_only, float_dtype, std::move(strip_prefix), std::move(renames),
                            std::move(map), std::move(map_files), std::move(map_configs), std::move(map_symbols), std::move(prefix), strict,
                            overwrite);
  spec.source.ref = std::move(ref);
  spec.target.format = std::move(format);
  spec.max_shard_bytes = max_shard_bytes;
  spec.parts = parts;
  spec.separator = std::move(separator);
  spec.drop_unsupported = drop_unsupported;
  const std::shared_ptr<client::Client> client = daemon.client();
  return Run(std::move(progress), [&](const ConvertCallback& callback) -> absl::StatusOr<ConversionResult> {
    SinkTreeOptions options;
    options.overwrite = overwrite;
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<transfer::LocalExport> files, transfer::LocalExport::Create(path, options));
    return client->Export(spec, *files, callback);
  });
}

ConversionResult Import(const Daemon& daemon, std::string path, std::string ref, std::string format, nb::handle select,
                        nb::handle exclude, std::string root, bool weights_only, const std::optional<std::string>& float_dtype,
                        std::string strip_prefix, std::optional<TextFile> renames, std::string map, std::vector<TextFile> map_files,
                        std::vector<TextFile> map_configs, std::optional<std::map<std::string, int64_t>> map_symbols,
                        std::string prefix, bool strict, bool overwrite, nb::handle metadata,
                        std::string session_key, std::string created_by, nb::object progress) {
  ConvertSpec spec = SpecOf(select, exclude, std::move(root), weights_only, float_dtype, std::move(strip_prefix), std::move(renames),
                            std::move(map), std::move(map_files), std::move(map_configs), std::move(map_symbols), std::move(prefix), strict,
                            overwrite);
  spec.source.format = std::move(format);
  spec.target.ref = std::move(ref);
  spec.metadata = ToMetadata(metadata);
  spec.session_key = std::move(session_key);
  spec.created_by = std::move(created_by);
  const std::shared_ptr<client::Client> client = daemon.client();
  return Run(std::move(progress), [&](const ConvertCallback& callback) -> absl::StatusOr<ConversionResult> {
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<transfer::LocalImport> files,
                           transfer::LocalImport::Open(path, /*beside=*/!spec.map.empty()));
    return client->Import(spec, *files, callback);
  });
}

}  // namespace

void BindFiles(nb::module_& module) {
  nb::class_<ConversionResult>(module, "FilesResult", nb::is_final())
      .def_prop_ro("entries", [](const ConversionResult& r) { return r.progress.entries_done; })
      .def_prop_ro("bytes", [](const ConversionResult& r) { return r.progress.bytes_done; })
      .def_prop_ro("bytes_skipped", [](const ConversionResult& r) { return r.progress.bytes_skipped; })
      .def_ro("source_format", &ConversionResult::source_format)
      .def_ro("target_format", &ConversionResult::target_format)
      .def_ro("checkpoint", &ConversionResult::checkpoint)
      .def_ro("left_out", &ConversionResult::left_out)
      .def("__repr__", [](const ConversionResult& r) {
        return absl::StrCat("<FilesResult ", r.progress.entries_done, " entries, ", r.progress.bytes_done, " bytes>");
      });
  module.def("export_files", &Export, nb::arg("client"), nb::arg("ref"), nb::arg("path"), nb::kw_only(), nb::arg("format") = "",
             nb::arg("select") = nb::tuple(), nb::arg("exclude") = nb::tuple(), nb::arg("root") = "", nb::arg("weights_only") = false,
             nb::arg("float_dtype") = nb::none(), nb::arg("strip_prefix") = "", nb::arg("renames") = nb::none(), nb::arg("map") = "",
             nb::arg("map_files") = nb::tuple(), nb::arg("map_configs") = nb::tuple(), nb::arg("map_symbols") = nb::none(), nb::arg("prefix") = "",
             nb::arg("strict") = false, nb::arg("max_shard_bytes") = 0, nb::arg("parts") = 0, nb::arg("separator") = ".",
             nb::arg("drop_unsupported") = false, nb::arg("overwrite") = false, nb::arg("progress") = nb::none());
  module.def("import_files", &Import, nb::arg("client"), nb::arg("path"), nb::arg("ref"), nb::kw_only(), nb::arg("format") = "",
             nb::arg("select") = nb::tuple(), nb::arg("exclude") = nb::tuple(), nb::arg("root") = "", nb::arg("weights_only") = false,
             nb::arg("float_dtype") = nb::none(), nb::arg("strip_prefix") = "", nb::arg("renames") = nb::none(), nb::arg("map") = "",
             nb::arg("map_files") = nb::tuple(), nb::arg("map_configs") = nb::tuple(), nb::arg("map_symbols") = nb::none(), nb::arg("prefix") = "",
             nb::arg("strict") = false, nb::arg("overwrite") = false, nb::arg("metadata") = nb::none(),
             nb::arg("session_key") = "", nb::arg("created_by") = "", nb::arg("progress") = nb::none());
}

}  // namespace cairn::python
