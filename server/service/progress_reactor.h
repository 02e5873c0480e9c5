#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/base/cancellation.h"
#include "common/base/thread_pool.h"
#include "grpcpp/support/server_callback.h"
#include "proto/wire/status_wire.h"
#include "server/service/rpc_scope.h"
#include "server/service/service_context.h"

namespace cairn {

// A server stream that reports the progress of one long piece of work, which runs on the job pool and blocks there.
//
// The work calls `report` whenever it likes. A report that comes while another is being written replaces the one that
// waits, joined by `merge(newer, older)`: slow clients see fewer reports, never a queue. The last report always goes out.
template <typename Response>
class ProgressReactor final : public grpc::ServerWriteReactor<Response> {
 public:
  using Report = std::function<void(Response)>;
  using Work = std::function<absl::Status(RpcScope& scope, const Cancellation& cancellation, const Report& report)>;
  using Merge = std::function<void(Response& newer, const Response& older)>;

  static grpc::ServerWriteReactor<Response>* Start(const char* method, grpc::CallbackServerContext* context,
                                                   ServiceContext& service, Work work, Merge merge) {
    auto reactor = std::shared_ptr<ProgressReactor>(new ProgressReactor(method, context, service, std::move(merge)));
    reactor->self_ = reactor;
    service.job_pool.Schedule([reactor, work = std::move(work)] {
      absl::Status status = work(reactor->scope_, reactor->cancellation_,
                                 [&](Response response) { reactor->Offer(std::move(response)); });
      reactor->End(std::move(status));
    });
    return reactor.get();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) cancellation_.Cancel();
    Next();
  }

  void OnCancel() override { cancellation_.Cancel(); }

  void OnDone() override {
    scope_.Finish(result_);
    self_.reset();
  }

 private:
  ProgressReactor(const char* method, grpc::CallbackServerContext* context, ServiceContext& service, Merge merge)
      : scope_(method, *context, service.observer), merge_(std::move(merge)) {}

  void Offer(Response response) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      if (has_waiting_) merge_(response, waiting_);
      waiting_ = std::move(response);
      has_waiting_ = true;
      if (writing_) return;
      writing_ = true;
    }
    Next();
  }

  void End(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      result_ = std::move(status);
      ended_ = true;
      if (writing_) return;
      writing_ = true;
    }
    Next();
  }

  // Whoever set writing_ (or ended a write) goes on here: one thread at a time.
  void Next() ABSL_LOCKS_EXCLUDED(mu_) {
    bool finish = false;
    {
      absl::MutexLock lock(&mu_);
      if (has_waiting_) {
        current_ = std::move(waiting_);
        waiting_ = Response();
        has_waiting_ = false;
      } else if (ended_) {
        finish = true;
      } else {
        writing_ = false;
        return;
      }
    }
    if (finish) {
      this->Finish(wire::ToGrpcStatus(result_));
    } else {
      this->StartWrite(&current_);
    }
  }

  RpcScope scope_;
  const Merge merge_;
  Cancellation cancellation_;
  std::shared_ptr<ProgressReactor> self_;  // Until OnDone.
  absl::Status result_;                    // Written once, before ended_.
  Response current_;                       // Of the write that is under way.

  absl::Mutex mu_;
  Response waiting_ ABSL_GUARDED_BY(mu_);
  bool has_waiting_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace cairn
