#include "server/service/export_reactor.h"

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "cairn/v1/checkpoint_service.pb.h"
#include "common/base/cancellation.h"
#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "proto/wire/frame.h"
#include "proto/wire/status_wire.h"
#include "server/convert/streamed_files.h"
#include "server/service/convert_call.h"
#include "server/service/row_convert.h"
#include "server/service/rpc_scope.h"

namespace cairn {
namespace {

constexpr uint64_t kMaxRequestBytes = 16u << 20;
// Made ahead of the write that is under way, so that neither waits for the other.
constexpr uint64_t kReadyChunks = 2;
constexpr size_t kMaxReadyFrames = 64;
// Without any bytes for so long (a client that resumes), a message says how far it is.
constexpr absl::Duration kReportEvery = absl::Seconds(1);

// The job, on its thread, makes messages and waits while enough of them are ready. Writes are started by the job or
// inside OnWriteDone, whoever sets writing_; so is Finish, once the job has ended.
class ExportReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer>, public ActiveStream, private FileReceiver {
 public:
  ExportReactor(grpc::CallbackServerContext* context, ServiceContext& service)
      : service_(service), context_(context), scope_("Export", *context, service.observer) {}

  void Begin(std::shared_ptr<ExportReactor> self, const grpc::ByteBuffer& request) {
    self_ = std::move(self);
    service_.streams.Add(self_);
    service_.file_pool.Schedule([self_ref = self_, frame = request] { self_ref->End(self_ref->Run(frame)); });
  }

  void Tick(absl::Time now) override {
    absl::MutexLock lock(&mu_);
    if (!writing_ || now - write_started_ < service_.options.stream_idle_timeout) return;
    // The write that is under way never ends by itself; a cancelled call ends it.
    timed_out_ = true;
    context_->TryCancel();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) Abandon();
    Next();
  }

  void OnCancel() override { Abandon(); }

  void OnDone() override {
    scope_.Finish(result_);
    self_.reset();
  }

 private:
  struct Frame {
    grpc::ByteBuffer frame;
    uint64_t bytes = 0;
  };

  void Abandon() ABSL_LOCKS_EXCLUDED(mu_) {
    cancellation_.Cancel();
    absl::MutexLock lock(&mu_);
    failed_ = true;
  }

  // The job.

  absl::Status Run(const grpc::ByteBuffer& frame) {
    v1::ExportRequest request;
    std::vector<Buffer> none;
    CAIRN_RETURN_IF_ERROR(wire::ParseFrame(frame, kMaxRequestBytes, &request, &none));
    scope_.set_ref(request.conversion().source().ref());
    CAIRN_ASSIGN_OR_RETURN(ConvertRequest job, ConvertRequestFromProto(request.conversion()));
    if (job.source.ref.empty()) return absl::InvalidArgumentError("source: expected the ref of a checkpoint to export");
    if (job.target.path.empty()) return absl::InvalidArgumentError("target: expected a path, the name of the file or folder to be");
    CAIRN_ASSIGN_OR_RETURN(const Ref ref, Ref::Parse(job.source.ref));
    CAIRN_ASSIGN_OR_RETURN(const CheckpointRow row, service_.engine.Resolve(ref));
    // What the client was told about, whatever becomes of the ref.
    job.source.ref = absl::StrCat("uid:", row.uid);
    const uint64_t chunk = service_.options.max_chunk_bytes;
    job.target.tree_bytes = (kReadyChunks + 2) * chunk;
    job.target.sink_tree = StreamFiles(*this, {.name = job.target.path,
                                               .existing_files = {request.existing_files().begin(), request.existing_files().end()},
                                               .chunk_bytes = chunk,
                                               .skip = {request.skip_marks(), request.skip_bytes(), request.skip_crc32c()}});
    v1::ExportResponse header;
    ToProto(row, header.mutable_checkpoint());
    CAIRN_RETURN_IF_ERROR(Send(header, Buffer()));
    static const AllowedRoots* const no_roots = new AllowedRoots;
    absl::StatusOr<ConvertResult> result = RunConvertJob(service_.engine, *no_roots, {service_.file_budget, service_.index_budget}, job, cancellation_,
                                                         [this](const ConvertProgress& progress) { Report(progress); });
    if (!result.ok()) {
      absl::MutexLock lock(&mu_);
      return failed_ ? GoneLocked() : result.status();
    }
    v1::ExportResponse done;
    *done.mutable_progress() = LastResponse(*result);
    return Send(done, Buffer());
  }

