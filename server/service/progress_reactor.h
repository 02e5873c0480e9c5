#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/cancellation.h"
#include "common/base/thread_pool.h"
#include "grpcpp/support/server_callback.h"
#include "proto/wire/status_wire.h"
#include "server/service/rpc_scope.h"
#include "server/service/service_context.h"

namespace cairn {

// A server stream that reports the progress of one long piece of work, which runs on the job pool and blocks there.
//
// The work calls `report` whenever it likes, be it for each of a million small entries. A report that comes while another is
// being written, or less than kReportEvery after one, replaces the one that waits, joined by `merge(newer, older)`: slow
// clients see fewer reports, never a queue, and fast ones no more than anybody can look at. The last report always goes
// out. What must all arrive is sent with `report.Send`, which waits for the client instead.
template <typename Response>
class ProgressReactor final : public grpc::ServerWriteReactor<Response> {
 public:
  static constexpr absl::Duration kReportEvery = absl::Milliseconds(100);

  class Report {
   public:
    explicit Report(ProgressReactor& reactor) : reactor_(reactor) {}
    void operator()(Response response) const { reactor_.Offer(std::move(response), /*at_once=*/false); }
    // Waits until nothing else waits to be written. UNAVAILABLE if the client takes nothing for too long, CANCELLED if it
    // has gone.
    absl::Status Send(Response response) const { return reactor_.Send(std::move(response)); }

   private:
    ProgressReactor& reactor_;
  };
  using Work = std::function<absl::Status(RpcScope& scope, const Cancellation& cancellation, const Report& report)>;
  using Merge = std::function<void(Response& newer, const Response& older)>;

  static grpc::ServerWriteReactor<Response>* Start(const char* method, grpc::CallbackServerContext* context,
                                                   ServiceContext& service, Work work, Merge merge) {
    auto reactor = std::shared_ptr<ProgressReactor>(new ProgressReactor(method, context, service, std::move(merge)));
    reactor->self_ = reactor;
    service.job_pool.Schedule([reactor, work = std::move(work)] {
      reactor->End(work(reactor->scope_, reactor->cancellation_, Report(*reactor)));
    });
    return reactor.get();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) GiveUp();
    Next();
  }

  void OnCancel() override { GiveUp(); }

  void OnDone() override {
    scope_.Finish(result_);
    self_.reset();
  }

 private:
  ProgressReactor(const char* method, grpc::CallbackServerContext* context, ServiceContext& service, Merge merge)
      : scope_(method, *context, service.observer),
        merge_(std::move(merge)),
        idle_timeout_(service.options.stream_idle_timeout) {}

  // Nobody takes anything any more.
  void GiveUp() ABSL_LOCKS_EXCLUDED(mu_) {
    cancellation_.Cancel();
    absl::MutexLock lock(&mu_);
    gone_ = true;
  }

  absl::Status Send(Response response) ABSL_LOCKS_EXCLUDED(mu_) {
    // What waits for its time goes first: it is not to take the place of what must arrive.
    Flush();
    {
      absl::MutexLock lock(&mu_);
      const auto room = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return gone_ || !has_waiting_; };
      if (!mu_.AwaitWithTimeout(absl::Condition(&room), idle_timeout_)) {
        cancellation_.Cancel();
        return absl::UnavailableError("the client took nothing for too long");
      }
      if (gone_) return absl::CancelledError("the client went away");
    }
    Offer(std::move(response), /*at_once=*/true);
    return absl::OkStatus();
  }

  void Offer(Response response, bool at_once) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      if (has_waiting_) merge_(response, waiting_);
      waiting_ = std::move(response);
      has_waiting_ = true;
      at_once_ = at_once_ || at_once;
      if (writing_ || !MayWrite()) return;
      writing_ = true;
    }
    Next();
  }

  // Writes what waits, whether or not its time has come.
  void Flush() ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      if (!has_waiting_) return;
      at_once_ = true;
      if (writing_) return;
      writing_ = true;
    }
    Next();
  }

  bool MayWrite() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!has_waiting_) return false;
    const absl::Time now = absl::Now();
    // A clock that was set back must not silence the work for long.
    return at_once_ || ended_ || now < written_ || now - written_ >= kReportEvery;
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
      if (MayWrite()) {
        current_ = std::move(waiting_);
        waiting_ = Response();
        has_waiting_ = at_once_ = false;
        written_ = absl::Now();
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
  const absl::Duration idle_timeout_;
  Cancellation cancellation_;
  std::shared_ptr<ProgressReactor> self_;  // Until OnDone.
  absl::Status result_;                    // Written once, before ended_.
  Response current_;                       // Of the write that is under way.

  absl::Mutex mu_;
  Response waiting_ ABSL_GUARDED_BY(mu_);
  bool has_waiting_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool gone_ ABSL_GUARDED_BY(mu_) = false;
  bool at_once_ ABSL_GUARDED_BY(mu_) = false;                       // What waits does not wait for its time.
  absl::Time written_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();  // When a report last went out.
};

}  // namespace cairn
