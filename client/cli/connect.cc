#include "client/cli/connect.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

constexpr absl::Duration kShortWait = absl::Seconds(3);

client::Options BaseOptions() {
  client::Options options;
  options.user_agent = absl::StrCat("cairn-cli/", CAIRN_VERSION);
  return options;
}

absl::StatusOr<client::Client> ConnectWith(const CommandContext& context, client::Options options) {
  const GlobalOptions& globals = context.globals;
  CAIRN_ASSIGN_OR_RETURN(options.tls, ReadTls(globals.server, globals.tls, globals.tls_environment));
  absl::StatusOr<client::Client> client = client::Client::Connect(globals.server, options);
  if (absl::IsInvalidArgument(client.status())) return UsageError(client.status().message());
  return client;
}

}  // namespace

absl::StatusOr<client::Client> Connect(const CommandContext& context) {
  client::Options options = BaseOptions();
  options.retry_for = kShortWait;
  options.cancellation = context.cancellation;
  return ConnectWith(context, options);
}

absl::StatusOr<client::Client> ConnectForTransfer(const CommandContext& context) {
  CAIRN_ASSIGN_OR_RETURN(const client::Client probe, Connect(context));
  CAIRN_RETURN_IF_ERROR(probe.GetServerInfo().status());
  client::Options options = BaseOptions();
  options.cancellation = context.cancellation;
  return ConnectWith(context, options);
}

absl::StatusOr<client::Client> ConnectForCleanup(const CommandContext& context) {
  client::Options options = BaseOptions();
  options.retry_for = kShortWait;
  options.call_timeout = kShortWait;
  return ConnectWith(context, options);
}

absl::StatusOr<client::Client> ConnectForCompletion(const CommandContext& context) {
  client::Options options = BaseOptions();
  options.retry_for = absl::ZeroDuration();
  options.call_timeout = absl::Seconds(1);
  options.cancellation = context.cancellation;
  return ConnectWith(context, options);
}

}  // namespace cairn::cli
