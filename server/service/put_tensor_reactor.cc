#include "server/service/put_tensor_reactor.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "cairn/v1/checkpoint_service.pb.h"
#include "common/base/annotate.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "proto/wire/frame.h"
#include "proto/wire/status_wire.h"
#include "server/service/delta_chunk.h"
#include "server/service/put_step.h"
#include "server/service/rpc_scope.h"

namespace cairn {
namespace {

// Payload that has come but is not yet with the upload; reading pauses above it.
constexpr uint64_t kWindowBytes = 4u << 20;
constexpr size_t kWindowSteps = 1024;
// What it takes to apply a delta, in chunks: its bytes in one piece, the base, and the decoder's positions, values and planes.
constexpr uint64_t kDeltaChunks = 5;

// Bytes to be stored, and nothing else.
bool IsPlain(const PutStep& step) {
  return step.has_chunk && !step.open.has_value() && !step.delta.has_value() && !step.finish && !step.flush && !step.close;
}

// Three parties touch a stream: gRPC's threads (OnReadDone, OnWriteDone, OnCancel), which parse and check but never
// block; the stream's own serial queue on the I/O pool, which feeds the upload; and whoever gives budget back. Writes
// and Finish are started by the queue alone, so they need no lock; reads by the queue or inside OnReadDone.
//
// Where storage is memory, one of gRPC's threads at a time does the queue's work itself for what it has just received: another one
// goes on receiving meanwhile. The bytes are in its processor's cache; and, it seems, the pages that they came in, free
// again, are those that they are written to.
class PutTensorReactor final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>, public ActiveStream {
 public:
  PutTensorReactor(grpc::CallbackServerContext* context, ServiceContext& service)
      : service_(service), scope_("PutTensor", *context, service.observer), queue_(&service.io_pool), deltas_(service.engine) {}

  void Begin(std::shared_ptr<PutTensorReactor> self) {
    self_ = std::move(self);
    service_.streams.Add(self_);
    ReadNext();
  }

  void Tick(absl::Time now) override {
    const absl::Duration limit = service_.options.stream_idle_timeout;
    absl::MutexLock lock(&mu_);
    if (now - waiting_since_ < limit) return;
    waiting_since_ = absl::InfiniteFuture();
    Fail(absl::UnavailableError(absl::StrCat("the client sent nothing for ", absl::FormatDuration(limit),
                                                  "; it can resume at the last durable byte")));
  }

  void OnReadDone(bool ok) override {
    {
      absl::MutexLock lock(&mu_);
      waiting_since_ = absl::InfiniteFuture();
    }
    if (!ok) {
      PutStep close;
      close.close = true;
      Push(std::move(close));
      return;
    }
    absl::StatusOr<PutStep> step = ParsePutStep(frame_, service_.options.max_chunk_bytes, message_);
    frame_.Clear();
    if (!step.ok()) {
      Fail(step.status());
      return;
    }
    if (!EnsureCredit()) {
      // Not reading on is what slows the client down. The grant may come in any thread; the queue goes on from there.
      auto waiting = std::make_shared<PutStep>(*std::move(step));
      service_.budget.Acquire(CreditBytes(), [self = self_, waiting](ByteBudget::Reservation credit) {
        auto granted = std::make_shared<ByteBudget::Reservation>(std::move(credit));
        self->queue_.Schedule([self, waiting, granted] {
          if (self->finished_) return;
          self->SetCredit(granted);
          if (self->Enqueue(std::move(*waiting))) self->ReadNext();
          self->ScheduleDrain();
        });
      });
      return;
    }
    const bool plain = IsPlain(*step);
    const bool room = Enqueue(*std::move(step));
    if (!plain || !service_.options.storage_in_memory) {
      ScheduleDrain();
      if (room) ReadNext();
      return;
    }
    if (room) ReadNext();
    if (service_.receiver_stores.exchange(true)) {
      ScheduleDrain();
      return;
    }
    DrainHere();
    service_.receiver_stores = false;
  }

  void OnWriteDone(bool ok) override {
    queue_.Schedule([self = self_, ok] {
      self->writing_ = false;
      if (!ok || self->finished_) return;
      self->SendProgress();
      if (self->closing_ && !self->writing_) self->FinishWith(absl::OkStatus());
    });
  }

  void OnCancel() override {
    Fail(absl::CancelledError("the client went away; it can resume at the last durable byte"));
  }

  void OnDone() override {
    // Work that is queued still holds the object; the upload must go on the queue, since its end may touch the disk.
    queue_.Schedule([self = std::move(self_)] {
      self->scope_.Finish(self->result_);
      self->upload_.reset();
      self->RestDeltas();
    });
  }

 private:
  // One credit pays for the memory of one extent and of the message that crosses its end.
  uint64_t CreditBytes() const {
    return service_.engine.options().upload.extent_bytes + service_.options.max_chunk_bytes;
  }

  void ReadNext() ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      waiting_since_ = absl::Now();
    }
    StartRead(&frame_);
  }

