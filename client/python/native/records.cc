#include "client/python/native/records.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/python/native/values.h"
#include "common/convert/convert.h"
#include "common/tensor/entry_kind_name.h"
#include "nanobind/stl/optional.h"
#include "nanobind/stl/string.h"
#include "nanobind/stl/vector.h"

namespace cairn::python {
namespace {

namespace nb = nanobind;
using client::CheckpointInfo;
using client::GarbageReport;
using client::PutProgress;
using client::SaveSession;
using client::ServerInfo;
using client::VerifyProblem;
using client::VerifyResult;

// A text of the daemon's as a property.
template <typename T>
auto Text(std::string T::* member) {
  return [member](const T& record) { return FromText(record.*member); };
}

const char* StateName(client::SessionState state) {
  switch (state) {
    case client::SessionState::kUnknown:
      return "unknown";
    case client::SessionState::kOpen:
      return "open";
    case client::SessionState::kCommitted:
      return "committed";
    case client::SessionState::kAborted:
      return "aborted";
    case client::SessionState::kExpired:
      return "expired";
  }
  return "unknown";
}

void BindCheckpoint(nb::module_& module) {
  nb::class_<CheckpointInfo>(module, "Checkpoint", nb::is_final(), "A committed checkpoint.")
      .def_prop_ro("uid", Text(&CheckpointInfo::uid))
      .def_prop_ro("name", Text(&CheckpointInfo::name))
      .def_ro("step", &CheckpointInfo::step)
      .def_prop_ro("ref", [](const CheckpointInfo& c) { return FromText(c.ShownRef()); })
      .def_prop_ro("create_time", [](const CheckpointInfo& c) { return ToSeconds(c.create_time); })
      .def_prop_ro("commit_time", [](const CheckpointInfo& c) { return ToSeconds(c.commit_time); })
      .def_ro("entry_count", &CheckpointInfo::entry_count)
      .def_ro("tensor_count", &CheckpointInfo::tensor_count)
      .def_ro("logical_bytes", &CheckpointInfo::logical_bytes)
      .def_ro("new_bytes", &CheckpointInfo::new_bytes)
      .def_prop_ro("metadata", [](const CheckpointInfo& c) { return FromMetadata(c.metadata); })
      .def_prop_ro("parent", Text(&CheckpointInfo::parent))
      .def_prop_ro("created_by", Text(&CheckpointInfo::created_by))
      .def_ro("tags", &CheckpointInfo::tags)
      .def_prop_ro("manifest_digest", Text(&CheckpointInfo::manifest_digest))
      .def("__repr__", [](const CheckpointInfo& c) {
        return absl::StrCat("<Checkpoint ", c.ShownRef(), ", ", c.entry_count, " entries, ", c.logical_bytes, " bytes>");
      });
}

void BindSession(nb::module_& module) {
  nb::class_<SaveSession>(module, "Session", nb::is_final(), "A save session.")
      .def_prop_ro("session_id", Text(&SaveSession::session_id))
      .def_prop_ro("name", Text(&SaveSession::name))
      .def_ro("step", &SaveSession::step)
      .def_ro("writers", &SaveSession::writers)
      .def_prop_ro("state", [](const SaveSession& s) { return StateName(s.state); })
      .def_prop_ro("create_time", [](const SaveSession& s) { return ToSeconds(s.create_time); })
      .def_prop_ro("expire_time", [](const SaveSession& s) { return ToSeconds(s.expire_time); })
      .def_ro("finished_writers", &SaveSession::finished_writers)
      .def_prop_ro("checkpoint", [](const SaveSession& s) { return s.checkpoint; })
      .def("__repr__", [](const SaveSession& s) {
        return absl::StrCat("<Session ", s.session_id, " of ", s.ShownRef(), ", ", StateName(s.state), ">");
      });
}

void BindEntry(nb::module_& module) {
  const auto is_tensor = [](const EntryRecord& e) { return e.entry.kind == EntryKind::kTensor; };
  nb::class_<EntryRecord>(module, "Entry", nb::is_final(),
                          "One entry of a checkpoint: of a listing, or what a LoadStream is about to deliver.")
      .def_prop_ro("kind", [](const EntryRecord& e) { return EntryKindName(e.entry.kind); })
      .def_prop_ro("path", [](const EntryRecord& e) { return FromKeyPath(e.entry.path); })
      .def_prop_ro("dtype",
                   [=](const EntryRecord& e) {
                     return is_tensor(e) ? FromText(std::string(DtypeName(e.entry.dtype))) : nb::none();
                   })
      .def_prop_ro("shape",
                   [=](const EntryRecord& e) { return is_tensor(e) ? FromShape(e.entry.shape) : nb::none(); })
      .def_prop_ro("offset",
                   [](const EntryRecord& e) { return e.box.has_value() ? FromShape(e.box->offset) : nb::none(); })
      .def_prop_ro("extent",
                   [](const EntryRecord& e) { return e.box.has_value() ? FromShape(e.box->extent) : nb::none(); })
      .def_ro("bytes", &EntryRecord::bytes)
      .def_prop_ro("value",
                   [](const EntryRecord& e) {
                     return e.entry.kind == EntryKind::kValue ? FromValue(e.entry.value, Shown(e.entry.path)) : nb::none();
                   })
      .def_prop_ro("target",
                   [](const EntryRecord& e) {
                     return e.entry.kind == EntryKind::kAlias ? FromKeyPath(e.entry.target) : nb::none();
                   })
      .def_prop_ro("shards",
                   [](const EntryRecord& e) {
                     nb::list boxes;
                     for (const Box& box : e.shards) boxes.append(FromBox(box));
                     return boxes;
                   })
      .def_prop_ro("digest", Text(&EntryRecord::digest))
      .def("__repr__", [=](const EntryRecord& e) {
        return absl::StrCat("<Entry ", EntryKindName(e.entry.kind), " \"", e.entry.path.ToString(), "\"",
                            is_tensor(e) ? absl::StrCat(" ", DtypeName(e.entry.dtype), ShapeToString(e.entry.shape)) : "",
                            ">");
      });
}

void BindReports(nb::module_& module) {
  nb::class_<PutProgress>(module, "SaveProgress", nb::is_final(), "How far one writer has come.")
      .def_ro("durable_entries", &PutProgress::durable_entries)
      .def_ro("durable_bytes", &PutProgress::durable_bytes)
      .def_ro("skipped_bytes", &PutProgress::skipped_bytes)
      .def_ro("deduplicated_bytes", &PutProgress::deduplicated_bytes)
      .def_ro("sent_bytes", &PutProgress::sent_bytes)
      .def_ro("sent_raw_bytes", &PutProgress::sent_raw_bytes)
      .def_ro("reconnects", &PutProgress::reconnects)
      .def("__repr__", [](const PutProgress& p) {
        return absl::StrCat("<SaveProgress ", p.durable_entries, " entries and ", p.durable_bytes, " bytes durable, ",
                            p.sent_bytes, " bytes sent>");
      });
  nb::class_<VerifyProblem>(module, "VerifyProblem", nb::is_final())
      .def_prop_ro("path", Text(&VerifyProblem::path))
      .def_prop_ro("box", [](const VerifyProblem& p) { return p.box.has_value() ? FromBox(*p.box) : nb::none(); })
      .def_prop_ro("object", Text(&VerifyProblem::object))
      .def_prop_ro("message", Text(&VerifyProblem::message))
      .def("__repr__", [](const VerifyProblem& p) {
        return absl::StrCat("<VerifyProblem \"", p.path, "\"",
                            p.box.has_value() ? absl::StrCat(", box ", p.box->ToString()) : "", ": ", p.message, ">");
      });
  nb::class_<VerifyResult>(module, "VerifyResult", nb::is_final())
      .def_prop_ro("checkpoint", [](const VerifyResult& r) { return r.checkpoint; })
      .def_ro("bytes", &VerifyResult::bytes)
      .def_prop_ro("problems", [](const VerifyResult& r) { return r.problems; })
      .def("__repr__", [](const VerifyResult& r) {
        return absl::StrCat("<VerifyResult ", r.checkpoint.ShownRef(), ", ", r.bytes, " bytes, ", r.problems.size(),
                            " problems>");
      });
  nb::class_<GarbageReport>(module, "GarbageReport", nb::is_final())
      .def_ro("purged_checkpoints", &GarbageReport::purged_checkpoints)
      .def_ro("expired_sessions", &GarbageReport::expired_sessions)
      .def_ro("deleted_objects", &GarbageReport::deleted_objects)
      .def_ro("deleted_bytes", &GarbageReport::deleted_bytes)
      .def("__repr__", [](const GarbageReport& r) {
        return absl::StrCat("<GarbageReport ", r.purged_checkpoints, " checkpoints, ", r.expired_sessions, " sessions, ",
                            r.deleted_objects, " objects of ", r.deleted_bytes, " bytes>");
      });
  nb::class_<ConvertProgress>(module, "ConvertProgress", nb::is_final())
      .def_ro("bytes_done", &ConvertProgress::bytes_done)
      .def_ro("bytes_total", &ConvertProgress::bytes_total)
      .def_ro("bytes_skipped", &ConvertProgress::bytes_skipped)
      .def_ro("entries_done", &ConvertProgress::entries_done)
      .def_ro("entries_total", &ConvertProgress::entries_total)
      .def("__repr__", [](const ConvertProgress& p) {
        return absl::StrCat("<ConvertProgress ", p.bytes_done, " of ", p.bytes_total, " bytes>");
      });
}

void BindServerInfo(nb::module_& module) {
  nb::class_<ServerInfo>(module, "ServerInfo", nb::is_final())
      .def_prop_ro("version", Text(&ServerInfo::version))
      .def_prop_ro("start_time", [](const ServerInfo& i) { return ToSeconds(i.start_time); })
      .def_prop_ro("object_store", Text(&ServerInfo::object_store))
      .def_prop_ro("registry", Text(&ServerInfo::registry))
      .def_ro("free_bytes", &ServerInfo::free_bytes)
      .def_ro("total_bytes", &ServerInfo::total_bytes)
      .def_ro("checkpoints", &ServerInfo::checkpoints)
      .def_ro("open_sessions", &ServerInfo::open_sessions)
      .def_ro("objects", &ServerInfo::objects)
      .def_ro("object_bytes", &ServerInfo::object_bytes)
      .def_ro("logical_bytes", &ServerInfo::logical_bytes)
      .def_ro("max_chunk_bytes", &ServerInfo::max_chunk_bytes)
      .def_ro("memory_budget_bytes", &ServerInfo::memory_budget_bytes)
      .def_ro("memory_in_use_bytes", &ServerInfo::memory_in_use_bytes)
      .def("__repr__", [](const ServerInfo& i) { return absl::StrCat("<ServerInfo cairnd ", i.version, ">"); });
}

}  // namespace

double ToSeconds(absl::Time time) { return absl::ToDoubleSeconds(time - absl::UnixEpoch()); }

void BindRecords(nb::module_& module) {
  BindCheckpoint(module);
  BindSession(module);
  BindEntry(module);
  BindReports(module);
  BindServerInfo(module);
}

}  // namespace cairn::python
