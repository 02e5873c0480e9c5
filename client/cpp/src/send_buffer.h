#pragma once

#include "grpcpp/support/channel_arguments.h"

namespace cairn::client {

// Gives the sockets of channels made with `args` a send buffer of 1 MiB, or what the system allows (net.core.wmem_max). For Unix
// sockets: theirs have 208 KiB, do not grow as those of TCP do, and wake the sender only when three quarters are empty.
// Does nothing with another gRPC than the one whose interface is known here.
void UseLargeSendBuffers(grpc::ChannelArguments* args);

}  // namespace cairn::client