  bool EnsureCredit() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (credit_ != nullptr) return true;
    ByteBudget::Reservation credit = service_.budget.TryAcquire(CreditBytes());
    if (credit.bytes() == 0) return false;
    credit_ = std::make_shared<ByteBudget::Reservation>(std::move(credit));
    return true;
  }

  void SetCredit(std::shared_ptr<ByteBudget::Reservation> credit) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    credit_ = std::move(credit);
  }

  void Push(PutStep step) {
    Enqueue(std::move(step));
    ScheduleDrain();
  }

  // One Drain() takes whatever has come until then: many small messages need not be as many rounds of the queue.
  void ScheduleDrain() ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      if (draining_) return;
      draining_ = true;
    }
    queue_.Schedule([self = self_] { self->Drain(); });
  }

  void DrainHere() ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      if (draining_) return;
      draining_ = true;
    }
    if (!queue_.RunHere([this] { Drain(/*here=*/true); })) queue_.Schedule([self = self_] { self->Drain(); });
  }

  // Returns whether the next message may be read at once; if not, Drain() will read it.
  bool Enqueue(PutStep step) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    step.credit = credit_;
    credit_used_ += step.memory;
    // The credit is kept while an extent is open: a stream that has begun one can always complete it, so streams that
    // wait for credit never wait for each other.
    const uint64_t extent = service_.engine.options().upload.extent_bytes;
    if (step.finish || !step.small.empty()) {
      at_border_ = true;
    } else if (step.has_chunk) {
      at_border_ = (step.offset + step.raw_bytes) % extent == 0;
    }
    if (credit_used_ >= extent && at_border_) DropCreditLocked();
    pending_bytes_ += step.memory;
    const bool close = step.close;
    pending_.push_back(std::move(step));
    reading_ = pending_bytes_ < kWindowBytes && pending_.size() < kWindowSteps;
    return reading_ && !close;
  }

  void DropCreditLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    credit_.reset();
    credit_used_ = 0;
  }

  void Fail(absl::Status status) {
    queue_.Schedule([self = self_, status = std::move(status)] { self->FinishWith(status); });
  }

  // On the queue from here on.

  // `here`: in a thread of gRPC's, which stores bytes and hands everything else over to the pool.
  void Drain(bool here = false) {
    while (!finished_) {
      std::vector<PutStep> steps;
      bool resume = false;
      {
        absl::MutexLock lock(&mu_);
        if (here && !std::all_of(pending_.begin(), pending_.end(), IsPlain)) {
          queue_.Schedule([self = self_] { self->Drain(); });
          return;
        }
        steps.swap(pending_);
        pending_bytes_ = 0;
        resume = !reading_ && !steps.empty();
        if (resume) reading_ = true;
        draining_ = !steps.empty();
      }
      if (steps.empty()) return;
      const bool closing = steps.back().close;
      if (resume && !closing) ReadNext();
      absl::Status status;
      for (PutStep& step : steps) {
        status = Process(step);
        if (!status.ok()) break;
      }
      if (status.ok() && upload_ != nullptr) status = upload_->Settle();
      if (!status.ok()) {
        // What came before a delta that cannot be applied stays: the client goes on there, with bytes.
        if (upload_ != nullptr && GetErrorInfo(status).reason == kBaseMismatch) upload_->Flush().IgnoreError();
        const std::string entry = upload_ == nullptr ? "" : upload_->CurrentEntry();
        FinishWith(entry.empty() ? status : Annotate(status, entry));
        return;
      }
      steps.clear();  // And with them their memory and credit.
      bool rest = false;
      {
        // A client that rests between two entries keeps nothing from the others.
        absl::MutexLock lock(&mu_);
        rest = pending_.empty() && at_border_;
        if (rest) DropCreditLocked();
      }
      if (rest) {
        RestDeltas();
      }
      SendProgress();
      if (!closing) continue;
      // The last acknowledgement goes before the end of the stream.
      closing_ = true;
      if (!writing_) FinishWith(absl::OkStatus());
    }
  }

  absl::Status Process(PutStep& step) {
    if (step.close) return upload_ == nullptr ? absl::OkStatus() : CloseUpload();
    if (step.open.has_value()) {
      if (upload_ != nullptr) return absl::InvalidArgumentError("a stream is opened once, by its first message");
      scope_.set_ref(absl::StrCat("session:", step.open->session_id(), "/", step.open->writer()));
      CAIRN_ASSIGN_OR_RETURN(upload_, service_.engine.OpenUpload(step.open->session_id(), step.open->writer()));
    }
    if (upload_ == nullptr) return absl::InvalidArgumentError("the first message must open the stream (field `open`)");
    if (step.declare.has_value()) {
      CAIRN_RETURN_IF_ERROR(upload_->Declare(step.declare->entry, step.declare->box, step.declare->start));
      declared_ = std::move(step.declare);
    }
    if (step.has_chunk) {
      scope_.add_bytes(step.bytes);
      if (step.delta.has_value()) CAIRN_RETURN_IF_ERROR(ApplyDelta(step));
      CAIRN_RETURN_IF_ERROR(upload_->Append(step.offset, std::move(step.pieces)));
    }
    if (step.finish) {
      CAIRN_RETURN_IF_ERROR(upload_->FinishEntry());
      declared_.reset();
    }
    if (!step.small.empty()) scope_.add_bytes(step.bytes);
    for (PutStep::Small& small : step.small) {
      CAIRN_RETURN_IF_ERROR(upload_->Declare(small.entry, small.box, 0));
      if (!small.pieces.empty()) CAIRN_RETURN_IF_ERROR(upload_->Append(0, std::move(small.pieces)));
      CAIRN_RETURN_IF_ERROR(upload_->FinishEntry());
    }
    if (step.flush) CAIRN_RETURN_IF_ERROR(upload_->Flush());
    return absl::OkStatus();
  }

  // Puts the bytes that a delta makes in its place. Their memory is part of the credit; what it takes to make them is paid
  // for here if it can be, and else only held while they are made: by no more streams than the pool has threads.
  absl::Status ApplyDelta(PutStep& step) {
    if (!declared_.has_value()) return absl::FailedPreconditionError("bytes came before an entry was declared");
    if (delta_memory_.bytes() == 0) {
      delta_memory_ = service_.budget.TryAcquire(service_.engine.options().download.cache_bytes +
                                                 kDeltaChunks * service_.options.max_chunk_bytes);
    }
    absl::StatusOr<Buffer> bytes =
        deltas_.Apply(upload_->session_id(), declared_->entry, declared_->box, step.offset, *step.delta, step.pieces);
    if (delta_memory_.bytes() == 0) deltas_.Rest();
    if (!bytes.ok()) return bytes.status();
    step.pieces.assign(1, *std::move(bytes));
    return absl::OkStatus();
  }

  void RestDeltas() {
    deltas_.Rest();
    delta_memory_.Release();
  }

  absl::Status CloseUpload() {
    if (const std::string entry = upload_->CurrentEntry(); !entry.empty()) {
      // What came of it is made durable all the same: the client may resume there.
      CAIRN_RETURN_IF_ERROR(upload_->Flush());
      return absl::InvalidArgumentError(absl::StrCat("the stream ended before ", entry, " was finished"));
    }
    return upload_->Flush();
  }

  void SendProgress() {
    if (upload_ == nullptr || writing_) return;
    const UploadProgress& progress = upload_->progress();
    if (progress.durable_entries == sent_.durable_entries && progress.durable_offset == sent_.durable_offset &&
        progress.durable_bytes == sent_.durable_bytes) {
      return;
    }
    sent_ = progress;
    v1::PutTensorResponse message;
    message.set_durable_entries(progress.durable_entries);
    message.set_durable_offset(progress.durable_offset);
    message.set_durable_bytes(progress.durable_bytes);
    message.set_deduplicated_bytes(progress.deduplicated_bytes);
    response_ = wire::MakeFrame(message, {});
    writing_ = true;
    StartWrite(&response_);
  }

  void FinishWith(const absl::Status& status) {
    if (finished_) return;
    finished_ = true;
    result_ = status;
    Finish(wire::ToGrpcStatus(status));
  }

  ServiceContext& service_;
  RpcScope scope_;
  SerialQueue queue_;
  std::shared_ptr<PutTensorReactor> self_;  // Until OnDone.

  // Of the read that is under way; whoever handles it has both to himself.
  grpc::ByteBuffer frame_;
  v1::PutTensorRequest message_;

  absl::Mutex mu_;
  std::shared_ptr<ByteBudget::Reservation> credit_ ABSL_GUARDED_BY(mu_);
  uint64_t credit_used_ ABSL_GUARDED_BY(mu_) = 0;
  bool at_border_ ABSL_GUARDED_BY(mu_) = true;  // No extent is open after the last message.
  std::vector<PutStep> pending_ ABSL_GUARDED_BY(mu_);
  uint64_t pending_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool reading_ ABSL_GUARDED_BY(mu_) = true;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;  // A Drain() is queued or running that will look at pending_ again.
  absl::Time waiting_since_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();  // For the client; infinite: for ourselves.

  // The queue's alone.
  std::unique_ptr<Upload> upload_;
  std::optional<PutStep::Declared> declared_;  // What the upload is at, if that has bytes.
  DeltaApplier deltas_;
  ByteBudget::Reservation delta_memory_;
  grpc::ByteBuffer response_;
  UploadProgress sent_;
  bool writing_ = false;
  bool closing_ = false;
  bool finished_ = false;
  absl::Status result_;
};

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartPutTensor(grpc::CallbackServerContext* context,
                                                                            ServiceContext& service) {
  auto reactor = std::make_shared<PutTensorReactor>(context, service);
  PutTensorReactor* raw = reactor.get();
  raw->Begin(std::move(reactor));
  return raw;
}

}  // namespace cairn
