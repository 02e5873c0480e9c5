// Saves and loads over libcairn, and says how long it took. Every command prints one line of JSON.
//
//   client_benchmark put --server 127.0.0.1:7710 --ref bench/run@1 --bytes 4GiB [--streams 4]    one tensor from memory
//   client_benchmark get --server 127.0.0.1:7710 --ref bench/run@1 --bytes 4GiB [--streams 4]    into memory
//   client_benchmark put-many --count 100000 --bytes 4KiB ...    that many tensors over one stream
//   client_benchmark list --ref bench/run@1 ...                  all entries of a checkpoint
//   client_benchmark get-many --count 100000 --bytes 4KiB ...    each into its place of one buffer
//   client_benchmark remove --ref bench/run@1 ...                the checkpoint, and its bytes
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cairn/client.h"
#include "nlohmann/json.hpp"
#include "tests/benchmark/programs/fail.h"
#include "tests/benchmark/programs/payload.h"
#include "tests/benchmark/programs/stopwatch.h"

namespace cairn::benchmark {
namespace {

using client::Client;
using client::GetSpec;
using client::GetStream;
using client::SaveSpec;

// Rows of the tensor are extents of the server's default size, so that streams share none.
constexpr uint64_t kRowBytes = 1 << 20;

struct Flags {
  std::string server;
  std::string tls_ca;
  std::string ref;
  uint64_t bytes = 1 << 30;  // Of the tensor, or of each of many.
  uint32_t streams = 1;
  uint64_t count = 100'000;
  uint64_t seed = 1;
  uint32_t chunk_bytes = 1 << 20;
  bool one_connection = false;
  bool fresh = false;
  bool check = false;
};

KeyPath TensorPath() { return KeyPath::Of({"params", "tensor"}); }

Entry TheTensor(const Flags& flags) {
  if (flags.bytes % kRowBytes != 0) Fail("--bytes must be a multiple of 1 MiB");
  return Entry::Tensor(TensorPath(), Dtype::kFloat32,
                       {static_cast<int64_t>(flags.bytes / kRowBytes), static_cast<int64_t>(kRowBytes / 4)}, flags.bytes);
}

// The rows of each stream.
std::vector<Box> Boxes(const Flags& flags) {
  const int64_t rows = static_cast<int64_t>(flags.bytes / kRowBytes);
  if (rows < flags.streams) Fail("fewer MiB than streams");
  std::vector<Box> boxes;
  for (int64_t i = 0; i < flags.streams; ++i) {
    const int64_t begin = rows * i / flags.streams, end = rows * (i + 1) / flags.streams;
    boxes.push_back({{begin, 0}, {end - begin, static_cast<int64_t>(kRowBytes / 4)}});
  }
  return boxes;
}

uint64_t OffsetOf(const Box& box) { return static_cast<uint64_t>(box.offset[0]) * kRowBytes; }
uint64_t SizeOf(const Box& box) { return static_cast<uint64_t>(box.extent[0]) * kRowBytes; }

Client ConnectTo(const Flags& flags) {
  client::Options options;
  options.chunk_bytes = flags.chunk_bytes;
  options.retry_for = absl::ZeroDuration();  // A repetition would be measured as if it were slowness.
  options.user_agent = "client_benchmark";
  if (!flags.tls_ca.empty()) {
    std::ifstream file(flags.tls_ca, std::ios::binary);
    if (!file) FailErrno(flags.tls_ca);
    options.tls.emplace().root_certificates.assign(std::istreambuf_iterator<char>(file), {});
  }
  return OrFail(Client::Connect(flags.server, options));
}

// A connection per stream, each of which has been used: making connections is not what is measured.
std::vector<Client> ConnectAll(const Flags& flags) {
  std::vector<Client> clients;
  for (uint32_t i = 0; i < flags.streams; ++i) {
    clients.push_back(i > 0 && flags.one_connection ? clients[0] : ConnectTo(flags));
    OrFail(clients.back().GetServerInfo().status());
  }
  return clients;
}

void RunThreads(uint32_t count, const std::function<void(uint32_t)>& work) {
  std::vector<std::thread> threads;
  for (uint32_t i = 1; i < count; ++i) threads.emplace_back(work, i);
  work(0);
  for (std::thread& thread : threads) thread.join();
}

SaveSpec SpecOf(const Flags& flags) {
  const size_t at = flags.ref.rfind('@');
  SaveSpec spec;
  if (at == std::string::npos || !absl::SimpleAtoi(flags.ref.substr(at + 1), &spec.step)) Fail("--ref is NAME@STEP");
  spec.name = flags.ref.substr(0, at);
  spec.session_key = absl::StrCat("benchmark-", flags.seed, "-", flags.ref);
  spec.writers = flags.streams;
  return spec;
}

Buffer Borrow(absl::string_view bytes) { return Buffer(bytes, nullptr); }

void Print(nlohmann::json result, uint64_t bytes, uint64_t items = 0) {
  result["bytes"] = bytes;
  if (items > 0) result["items"] = items;
  std::printf("%s\n", result.dump().c_str());
}

// The clock runs from BeginSave to the answer of the commit. "durable_seconds": until every byte was acknowledged.
void Put(const Flags& flags) {
  Memory memory(flags.bytes);
  FillPayload(memory.span(), flags.seed);
  const Entry entry = TheTensor(flags);
  const std::vector<Box> boxes = Boxes(flags);
  const std::vector<Client> clients = ConnectAll(flags);
  const Stopwatch watch;
  std::vector<std::unique_ptr<client::SaveWriter>> writers(flags.streams);
  RunThreads(flags.streams, [&](uint32_t i) {
    writers[i] = OrFail(clients[i].Save(SpecOf(flags), i));
    const absl::string_view bytes = memory.view().substr(OffsetOf(boxes[i]), SizeOf(boxes[i]));
    OrFail(writers[i]->PutShard(entry, boxes[i], client::EntryBytes::Of(Borrow(bytes))));
    OrFail(writers[i]->Finish().status());
  });
  const double durable = watch.Read()["seconds"];
  const client::CheckpointInfo checkpoint = OrFail(writers[0]->Commit());
  nlohmann::json result = watch.Read();
  result["durable_seconds"] = durable;
  if (checkpoint.new_bytes != flags.bytes) Fail("some bytes were not stored, but found: the figure would be wrong");
  Print(std::move(result), flags.bytes);
}

void Get(const Flags& flags) {
  Memory memory(flags.bytes, flags.fresh);
  const std::vector<Box> boxes = Boxes(flags);
  const std::vector<Client> clients = ConnectAll(flags);
  const Stopwatch watch;
  RunThreads(flags.streams, [&](uint32_t i) {
    GetSpec spec;
    spec.ref = flags.ref;
    spec.boxes = {{TensorPath(), boxes[i]}};
    spec.chunk_bytes = flags.chunk_bytes;
    const std::unique_ptr<GetStream> stream = OrFail(clients[i].Load(spec));
    if (!OrFail(stream->Next()).has_value()) Fail("the checkpoint lacks the tensor");
    OrFail(stream->ReadInto(memory.span().subspan(OffsetOf(boxes[i]), SizeOf(boxes[i]))));
  });
  nlohmann::json result = watch.Read();
  const size_t sample = flags.check ? flags.bytes : std::min<size_t>(flags.bytes, 16 << 20);
  if (!IsPayload(memory.view().substr(0, sample), flags.seed)) Fail("loaded other bytes than were saved");
  Print(std::move(result), flags.bytes);
}

void PutMany(const Flags& flags) {
  Memory memory(flags.bytes * flags.count);
  FillPayload(memory.span(), flags.seed);
  std::vector<Entry> entries;
  entries.reserve(flags.count);
  for (uint64_t i = 0; i < flags.count; ++i) {
    entries.push_back(Entry::Tensor(KeyPath::Of({"params", absl::StrCat("layer", i / 100), absl::StrCat("w", i % 100)}),
                                    Dtype::kFloat32, {static_cast<int64_t>(flags.bytes / 4)}, flags.bytes));
  }
  const std::vector<Client> clients = ConnectAll(flags);
  const Stopwatch watch;
  const std::unique_ptr<client::SaveWriter> writer = OrFail(clients[0].Save(SpecOf(flags)));
  for (uint64_t i = 0; i < flags.count; ++i) {
    const absl::string_view bytes = memory.view().substr(i * flags.bytes, flags.bytes);
    OrFail(writer->Put(std::move(entries[i]), client::EntryBytes::Of(Borrow(bytes))));
  }
  OrFail(writer->Commit().status());
  Print(watch.Read(), flags.bytes * flags.count, flags.count);
}

void List(const Flags& flags) {
  const std::vector<Client> clients = ConnectAll(flags);
  const Stopwatch watch;
  client::ListEntriesSpec spec;
  spec.ref = flags.ref;
  const std::vector<client::EntryInfo> entries = OrFail(clients[0].ListEntries(spec));
  nlohmann::json result = watch.Read();
  if (entries.size() != flags.count) Fail(absl::StrCat("listed ", entries.size(), " entries instead of ", flags.count));
  Print(std::move(result), 0, flags.count);
}

void GetMany(const Flags& flags) {
  Memory memory(flags.bytes * flags.count);
  const std::vector<Client> clients = ConnectAll(flags);
  const Stopwatch watch;
  GetSpec spec;
  spec.ref = flags.ref;
  const std::unique_ptr<GetStream> stream = OrFail(clients[0].Load(spec));
  uint64_t done = 0;
  for (auto entry = OrFail(stream->Next()); entry.has_value(); entry = OrFail(stream->Next()), ++done) {
    if (done == flags.count) Fail("more entries than were saved");
    OrFail(stream->ReadInto(memory.span().subspan(done * flags.bytes, flags.bytes)));
  }
  nlohmann::json result = watch.Read();
  if (done != flags.count) Fail(absl::StrCat("loaded ", done, " entries instead of ", flags.count));
  if (!IsPayload(memory.view(), flags.seed)) Fail("loaded other bytes than were saved");
  Print(std::move(result), flags.bytes * flags.count, flags.count);
}

void Remove(const Flags& flags) {
  const Client client = ConnectTo(flags);
  const Stopwatch watch;
  OrFail(client.DeleteCheckpoint(flags.ref, /*allow_missing=*/true).status());
  const client::GarbageReport report = OrFail(client.CollectGarbage(/*dry_run=*/false));
  Print(watch.Read(), report.deleted_bytes);
}

int Main(int argc, char** argv) {
  // As client/cpp/README.md advises to programs that load much.
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  ::mallopt(M_TOP_PAD, 64 << 20);

  CLI::App app("Saves and loads over libcairn");
  app.require_subcommand(1);
  Flags flags;
  struct {
    const char* name;
    const char* help;
    void (*run)(const Flags&);
  } const commands[] = {{"put", "Save one tensor", Put},
                        {"get", "Load it", Get},
                        {"put-many", "Save many small tensors", PutMany},
                        {"list", "List their entries", List},
                        {"get-many", "Load them", GetMany},
                        {"remove", "Delete a checkpoint and collect garbage", Remove}};
  for (const auto& [name, help, run] : commands) {
    CLI::App* command = app.add_subcommand(name, help);
    command->add_option("--server", flags.server)->required();
    command->add_option("--tls-ca", flags.tls_ca, "PEM file; without it plain text");
    command->add_option("--ref", flags.ref, "NAME@STEP")->required();
    command->add_option("--bytes", flags.bytes, "Of a tensor")->transform(CLI::AsSizeValue(false));
    command->add_option("--streams", flags.streams, "At once, each a writer or reader of its part")
        ->check(CLI::Range(1, 1024));
    command->add_option("--count", flags.count, "Tensors, of the commands about many");
    command->add_option("--seed", flags.seed, "Which bytes");
    command->add_option("--chunk-bytes", flags.chunk_bytes)->transform(CLI::AsSizeValue(false));
    command->add_flag("--one-connection", flags.one_connection, "All streams over one connection");
    command->add_flag("--fresh", flags.fresh, "Load into memory that has never been touched");
    command->add_flag("--check", flags.check, "Compare all that was loaded, not its first 16 MiB only");
    command->callback([&flags, function = run] { function(flags); });
  }
  CLI11_PARSE(app, argc, argv);
  return 0;
}

}  // namespace
}  // namespace cairn::benchmark

int main(int argc, char** argv) { return cairn::benchmark::Main(argc, argv); }
