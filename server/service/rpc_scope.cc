#include "server/service/rpc_scope.h"

#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"

namespace cairn {
namespace {

constexpr size_t kMaxRefBytes = 512;

}  // namespace

RpcScope::RpcScope(const char* method, const grpc::CallbackServerContext& context, const RpcObserver& observer)
    : start_(absl::Now()), observer_(observer) {
  record_.method = method;
  record_.peer = context.peer();
  const auto id = context.client_metadata().find("x-request-id");
  if (id != context.client_metadata().end() && id->second.size() <= 128) {
    record_.request_id.assign(id->second.data(), id->second.size());
  } else {
    thread_local absl::BitGen random;
    record_.request_id = absl::StrCat(absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16));
  }
}

void RpcScope::set_ref(std::string ref) {
  if (ref.size() > kMaxRefBytes) ref = absl::StrCat(ref.substr(0, kMaxRefBytes), "...");
  record_.ref = std::move(ref);
}

void RpcScope::Finish(const absl::Status& status) {
  if (finished_) return;
  finished_ = true;
  record_.duration = absl::Now() - start_;
  record_.status = status;
  if (observer_) observer_(record_);
}

}  // namespace cairn
