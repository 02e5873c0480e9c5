#include <unistd.h>

#include <array>
#include <memory>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cli/command_set.h"
#include "client/cli/connect.h"
#include "client/cli/table.h"
#include "client/cli/text.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {
namespace {

struct Options {
  bool write = false;
};

struct Check {
  enum class Verdict { kOk, kWarning, kFailed };
  std::string name;
  Verdict verdict = Verdict::kOk;
  std::string detail;
  absl::Status status;  // Of a failed one.
};

const char* VerdictName(Check::Verdict verdict) {
  switch (verdict) {
    case Check::Verdict::kOk:
      return "ok";
    case Check::Verdict::kWarning:
      return "warning";
    case Check::Verdict::kFailed:
      return "failed";
  }
  return "failed";
}

Check Failed(std::string name, const absl::Status& status) {
  return {std::move(name), Check::Verdict::kFailed, std::string(status.message()), status};
}

Check CheckVersion(const client::ServerInfo& info) {
  Check check{"version",
              Check::Verdict::kOk,
              absl::StrCat("server ", info.version, ", this program ", CAIRN_VERSION),
              {}};
  if (info.version != CAIRN_VERSION) check.verdict = Check::Verdict::kWarning;
  return check;
}

Check CheckDisk(const client::ServerInfo& info) {
  if (info.total_bytes == 0) return {"disk space", Check::Verdict::kOk, "the store has no known limit", {}};
  const double share = static_cast<double>(info.free_bytes) / static_cast<double>(info.total_bytes);
  Check check{"disk space",
              Check::Verdict::kOk,
              absl::StrCat(FormatBytes(info.free_bytes), " of ", FormatBytes(info.total_bytes), " free"),
              {}};
  if (share < 0.10) check.verdict = Check::Verdict::kWarning;
  if (share < 0.01) {
    check.verdict = Check::Verdict::kFailed;
    check.status = absl::ResourceExhaustedError(absl::StrCat("the store is full: ", check.detail));
  }
  return check;
}

Check CheckRegistry(const client::Client& client, const client::ServerInfo& info) {
  client::ListCheckpointsSpec spec;
  spec.page_size = 1;
  if (const absl::Status status = client.connection().ListCheckpoints(spec).status(); !status.ok()) {
    return Failed("registry", status);
  }
  return {"registry",
          Check::Verdict::kOk,
          absl::StrCat(FormatCount(info.checkpoints), " checkpoints, ", FormatCount(info.open_sessions),
                       " open saves"),
          {}};
}

Check CheckStore(const client::ServerInfo& info) {
  return {"store",
          Check::Verdict::kOk,
          absl::StrCat(info.object_store, ": ", FormatBytes(info.object_bytes), " hold ",
                       FormatBytes(info.logical_bytes)),
          {}};
}

// A name that no two doctors share.
std::string ScratchName() {
  std::array<char, 128> host = {};
  ::gethostname(host.data(), host.size() - 1);
  std::string safe;
  for (const char c : std::string(host.data()))
    safe.push_back(absl::ascii_isalnum(static_cast<unsigned char>(c)) ? c : '-');
  return absl::StrCat("cairn-doctor/host-", safe, "-", ::getpid());
}

absl::Status RoundTrip(const client::Client& client) {
  constexpr size_t kBytes = 64 << 10;
  std::string bytes(kBytes, '\0');
  for (size_t i = 0; i < kBytes; ++i) bytes[i] = static_cast<char>(i * 31 + i / 251);
  client::SaveSpec spec;
  spec.name = ScratchName();
  const KeyPath path = KeyPath::Of({"probe"});
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<client::SaveWriter> save, client.Save(spec));
  absl::Status status = save->Put(Entry::Tensor(path, Dtype::kUint8, {static_cast<int64_t>(kBytes)}, kBytes),
                                  client::EntryBytes::Of(Buffer::FromString(bytes)));
  absl::StatusOr<client::CheckpointInfo> checkpoint = status.ok() ? save->Commit() : status;
  if (!checkpoint.ok()) {
    save->Abort().IgnoreError();
    return checkpoint.status();
  }
  const absl::Status read = [&]() -> absl::Status {
    client::GetSpec get;
    get.ref = checkpoint->UidRef();
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<client::GetStream> stream, client.Load(get));
    CAIRN_ASSIGN_OR_RETURN(const std::optional<client::GetEntry> entry, stream->Next());
    if (!entry.has_value() || entry->entry.path != path || entry->bytes != kBytes) {
      return absl::DataLossError("the checkpoint that was just saved came back without its tensor");
    }
    std::string back(kBytes, '\0');
    CAIRN_RETURN_IF_ERROR(stream->ReadInto(absl::MakeSpan(back)));
    if (back != bytes)
      return absl::DataLossError("the checkpoint that was just saved came back with other bytes");
    return absl::OkStatus();
  }();
  // Deleted whatever came of it.
  const absl::Status deleted = client.DeleteCheckpoint(checkpoint->UidRef(), /*allow_missing=*/true).status();
  return read.ok() ? deleted : read;
}

absl::Status Report(CommandContext& context, const std::vector<Check>& checks) {
  absl::Status status;
  nlohmann::json json = nlohmann::json::array();
  Table table({{"CHECK"}, {"RESULT"}, {"DETAIL"}});
  for (const Check& check : checks) {
    if (status.ok()) status = check.status;
    json.push_back({{"name", check.name}, {"result", VerdictName(check.verdict)}, {"detail", check.detail}});
    table.AddRow({check.name, VerdictName(check.verdict), check.detail});
  }
  if (context.console.json()) {
    context.console.PrintJson(
        {{"ok", status.ok()}, {"server", context.globals.server}, {"checks", std::move(json)}});
  } else {
    table.Print(context.console.out());
  }
  return status;
}

absl::Status Run(CommandContext& context, const Options& options) {
  std::vector<Check> checks;
  CAIRN_ASSIGN_OR_RETURN(const client::Client client, Connect(context));
  const absl::StatusOr<client::ServerInfo> info = client.GetServerInfo();
  if (!info.ok()) {
    checks.push_back(Failed("connect", info.status()));
    return Report(context, checks);
  }
  checks.push_back(
      {"connect",
       Check::Verdict::kOk,
       absl::StrCat(context.globals.server, ", up for ", FormatAge(Clock::Real().Now() - info->start_time)),
       {}});
  checks.push_back(CheckVersion(*info));
  checks.push_back(CheckRegistry(client, *info));
  checks.push_back(CheckStore(*info));
  checks.push_back(CheckDisk(*info));
  if (options.write) {
    const absl::Status status = RoundTrip(client);
    checks.push_back(status.ok()
                         ? Check{"round trip", Check::Verdict::kOk, "saved, loaded and deleted 64 KiB", {}}
                         : Failed("round trip", status));
  }
  return Report(context, checks);
}

}  // namespace

void AddDoctorCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      commands.Add("doctor", "Check that the server can be reached and is well.",
                   {"cairn doctor", "cairn doctor --write --server unix:/run/cairn/cairn.sock"},
                   [options](CommandContext& context) { return Run(context, *options); });
  command->add_flag("--write", options->write,
                    "Also save, load and delete a small checkpoint under a name of its own");
}

}  // namespace cairn::cli
