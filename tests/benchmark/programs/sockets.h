#pragma once

#include <cstddef>
#include <string>

namespace cairn::benchmark {

// Addresses are "HOST:PORT" (an IPv4 address) or "unix:/PATH". Sockets have the settings that gRPC gives its own:
// TCP_NODELAY, everything else as the system has it.

// Listens; port 0 takes a free one. `*address` becomes what to connect to.
int Listen(std::string* address);
int Accept(int listening);
int Connect(const std::string& address);

// Each stops the program at an error. Receive gives 0 at the end of the stream.
void SendAll(int socket, const char* data, size_t size);
size_t Receive(int socket, char* data, size_t size);
void ReceiveAll(int socket, char* data, size_t size);

}  // namespace cairn::benchmark
