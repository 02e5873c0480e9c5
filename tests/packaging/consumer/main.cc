// Saves to a daemon that is not there: everything links, and the error says so.
#include "cairn/client.h"
#include "cairn/connection.h"
#include "cairn/options.h"
#include "cairn/types.h"
#include "common/base/error_info.h"
#include "common/tensor/ref.h"
#include "common/tensor/selection.h"

#if defined(GRPC_PORT_PLATFORM_H) || defined(GRPC_IMPL_CODEGEN_PORT_PLATFORM_H) || defined(GOOGLE_PROTOBUF_VERSION)
#error "the public headers must not include gRPC or protobuf"
#endif

#include <iostream>
#include <string>

#include "absl/strings/match.h"

int main(int argc, char** argv) {
  cairn::client::Options options;
  options.retry_for = absl::ZeroDuration();
  const std::string target = argc > 1 ? argv[1] : "unix:/nonexistent/cairn.sock";
  auto client = cairn::client::Client::Connect(target, options);
  if (!client.ok()) {
    std::cerr << client.status() << "\n";
    return 1;
  }
  const cairn::Entry entry =
      cairn::Entry::Tensor(cairn::KeyPath::Of({"params", "w"}), cairn::Dtype::kFloat32, {2, 3}, 24);
  if (entry.path.ToString() != "params/w" || !cairn::Ref::Parse("team/run@7").ok()) return 1;

  cairn::client::SaveSpec spec;
  spec.name = "team/run";
  const absl::Status status = client->Save(spec).status();
  std::cout << status << "\n";
  return absl::IsUnavailable(status) && absl::StrContains(status.message(), "cannot reach cairnd at " + target) ? 0 : 1;
}
