#include "client/cpp/src/channel.h"

#include <stdlib.h>

#include <cstdint>

#include "absl/base/call_once.h"
#include "absl/strings/str_cat.h"
#include "client/cpp/src/send_buffer.h"
#include "client/cpp/src/target.h"
#include "common/base/status_macros.h"
#include "common/tls/pem.h"
#include "grpc/grpc.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace cairn::client {
namespace {

constexpr int kMaxMessageBytes = 8 << 20;
constexpr int kMaxFrameBytes = 1 << 20;
constexpr int kWriteBufferBytes = 4 << 20;
constexpr int kKeepaliveMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
// gRPC's own reconnecting would otherwise wait up to two minutes, longer than our retries do.
constexpr int kMaxReconnectMs = 2'000;
constexpr int kMinReconnectMs = 100;

// Once per process, before the first channel.
void PrepareGrpc() {
  static absl::once_flag once;
  absl::call_once(once, [] {
    // An experiment of gRPC 1.51 that is on by default and costs a sixth of the upload throughput. What the user has
    // set stays.
    ::setenv("GRPC_EXPERIMENTS", "-tcp_read_chunks", /*overwrite=*/0);
    // Held for ever: gRPC 1.51 may wait ten seconds for its own poller when the last channel goes.
    grpc_init();
  });
}

// gRPC makes a channel that never connects of certificates that it cannot read, and says why in its log only.
absl::Status CheckTls(absl::string_view target, const TlsOptions& tls) {
  if (IsUnixTarget(target)) {
    return absl::InvalidArgumentError(
        absl::StrCat("TLS was asked for, but ", target, " is a Unix socket, which is always plain; connect without"));
  }
  if (!tls.root_certificates.empty()) {
    CAIRN_RETURN_IF_ERROR(ParseCertificates(tls.root_certificates, "authorities for TLS (tls-ca)").status());
  }
  if (tls.client_certificate.empty() && tls.client_key.empty()) return absl::OkStatus();
  if (tls.client_certificate.empty() || tls.client_key.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a client's certificate and its key belong together: expected tls-cert and tls-key, found only ",
        tls.client_key.empty() ? "tls-cert" : "tls-key"));
  }
  return CheckKeyPair(tls.client_certificate, "the client's certificate (tls-cert)", tls.client_key,
                      "the client's key (tls-key)");
}

std::shared_ptr<grpc::ChannelCredentials> Credentials(const Options& options) {
  if (!options.tls.has_value()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = options.tls->root_certificates;
  ssl.pem_cert_chain = options.tls->client_certificate;
  ssl.pem_private_key = options.tls->client_key;
  return grpc::SslCredentials(ssl);
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(absl::string_view target, const Options& options) {
  CAIRN_RETURN_IF_ERROR(CheckTarget(target));
  if (options.tls.has_value()) CAIRN_RETURN_IF_ERROR(CheckTls(target, *options.tls));
  if (!options.bearer_token.empty() && !options.tls.has_value() && !IsUnixTarget(target)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a bearer token for ", target, " would be sent in plain text; use TLS or a Unix socket"));
  }
  PrepareGrpc();
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(kMaxMessageBytes);
  args.SetMaxSendMessageSize(kMaxMessageBytes);
  args.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kMaxFrameBytes);
  args.SetInt(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, kWriteBufferBytes);
  // Windows that follow what gRPC measures may grow to 32 MiB where the caller is slower than the network. Bytes wait there
  // in memory that the allocator has to find anew, which costs a load as much as receiving them.
  args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  // The connection retries by itself and sends nothing that is worth compressing: no filters for either.
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  args.SetInt(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kMinReconnectMs);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kMaxReconnectMs);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMs);
  // Streams of other connections of this process would share the socket, and with it the throughput.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (IsUnixTarget(target)) UseLargeSendBuffers(&args);
  if (options.tls.has_value() && !options.tls->server_name.empty()) {
    args.SetSslTargetNameOverride(options.tls->server_name);
  }
  args.SetUserAgentPrefix(options.user_agent.empty() ? "libcairn" : absl::StrCat(options.user_agent, " libcairn"));
  return grpc::CreateCustomChannel(std::string(target), Credentials(options), args);
}

}  // namespace cairn::client
