#include "client/python/native/diff.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cairn/client.h"
#include "client/python/native/blocking_call.h"
#include "client/python/native/client.h"
#include "client/python/native/errors.h"
#include "client/python/native/local_diff.h"
#include "client/python/native/records.h"
#include "client/python/native/values.h"
#include "client/transfer/diff_entries.h"
#include "common/convert/convert.h"
#include "common/tensor/entry_kind_name.h"
#include "nanobind/stl/optional.h"
#include "nanobind/stl/string.h"
#include "nanobind/stl/vector.h"

namespace cairn::python {
namespace {

namespace nb = nanobind;
using client::DiffResult;
using client::DiffStatistics;
using client::EntryDiff;
using client::RecoverResult;

LocalPlace PlaceOf(std::string text, const Daemon* daemon) {
  return {std::move(text), daemon == nullptr ? nullptr : daemon->client()};
}

client::ConvertPlace RefOf(const LocalPlace& place) {
  client::ConvertPlace ref;
  ref.ref = place.text;
  return ref;
}

// Runs `work` without the interpreter lock, and tells `progress` a few times a second how far it is.
template <class Work>
auto Run(nb::object progress, const Work& work) {
  ConvertProgress reached;
  ProgressCallback report(std::move(progress), [&](const nb::object& callable) { callable(reached); });
  auto result = RunBlocking(&report, [&] {
    return work([&](uint64_t done, uint64_t total) {
      reached.bytes_done = done;
      reached.bytes_total = total;
    });
  });
  if (result.ok()) report.Call();
  return OrRaise(std::move(result));
}

// Where both checkpoints and what is written are one daemon's, it does the work; one that is too old for that answers UNIMPLEMENTED.
template <class There, class Here>
auto ThereOrHere(bool there, const There& in_daemon, const Here& here) -> decltype(here()) {
  if (there) {
    auto result = in_daemon();
    if (!absl::IsUnimplemented(result.status())) return result;
  }
  return here();
}

DiffResult Diff(std::string base, std::string target, const Daemon* base_client, const Daemon* target_client, nb::handle select,
                double absolute_tolerance, double relative_tolerance, nb::object progress) {
  const LocalPlace from = PlaceOf(std::move(base), base_client), to = PlaceOf(std::move(target), target_client);
  client::DiffSpec spec;
  spec.base = RefOf(from);
  spec.target = RefOf(to);
  spec.select = ToStrings(select, "select");
  spec.absolute_tolerance = absolute_tolerance;
  spec.relative_tolerance = relative_tolerance;
  return Run(std::move(progress), [&](const LocalProgress& step) {
    return ThereOrHere(
        from.client != nullptr && from.client == to.client,
        [&] { return from.client->Diff(spec, [&](const client::DiffProgress& p) { step(p.bytes_done, p.bytes_total); }); },
        [&] { return CompareHere(from, to, spec.select, absolute_tolerance, relative_tolerance, step); });
  });
}

LocalOutput OutputOf(std::string output, const Daemon* client, const std::optional<std::string>& dtype, std::string format, bool overwrite,
                     nb::handle metadata, std::string session_key, std::string created_by) {
  LocalOutput out;
  out.place = PlaceOf(std::move(output), client);
  out.format = std::move(format);
  out.default_dtype = !dtype.has_value();
  if (dtype.has_value() && *dtype != "keep") out.float_dtype = ToFloatDtype(dtype);
  out.overwrite = overwrite;
  out.metadata = ToMetadata(metadata);
  out.session_key = std::move(session_key);
  out.created_by = std::move(created_by);
  return out;
}

// The fields that specs of diffs and of recoveries have alike.
template <class Spec>
void FillOutput(const LocalOutput& output, Spec& spec) {
  spec.output = RefOf(output.place);
  spec.float_dtype = output.float_dtype;
  spec.overwrite = output.overwrite;
  spec.session_key = output.session_key;
  spec.metadata = output.metadata;
  spec.created_by = output.created_by;
}

DiffResult WriteDiff(std::string base, std::string target, std::string output, const Daemon* base_client, const Daemon* target_client,
                     const Daemon* output_client, bool exact, nb::handle select, std::optional<std::string> dtype, std::string format,
                     bool overwrite, nb::handle metadata, std::string session_key, std::string created_by, nb::object progress) {
  const LocalPlace from = PlaceOf(std::move(base), base_client), to = PlaceOf(std::move(target), target_client);
  const LocalOutput written = OutputOf(std::move(output), output_client, dtype, std::move(format), overwrite, metadata,
                                       std::move(session_key), std::move(created_by));
  client::DiffSpec spec;
  spec.base = RefOf(from);
  spec.target = RefOf(to);
  spec.select = ToStrings(select, "select");
  spec.mode = exact ? client::DiffMode::kExact : client::DiffMode::kArithmetic;
  FillOutput(written, spec);
  return Run(std::move(progress), [&](const LocalProgress& step) {
    return ThereOrHere(
        from.client != nullptr && from.client == to.client && from.client == written.place.client,
        [&] { return from.client->Diff(spec, [&](const client::DiffProgress& p) { step(p.bytes_done, p.bytes_total); }); },
        [&] { return WriteDiffHere(from, to, spec.select, exact, written, step); });
  });
}

RecoverResult Recover(std::string base, std::string diff, std::string output, const Daemon* base_client, const Daemon* diff_client,
                      const Daemon* output_client, bool exact, std::optional<std::string> dtype, std::string format, bool overwrite,
                      nb::handle metadata, std::string session_key, std::string created_by, nb::object progress) {
  const LocalPlace from = PlaceOf(std::move(base), base_client), with = PlaceOf(std::move(diff), diff_client);
  const LocalOutput written = OutputOf(std::move(output), output_client, dtype, std::move(format), overwrite, metadata,
                                       std::move(session_key), std::move(created_by));
  client::RecoverSpec spec;
  spec.base = RefOf(from);
  spec.diff = RefOf(with);
  spec.arithmetic = !exact;
  FillOutput(written, spec);
  return Run(std::move(progress), [&](const LocalProgress& step) {
    return ThereOrHere(
        from.client != nullptr && from.client == with.client && from.client == written.place.client,
        [&] { return from.client->Recover(spec, [&](const client::DiffProgress& p) { step(p.bytes_done, p.bytes_total); }); },
        [&] { return RecoverHere(from, with, exact, written, step); });
  });
}

nb::object RecordOf(const std::optional<Entry>& entry) {
  if (!entry.has_value()) return nb::none();
  EntryRecord record;
  record.entry = *entry;
  record.bytes = entry->byte_size;
  return nb::cast(std::move(record));
}

void BindEntryDiff(nb::module_& module) {
  nb::class_<DiffStatistics>(module, "DiffStatistics", nb::is_final(), "How the elements of two tensors differ.")
      .def_ro("has_values", &DiffStatistics::has_values)
      .def_ro("elements", &DiffStatistics::elements)
      .def_ro("changed", &DiffStatistics::changed)
      .def_ro("outside", &DiffStatistics::outside)
      .def_ro("base_nan", &DiffStatistics::base_nan)
      .def_ro("base_infinite", &DiffStatistics::base_infinite)
      .def_ro("target_nan", &DiffStatistics::target_nan)
      .def_ro("target_infinite", &DiffStatistics::target_infinite)
      .def_ro("max_absolute", &DiffStatistics::max_absolute)
      .def_ro("max_relative", &DiffStatistics::max_relative)
      .def_ro("mean_absolute", &DiffStatistics::mean_absolute)
      .def_ro("mean_relative", &DiffStatistics::mean_relative)
      .def_ro("norm", &DiffStatistics::norm)
      .def_ro("base_norm", &DiffStatistics::base_norm)
      .def_ro("cosine", &DiffStatistics::cosine)
      .def("__repr__", [](const DiffStatistics& s) {
        return absl::StrCat("<DiffStatistics ", s.changed, " of ", s.elements, " changed>");
      });
  nb::class_<EntryDiff>(module, "EntryDiff", nb::is_final(), "How one entry of two checkpoints differs.")
      .def_prop_ro("difference", [](const EntryDiff& d) { return std::string(DifferenceName(transfer::ToComparison(d).difference)); })
      .def_prop_ro("base", [](const EntryDiff& d) { return RecordOf(d.base); })
      .def_prop_ro("target", [](const EntryDiff& d) { return RecordOf(d.target); })
      .def_prop_ro("statistics", [](const EntryDiff& d) { return d.statistics; })
      .def_ro("close", &EntryDiff::close)
      .def("__repr__", [](const EntryDiff& d) {
        return absl::StrCat("<EntryDiff ", d.entry().path.ToString(), ", ", DifferenceName(transfer::ToComparison(d).difference), ">");
      });
}

}  // namespace

void BindDiff(nb::module_& module) {
  BindEntryDiff(module);
  nb::class_<DiffResult>(module, "DiffResult", nb::is_final())
      .def_prop_ro("entries", [](const DiffResult& r) { return r.entries; })
      .def_ro("target_bytes", &DiffResult::target_bytes)
      .def_ro("diff_bytes", &DiffResult::diff_bytes)
      .def_prop_ro("base_digest", [](const DiffResult& r) { return FromText(r.base_digest); })
      .def_prop_ro("target_digest", [](const DiffResult& r) { return FromText(r.target_digest); })
      .def_ro("elements", &DiffResult::elements)
      .def_ro("inexact_elements", &DiffResult::inexact_elements)
      .def_prop_ro("checkpoint", [](const DiffResult& r) { return r.checkpoint; })
      .def("__repr__", [](const DiffResult& r) { return absl::StrCat("<DiffResult ", r.entries.size(), " entries>"); });
  nb::class_<RecoverResult>(module, "RecoverResult", nb::is_final())
      .def_ro("bytes", &RecoverResult::bytes)
      .def_prop_ro("target_digest", [](const RecoverResult& r) { return FromText(r.target_digest); })
      .def_prop_ro("checkpoint", [](const RecoverResult& r) { return r.checkpoint; })
      .def("__repr__", [](const RecoverResult& r) { return absl::StrCat("<RecoverResult ", r.bytes, " bytes>"); });
  module.def("diff", &Diff, nb::arg("base"), nb::arg("target"), nb::kw_only(), nb::arg("base_client") = nb::none(),
             nb::arg("target_client") = nb::none(), nb::arg("select") = nb::tuple(), nb::arg("absolute_tolerance") = 0.0,
             nb::arg("relative_tolerance") = 0.0, nb::arg("progress") = nb::none());
  module.def("write_diff", &WriteDiff, nb::arg("base"), nb::arg("target"), nb::arg("output"), nb::kw_only(),
             nb::arg("base_client") = nb::none(), nb::arg("target_client") = nb::none(), nb::arg("output_client") = nb::none(),
             nb::arg("exact") = true, nb::arg("select") = nb::tuple(), nb::arg("dtype") = nb::none(), nb::arg("format") = "",
             nb::arg("overwrite") = false, nb::arg("metadata") = nb::none(), nb::arg("session_key") = "", nb::arg("created_by") = "",
             nb::arg("progress") = nb::none());
  module.def("recover", &Recover, nb::arg("base"), nb::arg("diff"), nb::arg("output"), nb::kw_only(),
             nb::arg("base_client") = nb::none(), nb::arg("diff_client") = nb::none(), nb::arg("output_client") = nb::none(),
             nb::arg("exact") = true, nb::arg("dtype") = nb::none(), nb::arg("format") = "", nb::arg("overwrite") = false,
             nb::arg("metadata") = nb::none(), nb::arg("session_key") = "", nb::arg("created_by") = "",
             nb::arg("progress") = nb::none());
}

}  // namespace cairn::python
