// What a socket carries at best: one process sends, another receives, and nothing else happens to the bytes than what
// the flags say. A server takes one round of connections and ends; it says its address first, and what it needed last.
//
//   wire_baseline server --receive --sink write --file /dev/shm/x --bytes 4GiB
//   wire_baseline client --send --connect 127.0.0.1:40123 --bytes 4GiB
#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "nlohmann/json.hpp"
#include "tests/benchmark/programs/fail.h"
#include "tests/benchmark/programs/file_io.h"
#include "tests/benchmark/programs/payload.h"
#include "tests/benchmark/programs/sockets.h"
#include "tests/benchmark/programs/stopwatch.h"

namespace cairn::benchmark {
namespace {

struct Flags {
  std::string address = "127.0.0.1:0";
  bool send = false;
  bool receive = false;
  uint64_t bytes = 1 << 30;  // Of all streams together.
  uint32_t streams = 1;
  uint64_t buffer = 1 << 20;
  uint64_t seed = 1;
  std::string sink = "discard";   // discard, memory or write.
  std::string source = "memory";  // memory or file.
  std::string file;               // Read: the one file. Written: one per stream, FILE.0, FILE.1, ...
  bool direct = false;
  bool sync = false;
};

// The bytes of one stream, the same for all (what is left over goes to the last one).
struct Part {
  uint32_t index = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

std::vector<Part> Parts(const Flags& flags) {
  const uint64_t each = flags.bytes / flags.streams / 4096 * 4096;
  std::vector<Part> parts;
  for (uint32_t i = 0; i < flags.streams; ++i) {
    parts.push_back({i, i * each, i + 1 == flags.streams ? flags.bytes - i * each : each});
  }
  return parts;
}

std::string WrittenFile(const Flags& flags, const Part& part) { return flags.file + "." + std::to_string(part.index); }

void RunThreads(const std::vector<Part>& parts, const std::function<void(const Part&)>& work) {
  std::vector<std::thread> threads;
  for (const Part& part : parts) threads.emplace_back([&work, &part] { work(part); });
  for (std::thread& thread : threads) thread.join();
}

void SendPart(const Flags& flags, int socket, const Part& part, absl::string_view memory) {
  if (flags.source == "memory") {
    for (uint64_t at = 0; at < part.bytes; at += flags.buffer) {
      SendAll(socket, memory.data() + part.offset + at, std::min(flags.buffer, part.bytes - at));
    }
    return;
  }
  File file = File::Open(flags.file, flags.direct);
  Memory buffer(flags.buffer);
  for (uint64_t at = 0; at < part.bytes; at += flags.buffer) {
    const uint64_t length = std::min(flags.buffer, part.bytes - at);
    file.ReadAt(buffer.span().data(), length, part.offset + at);
    SendAll(socket, buffer.span().data(), length);
  }
}

void ReceivePart(const Flags& flags, int socket, const Part& part, absl::Span<char> memory) {
  if (flags.sink == "memory") {
    for (uint64_t at = 0; at < part.bytes;) {
      const uint64_t length = std::min(flags.buffer, part.bytes - at);
      const size_t got = Receive(socket, memory.data() + part.offset + at, length);
      if (got == 0) Fail("the sender closed the connection too early");
      at += got;
    }
    return;
  }
  std::optional<File> file;
  if (flags.sink == "write") file.emplace(File::Create(WrittenFile(flags, part), flags.direct));
  Memory buffer(flags.buffer);
  for (uint64_t at = 0; at < part.bytes;) {
    uint64_t length = std::min(flags.buffer, part.bytes - at);
    // Direct writing wants whole, aligned buffers; otherwise what has come goes on at once.
    if (flags.direct) {
      ReceiveAll(socket, buffer.span().data(), length);
    } else {
      length = Receive(socket, buffer.span().data(), length);
      if (length == 0) Fail("the sender closed the connection too early");
    }
    if (file.has_value()) file->WriteAt(buffer.span().data(), length, at);
    at += length;
  }
  if (flags.sync && file.has_value()) {
    file->Sync();
    SyncFolderOf(WrittenFile(flags, part));
  }
}

void Serve(Flags flags) {
  std::unique_ptr<Memory> memory;
  if (flags.receive ? flags.sink == "memory" : flags.source == "memory") memory = std::make_unique<Memory>(flags.bytes);
  if (flags.send && memory != nullptr) FillPayload(memory->span(), flags.seed);
  const int listening = Listen(&flags.address);
  std::printf("%s\n", nlohmann::json{{"address", flags.address}}.dump().c_str());
  std::fflush(stdout);
  const std::vector<Part> parts = Parts(flags);
  std::vector<int> by_stream(flags.streams);
  for (uint32_t i = 0; i < flags.streams; ++i) {
    const int socket = Accept(listening);
    uint32_t index = 0;  // The client says which stream a connection is.
    ReceiveAll(socket, reinterpret_cast<char*>(&index), sizeof(index));
    if (index >= flags.streams) Fail("no such stream");
    by_stream[index] = socket;
  }
  const Stopwatch watch;
  RunThreads(parts, [&](const Part& part) {
    const int socket = by_stream[part.index];
    char word = 1;
    if (flags.send) {
      SendPart(flags, socket, part, memory == nullptr ? absl::string_view() : memory->view());
      ReceiveAll(socket, &word, 1);
    } else {
      ReceivePart(flags, socket, part, memory == nullptr ? absl::Span<char>() : memory->span());
      SendAll(socket, &word, 1);
    }
  });
  std::printf("%s\n", watch.Read().dump().c_str());
}

// Opens all connections first; the clock runs from the first byte to the word that says that all have been taken.
void RunClient(const Flags& flags) {
  Memory memory(flags.send || flags.sink == "memory" ? flags.bytes : 0);
  if (flags.send) FillPayload(memory.span(), flags.seed);
  const std::vector<Part> parts = Parts(flags);
  std::vector<int> sockets;
  for (uint32_t i = 0; i < flags.streams; ++i) {
    sockets.push_back(Connect(flags.address));
    SendAll(sockets.back(), reinterpret_cast<const char*>(&i), sizeof(i));
  }
  const Stopwatch watch;
  RunThreads(parts, [&](const Part& part) {
    const int socket = sockets[part.index];
    char word = 1;
    if (flags.send) {
      SendPart(flags, socket, part, memory.view());
      ReceiveAll(socket, &word, 1);
    } else {
      ReceivePart(flags, socket, part, memory.span());
      SendAll(socket, &word, 1);
    }
  });
  nlohmann::json result = watch.Read();
  result["bytes"] = flags.bytes;
  const absl::string_view sample = memory.view().substr(0, std::min<size_t>(flags.bytes, 16 << 20));
  if (flags.receive && flags.sink == "memory" && !IsPayload(sample, flags.seed)) {
    Fail("received other bytes than were sent");
  }
  std::printf("%s\n", result.dump().c_str());
}

void AddFlags(CLI::App* command, Flags* flags) {
  auto* send = command->add_flag("--send", flags->send, "This side sends");
  command->add_flag("--receive", flags->receive, "This side receives")->excludes(send);
  command->add_option("--bytes", flags->bytes, "Of all streams together")->transform(CLI::AsSizeValue(false));
  command->add_option("--streams", flags->streams)->check(CLI::PositiveNumber);
  command->add_option("--buffer", flags->buffer, "Bytes of one call")->transform(CLI::AsSizeValue(false));
  command->add_option("--seed", flags->seed, "Which bytes are sent");
  command->add_option("--sink", flags->sink)->check(CLI::IsMember({"discard", "memory", "write"}));
  command->add_option("--source", flags->source)->check(CLI::IsMember({"memory", "file"}));
  command->add_option("--file", flags->file, "To read; or to write, the number of the stream added");
  command->add_flag("--direct", flags->direct, "O_DIRECT");
  command->add_flag("--sync", flags->sync, "Make it durable before saying so");
}

int Main(int argc, char** argv) {
  CLI::App app("A raw stream over TCP or a Unix socket");
  app.require_subcommand(1);
  Flags server, client;
  CLI::App* serve = app.add_subcommand("server", "Listens, takes one round, ends");
  AddFlags(serve, &server);
  serve->add_option("--listen", server.address);
  CLI::App* connect = app.add_subcommand("client", "Connects and measures");
  AddFlags(connect, &client);
  connect->add_option("--connect", client.address)->required();
  CLI11_PARSE(app, argc, argv);
  const Flags& flags = serve->parsed() ? server : client;
  if (flags.send == flags.receive) Fail("say --send or --receive");
  if (serve->parsed()) {
    Serve(server);
  } else {
    RunClient(client);
  }
  return 0;
}

}  // namespace
}  // namespace cairn::benchmark

int main(int argc, char** argv) { return cairn::benchmark::Main(argc, argv); }
