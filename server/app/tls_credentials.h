#pragma once

#include <memory>

#include "grpcpp/security/server_credentials.h"
#include "server/app/tls_files.h"

namespace cairn {

// TLS (1.2 or newer) for listeners, with what `files` has at the moment of each handshake. A client_ca in `files` at
// this moment means that clients need a certificate of it. Must outlive the server; `files` must outlive both.
std::shared_ptr<grpc::ServerCredentials> MakeTlsCredentials(TlsFiles& files);

}  // namespace cairn
