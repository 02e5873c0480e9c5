#include "client/python/native/client.h"

#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/python/native/blocking_call.h"
#include "client/python/native/errors.h"
#include "client/python/native/load.h"
#include "client/python/native/records.h"
#include "client/python/native/save.h"
#include "client/python/native/values.h"
#include "nanobind/stl/optional.h"
#include "nanobind/stl/string.h"
#include "nanobind/stl/unique_ptr.h"
#include "nanobind/stl/vector.h"

namespace cairn::python {
namespace {

namespace nb = nanobind;

absl::Duration ToDuration(double seconds, const char* what) {
  if (std::isnan(seconds) || seconds < 0) {
    Raise(absl::InvalidArgumentError(absl::StrCat(what, ": expected seconds, at least 0, found ", seconds)));
  }
  return absl::Seconds(seconds);
}

// Calls the client without the interpreter lock and returns what it gave, or raises.
template <typename Work>
auto Call(const Daemon& daemon, Work work) {
  const std::shared_ptr<client::Client> client = daemon.client();
  return OrRaise(RunBlocking(nullptr, [&] { return work(*client); }));
}

void Construct(Daemon* self, std::string target, double retry_for, double call_timeout, double long_call_timeout,
               uint32_t chunk_bytes, uint64_t window_bytes, uint64_t max_unacknowledged_bytes, bool tls,
               std::string root_certificates, std::string client_certificate, std::string client_key,
               std::string server_name, std::string bearer_token, std::string user_agent) {
  client::Options options;
  options.retry_for = ToDuration(retry_for, "retry_for");
  options.call_timeout = ToDuration(call_timeout, "call_timeout");
  options.long_call_timeout = ToDuration(long_call_timeout, "long_call_timeout");
  options.chunk_bytes = chunk_bytes;
  options.window_bytes = window_bytes;
  options.max_unacknowledged_bytes = max_unacknowledged_bytes;
  if (tls) {
    options.tls = client::TlsOptions{std::move(root_certificates), std::move(client_certificate), std::move(client_key),
                                     std::move(server_name)};
  } else if (!root_certificates.empty() || !client_certificate.empty() || !client_key.empty() || !server_name.empty()) {
    Raise(absl::InvalidArgumentError("certificates were given without tls=True"));
  }
  options.bearer_token = std::move(bearer_token);
  options.user_agent = std::move(user_agent);
  options.interrupted = &PollBlockingCall;
  new (self) Daemon(std::move(target), options);
}

std::unique_ptr<SaveSessionWriter> Save(const Daemon& daemon, std::string name, int64_t step, std::string session_key,
                                        uint32_t writers, uint32_t writer, bool overwrite, bool auto_commit,
                                        nb::handle metadata, std::string parent, std::string created_by,
                                        std::optional<double> lease, nb::object progress) {
  client::SaveSpec spec;
  spec.name = std::move(name);
  spec.step = step;
  spec.session_key = std::move(session_key);
  spec.writers = writers;
  spec.overwrite = overwrite;
  spec.auto_commit = auto_commit;
  spec.metadata = ToMetadata(metadata);
  spec.parent_is_previous = parent == "previous";
  if (!spec.parent_is_previous) spec.parent = std::move(parent);
  spec.created_by = std::move(created_by);
  if (lease.has_value()) spec.lease = ToDuration(*lease, "lease");
  std::unique_ptr<client::SaveWriter> save =
      Call(daemon, [&](const client::Client& client) { return client.Save(spec, writer); });
  return std::make_unique<SaveSessionWriter>(std::move(save), writer, std::move(progress));
}

std::unique_ptr<EntryStream> Load(const Daemon& daemon, std::string ref, nb::handle select, nb::handle paths,
                                  nb::handle boxes, const std::optional<std::string>& float_dtype, std::string have_ref, nb::object progress) {
  client::GetSpec spec;
  spec.have_ref = std::move(have_ref);
  spec.ref = std::move(ref);
  spec.select = ToStrings(select, "select");
  spec.paths = ToKeyPaths(paths);
  for (const nb::handle box : nb::borrow<nb::sequence>(boxes)) {
    if (!PyTuple_Check(box.ptr()) || PyTuple_GET_SIZE(box.ptr()) != 3) {
      throw nb::type_error("boxes: expected tuples (path, offset, extent)");
    }
    KeyPath path = ToKeyPath(box[0]);
    const std::string what = Shown(path);
    spec.boxes.emplace_back(std::move(path), Box{ToShape(box[1], absl::StrCat(what, ", offset")),
                                                 ToShape(box[2], absl::StrCat(what, ", extent"))});
  }
  if (int{!spec.select.empty()} + int{!spec.paths.empty()} + int{!spec.boxes.empty()} > 1) {
    Raise(absl::InvalidArgumentError(absl::StrCat(spec.ref, ": expected one of select, paths and boxes, found several")));
  }
  spec.float_dtype = ToFloatDtype(float_dtype);
  std::unique_ptr<client::GetStream> stream =
      Call(daemon, [&](const client::Client& client) { return client.Load(spec); });
  return std::make_unique<EntryStream>(std::move(stream), std::move(progress));
}

std::vector<client::CheckpointInfo> ListCheckpoints(const Daemon& daemon, std::string name, std::string prefix,
                                                    nb::handle metadata) {
  client::ListCheckpointsSpec spec;
  spec.name = std::move(name);
  spec.name_prefix = std::move(prefix);
  spec.metadata = ToMetadata(metadata);
  return Call(daemon, [&](const client::Client& client) { return client.ListCheckpoints(spec); });
}

std::vector<EntryRecord> ListEntries(const Daemon& daemon, std::string ref, nb::handle select, bool with_shards) {
  client::ListEntriesSpec spec;
  spec.ref = std::move(ref);
  spec.select = ToStrings(select, "select");
  spec.with_shards = with_shards;
  std::vector<EntryRecord> records;
  for (client::EntryInfo& info : Call(daemon, [&](const client::Client& client) { return client.ListEntries(spec); })) {
    records.push_back({std::move(info.entry), info.bytes, std::nullopt, std::move(info.shards), std::move(info.digest)});
  }
  return records;
}

// A callback of a call that reports progress by itself: in its thread, without the interpreter lock.
template <typename Report>
auto WithLock(const nb::object& callable, Report report) {
  return [&callable, report](const auto& progress) {
    if (callable.is_none()) return;
    BlockingCall::Current()->RunPython([&] { report(callable, progress); });
  };
}

client::VerifyResult Verify(const Daemon& daemon, const std::string& ref, const nb::object& progress) {
  return Call(daemon, [&](const client::Client& client) {
    return client.Verify(ref, WithLock(progress, [](const nb::object& callable, const client::VerifyProgress& p) {
                           callable(p.bytes_done, p.bytes_total);
                         }));
  });
}

client::GarbageReport CollectGarbage(const Daemon& daemon, bool dry_run, const nb::object& progress) {
  return Call(daemon, [&](const client::Client& client) {
    return client.CollectGarbage(
        dry_run, WithLock(progress, [](const nb::object& callable, const client::GarbageReport& p) { callable(p); }));
  });
}

absl::StatusOr<bool> Done(const absl::Status& status) {
  if (!status.ok()) return status;
  return true;
}

void BindRegistry(nb::class_<Daemon>& daemon) {
  daemon
      .def(
          "get_checkpoint",
          [](const Daemon& d, const std::string& ref) {
            return Call(d, [&](const client::Client& c) { return c.GetCheckpoint(ref); });
          },
          nb::arg("ref"))
      .def("list_checkpoints", &ListCheckpoints, nb::kw_only(), nb::arg("name") = "", nb::arg("prefix") = "",
           nb::arg("metadata") = nb::none())
      .def("list_entries", &ListEntries, nb::arg("ref"), nb::kw_only(), nb::arg("select") = nb::tuple(),
           nb::arg("with_shards") = false)
      .def(
          "delete_checkpoint",
          [](const Daemon& d, const std::string& ref, bool allow_missing) {
            return Call(d, [&](const client::Client& c) { return c.DeleteCheckpoint(ref, allow_missing); });
          },
          nb::arg("ref"), nb::kw_only(), nb::arg("allow_missing") = false)
      .def(
          "set_tag",
          [](const Daemon& d, std::string ref, std::string tag, std::optional<std::string> expected_uid) {
            const client::SetTagSpec spec{std::move(ref), std::move(tag), std::move(expected_uid)};
            return Call(d, [&](const client::Client& c) { return c.SetTag(spec); });
          },
          nb::arg("ref"), nb::arg("tag"), nb::kw_only(), nb::arg("expected_uid") = nb::none())
      .def(
          "delete_tag",
          [](const Daemon& d, std::string name, std::string tag, bool allow_missing) {
            const client::DeleteTagSpec spec{std::move(name), std::move(tag), allow_missing};
            Call(d, [&](const client::Client& c) { return Done(c.DeleteTag(spec)); });
          },
          nb::arg("name"), nb::arg("tag"), nb::kw_only(), nb::arg("allow_missing") = false)
      .def(
          "commit_save",
          [](const Daemon& d, const std::string& session_id) {
            return Call(d, [&](const client::Client& c) { return c.connection().CommitSave(session_id); });
          },
          nb::arg("session_id"))
      .def(
          "abort_save",
          [](const Daemon& d, const std::string& session_id) {
            Call(d, [&](const client::Client& c) { return Done(c.connection().AbortSave(session_id)); });
          },
          nb::arg("session_id"))
      .def("verify", &Verify, nb::arg("ref"), nb::kw_only(), nb::arg("progress") = nb::none())
      .def("collect_garbage", &CollectGarbage, nb::kw_only(), nb::arg("dry_run") = false,
           nb::arg("progress") = nb::none())
      .def("server_info", [](const Daemon& d) {
        return Call(d, [](const client::Client& c) { return c.GetServerInfo(); });
      });
}

}  // namespace

Daemon::Daemon(std::string target, const client::Options& options)
    : target_(std::move(target)), client_([&] {
        OrRaise(ClaimGrpcForThisProcess());
        return std::make_shared<client::Client>(OrRaise(client::Client::Connect(target_, options)));
      }()) {}

Daemon::~Daemon() {
  if (client_.forked()) return;
  const nb::gil_scoped_release release;
  client_.Take().reset();
}

std::shared_ptr<client::Client> Daemon::client() const {
  if (client_.forked()) Raise(ForkedError("Client"));
  return client_.get();
}

void BindClient(nb::module_& module) {
  const client::Options defaults;
  nb::class_<Daemon> daemon(module, "Client", nb::is_final(), nb::is_weak_referenceable(),
                            "A connection to a daemon. Any number of threads.");
  daemon
      .def("__init__", &Construct, nb::arg("target"), nb::kw_only(),
           nb::arg("retry_for") = absl::ToDoubleSeconds(defaults.retry_for),
           nb::arg("call_timeout") = absl::ToDoubleSeconds(defaults.call_timeout),
           nb::arg("long_call_timeout") = absl::ToDoubleSeconds(defaults.long_call_timeout),
           nb::arg("chunk_bytes") = defaults.chunk_bytes, nb::arg("window_bytes") = defaults.window_bytes,
           nb::arg("max_unacknowledged_bytes") = defaults.max_unacknowledged_bytes, nb::arg("tls") = false,
           nb::arg("root_certificates") = "", nb::arg("client_certificate") = "", nb::arg("client_key") = "",
           nb::arg("server_name") = "", nb::arg("bearer_token") = "", nb::arg("user_agent") = "")
      .def_prop_ro("target", &Daemon::target)
      .def("save", &Save, nb::arg("name"), nb::arg("step"), nb::kw_only(), nb::arg("session_key") = "",
           nb::arg("writers") = 1, nb::arg("writer") = 0, nb::arg("overwrite") = false, nb::arg("auto_commit") = false,
           nb::arg("metadata") = nb::none(), nb::arg("parent") = "", nb::arg("created_by") = "",
           nb::arg("lease") = nb::none(), nb::arg("progress") = nb::none())
      .def("load", &Load, nb::arg("ref"), nb::kw_only(), nb::arg("select") = nb::tuple(),
           nb::arg("paths") = nb::tuple(), nb::arg("boxes") = nb::tuple(), nb::arg("float_dtype") = nb::none(),
           nb::arg("have_ref") = "", nb::arg("progress") = nb::none())
      .def("__repr__", [](const Daemon& d) { return absl::StrCat("<Client of ", d.target(), ">"); });
  BindRegistry(daemon);
}

}  // namespace cairn::python
