#include "client/cpp/src/channel.h"

#include <stdlib.h>

#include "absl/base/call_once.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
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

bool IsUnixTarget(absl::string_view target) { return absl::StartsWith(target, "unix:"); }

absl::Status CheckTarget(absl::string_view target) {
  const auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", target, "\" is no address of a daemon: ", why, "; write HOST:PORT or unix:/PATH"));
  };
  if (IsUnixTarget(target)) {
    return target.size() > 5 && target[5] == '/' ? absl::OkStatus() : bad("the path of a socket begins with '/'");
  }
  if (absl::StrContains(target, "/")) return bad("'/' in a host name");
  const size_t colon = target.rfind(':');
  if (colon == absl::string_view::npos) return bad("no port");
  if (colon == 0) return bad("no host");
  const absl::string_view host = target.substr(0, colon);
  if (absl::StrContains(host, ":") && !(host.front() == '[' && host.back() == ']')) {
    return bad("an IPv6 address stands in brackets");
  }
  int port = 0;
  if (!absl::SimpleAtoi(target.substr(colon + 1), &port) || port < 1 || port > 65535) return bad("no such port");
  return absl::OkStatus();
}

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
  args.SetUserAgentPrefix(options.user_agent.empty() ? "libcairn" : absl::StrCat(options.user_agent, " libcairn"));
  return grpc::CreateCustomChannel(std::string(target), Credentials(options), args);
}

}  // namespace cairn::client
