#include <stdlib.h>

#include <cstdlib>

#include "client/cli/command_set.h"
#include "client/cli/console.h"
#include "client/cli/interrupt.h"
#include "client/cli/tls_flags.h"
#include "common/base/allocator_tuning.h"

int main(int argc, char** argv) {
  cairn::TuneAllocator();
  // gRPC's own lines about a handshake that failed; the error says it better.
  ::setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  const cairn::Cancellation cancellation = cairn::cli::InstallInterruptHandler();
  const char* server = std::getenv("CAIRN_SERVER");
  cairn::cli::Console console(cairn::cli::Console::StandardStreams());
  cairn::cli::CommandSet commands(server != nullptr && *server != '\0' ? server : "localhost:7710",
                                  cairn::cli::TlsFromEnvironment([](const char* name) { return std::getenv(name); }));
  cairn::cli::AddAllCommands(commands);
  return commands.Main(argc, argv, console, cancellation);
}