  absl::Status Begin(uint32_t /*number*/, const std::string& name) override {
    v1::ExportResponse message;
    message.mutable_file()->set_name(name);
    return Send(message, Buffer());
  }

  absl::Status Take(uint32_t number, uint64_t offset, Buffer bytes) override {
    v1::ExportResponse message;
    message.set_number(number);
    message.mutable_chunk()->set_offset(offset);
    message.mutable_chunk()->set_crc32c(Crc32c(bytes.bytes()));
    *message.mutable_progress() = progress_;
    scope_.add_bytes(bytes.size());
    return Send(message, std::move(bytes));
  }

  absl::Status Finish(uint32_t number) override {
    v1::ExportResponse message;
    message.set_number(number);
    message.set_finish(true);
    return Send(message, Buffer());
  }

  void Report(const ConvertProgress& progress) {
    progress_ = ToResponse(progress);
    if (absl::Now() - last_sent_ < kReportEvery) return;
    v1::ExportResponse message;
    *message.mutable_progress() = progress_;
    // An error is seen by the next bytes.
    Send(message, Buffer()).IgnoreError();
  }

  absl::Status Send(const v1::ExportResponse& message, Buffer data) ABSL_LOCKS_EXCLUDED(mu_) {
    last_sent_ = absl::Now();
    Frame frame;
    frame.bytes = data.size();
    std::vector<Buffer> pieces;
    if (!data.empty()) pieces.push_back(std::move(data));
    frame.frame = wire::MakeFrame(message, pieces);
    {
      absl::MutexLock lock(&mu_);
      const auto room = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return failed_ || (ready_bytes_ < kReadyChunks * service_.options.max_chunk_bytes && ready_.size() < kMaxReadyFrames);
      };
      mu_.Await(absl::Condition(&room));
      if (failed_) return GoneLocked();
      ready_bytes_ += frame.bytes;
      ready_.push_back(std::move(frame));
      if (std::exchange(writing_, true)) return absl::OkStatus();
    }
    Next();
    return absl::OkStatus();
  }

  void End(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      result_ = std::move(status);
      ended_ = true;
      if (std::exchange(writing_, true)) return;
    }
    Next();
  }

  absl::Status GoneLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return timed_out_ ? absl::UnavailableError("the client took nothing for too long") : absl::CancelledError("the client went away");
  }

  // Whoever set writing_ (or ended a write) goes on here: one thread at a time.
  void Next() ABSL_LOCKS_EXCLUDED(mu_) {
    bool finish = false;
    {
      absl::MutexLock lock(&mu_);
      if (failed_) {
        ready_.clear();
        ready_bytes_ = 0;
      }
      if (!ready_.empty()) {
        current_ = std::move(ready_.front());
        ready_.pop_front();
        ready_bytes_ -= current_.bytes;
        write_started_ = absl::Now();
      } else if (ended_) {
        finish = true;
        write_started_ = absl::InfiniteFuture();
      } else {
        writing_ = false;
        write_started_ = absl::InfiniteFuture();
        return;
      }
    }
    if (finish) {
      grpc::ServerWriteReactor<grpc::ByteBuffer>::Finish(wire::ToGrpcStatus(result_));
    } else {
      StartWrite(&current_.frame);
    }
  }

  ServiceContext& service_;
  grpc::CallbackServerContext* const context_;  // Valid until OnDone; used only while a write is under way.
  RpcScope scope_;
  const Cancellation cancellation_;
  std::shared_ptr<ExportReactor> self_;  // Until OnDone.
  absl::Status result_;                  // Written once, before ended_.
  Frame current_;                        // Of the write that is under way.

  // The job's alone.
  v1::ConvertResponse progress_;
  absl::Time last_sent_ = absl::InfinitePast();

  absl::Mutex mu_;
  std::deque<Frame> ready_ ABSL_GUARDED_BY(mu_);
  uint64_t ready_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool failed_ ABSL_GUARDED_BY(mu_) = false;
  bool timed_out_ ABSL_GUARDED_BY(mu_) = false;
  absl::Time write_started_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* StartExport(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                                        ServiceContext& service) {
  auto reactor = std::make_shared<ExportReactor>(context, service);
  ExportReactor* raw = reactor.get();
  raw->Begin(std::move(reactor), *request);
  return raw;
}

}  // namespace cairn
