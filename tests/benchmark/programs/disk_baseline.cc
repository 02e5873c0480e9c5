// What a file system and the memory do at best, without any network.
//
//   disk_baseline write --file /data/x --bytes 4GiB [--direct]     sequential, then durable
//   disk_baseline read --file /data/x [--direct] [--cold]          sequential, into memory
//   disk_baseline copy --bytes 4GiB                                memcpy
//   disk_baseline xor --bytes 4GiB                                 one pass over two checkpoints, into a third
//   disk_baseline make --file /data/x --bytes 4GiB                 the file that `read` and others want; not measured
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>

#include "CLI/CLI.hpp"
#include "nlohmann/json.hpp"
#include "tests/benchmark/programs/fail.h"
#include "tests/benchmark/programs/file_io.h"
#include "tests/benchmark/programs/payload.h"
#include "tests/benchmark/programs/stopwatch.h"

namespace cairn::benchmark {
namespace {

struct Flags {
  std::string file;
  uint64_t bytes = 1 << 30;
  uint64_t buffer = 4 << 20;
  uint64_t seed = 1;
  bool direct = false;
  bool cold = false;
  bool unchecked = false;
};

void Print(nlohmann::json result, uint64_t bytes) {
  result["bytes"] = bytes;
  std::printf("%s\n", result.dump().c_str());
}

void Write(const Flags& flags) {
  Memory memory(flags.bytes);
  FillPayload(memory.span(), flags.seed);
  const Stopwatch watch;
  {
    File file = File::Create(flags.file, flags.direct);
    for (uint64_t at = 0; at < flags.bytes; at += flags.buffer) {
      file.WriteAt(memory.span().data() + at, std::min(flags.buffer, flags.bytes - at), at);
    }
    file.Sync();
  }
  SyncFolderOf(flags.file);
  Print(watch.Read(), flags.bytes);
}

void Read(const Flags& flags) {
  File file = File::Open(flags.file, flags.direct);
  const uint64_t bytes = file.Size();
  Memory memory(bytes);
  if (flags.cold) file.DropCache();
  const Stopwatch watch;
  // Direct reads are of whole blocks.
  const uint64_t blocks = flags.direct ? bytes & ~uint64_t{4095} : bytes;
  for (uint64_t at = 0; at < blocks; at += flags.buffer) {
    file.ReadAt(memory.span().data() + at, std::min(flags.buffer, blocks - at), at);
  }
  if (blocks < bytes) File::Open(flags.file, false).ReadAt(memory.span().data() + blocks, bytes - blocks, blocks);
  nlohmann::json result = watch.Read();
  if (!flags.unchecked && !IsPayload(memory.view().substr(0, std::min<size_t>(bytes, 16 << 20)), flags.seed)) Fail("read other bytes");
  Print(std::move(result), bytes);
}

void Copy(const Flags& flags) {
  Memory from(flags.bytes), to(flags.bytes);
  FillPayload(from.span(), flags.seed);
  const Stopwatch watch;
  for (uint64_t at = 0; at < flags.bytes; at += flags.buffer) {
    std::memcpy(to.span().data() + at, from.view().data() + at, std::min(flags.buffer, flags.bytes - at));
  }
  Print(watch.Read(), flags.bytes);
}

void Xor(const Flags& flags) {
  Memory left(flags.bytes), right(flags.bytes), to(flags.bytes);
  FillPayload(left.span(), flags.seed);
  FillPayload(right.span(), flags.seed + 1);
  const Stopwatch watch;
  for (uint64_t at = 0; at + sizeof(uint64_t) <= flags.bytes; at += sizeof(uint64_t)) {
    uint64_t one, other;
    std::memcpy(&one, left.view().data() + at, sizeof(one));
    std::memcpy(&other, right.view().data() + at, sizeof(other));
    one ^= other;
    std::memcpy(to.span().data() + at, &one, sizeof(one));
  }
  Print(watch.Read(), flags.bytes);
}

void Make(const Flags& flags) {
  Memory buffer(flags.buffer);
  File file = File::Create(flags.file, false);
  for (uint64_t at = 0; at < flags.bytes; at += flags.buffer) {
    const uint64_t length = std::min(flags.buffer, flags.bytes - at);
    FillPayload(buffer.span().first(length), flags.seed, at);
    file.WriteAt(buffer.span().data(), length, at);
  }
  file.Sync();
}

int Main(int argc, char** argv) {
  CLI::App app("Sequential reading, writing and copying");
  app.require_subcommand(1);
  Flags flags;
  for (const char* name : {"write", "read", "copy", "xor", "make"}) {
    CLI::App* command = app.add_subcommand(name);
    if (std::strcmp(name, "copy") != 0 && std::strcmp(name, "xor") != 0) command->add_option("--file", flags.file)->required();
    command->add_option("--bytes", flags.bytes)->transform(CLI::AsSizeValue(false));
    command->add_option("--buffer", flags.buffer, "Bytes of one call")->transform(CLI::AsSizeValue(false));
    command->add_option("--seed", flags.seed, "Which bytes are written");
    command->add_flag("--direct", flags.direct, "O_DIRECT");
    command->add_flag("--unchecked", flags.unchecked, "The file holds other bytes than `make` writes");
    command->add_flag("--cold", flags.cold, "Drop the file from the page cache first");
  }
  CLI11_PARSE(app, argc, argv);
  if (app.got_subcommand("write")) Write(flags);
  if (app.got_subcommand("read")) Read(flags);
  if (app.got_subcommand("copy")) Copy(flags);
  if (app.got_subcommand("xor")) Xor(flags);
  if (app.got_subcommand("make")) Make(flags);
  return 0;
}

}  // namespace
}  // namespace cairn::benchmark

int main(int argc, char** argv) { return cairn::benchmark::Main(argc, argv); }
