#include "server/service/import_reactor.h"

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
#include "common/base/cancellation.h"
#include "common/base/crc32c.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "proto/wire/frame.h"
#include "proto/wire/status_wire.h"
#include "server/convert/fetched_files.h"
#include "server/service/convert_call.h"
#include "server/service/rpc_scope.h"

namespace cairn {
namespace {

constexpr uint64_t kMaxOpenBytes = 16u << 20;
constexpr int kMaxFiles = 65'536;
constexpr uint64_t kMaxAnswerHeaderBytes = 64u << 10;
constexpr uint64_t kWindowBytes = 8u << 20;

// gRPC's threads take the answers, check them and put them where the job, which waits for them on its own thread, finds
// them. No more comes in than was asked for, so reading never pauses. Writes and Finish are started by whoever sets
// writing_.
class ImportReactor final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>, public ActiveStream {
 public:
  ImportReactor(grpc::CallbackServerContext* context, ServiceContext& service)
      : service_(service), context_(context), scope_("Import", *context, service.observer) {}

  void Begin(std::shared_ptr<ImportReactor> self) {
    self_ = std::move(self);
    service_.streams.Add(self_);
    {
      absl::MutexLock lock(&mu_);
      waiting_since_ = absl::Now();
    }
    StartRead(&frame_);
  }

  void Tick(absl::Time now) override {
    const absl::Duration limit = service_.options.stream_idle_timeout;
    {
      absl::MutexLock lock(&mu_);
      if (now - waiting_since_ < limit) return;
      waiting_since_ = absl::InfiniteFuture();
      // A write that is under way may never end by itself.
      if (writing_ && !finishing_) context_->TryCancel();
    }
    Fail(absl::UnavailableError(absl::StrCat("the client sent nothing for ", absl::FormatDuration(limit),
                                             "; it can go on under the same session key")));
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      // A client that has answered everything may close its side; whoever still needs bytes gets this.
      EndOfAnswers(absl::InvalidArgumentError("the client ended its stream, but not all of its files had been read"));
      return;
    }
    absl::Status status = opened_ ? TakeAnswer() : Open();
    frame_.Clear();
    if (status.ok()) {
      StartRead(&frame_);
    } else {
      Fail(std::move(status));
    }
  }

  void OnWriteDone(bool ok) override {
    if (!ok) Fail(absl::CancelledError("the client went away; it can go on under the same session key"));
    Next();
  }

  void OnCancel() override { Fail(absl::CancelledError("the client went away; it can go on under the same session key")); }

  void OnDone() override {
    scope_.Finish(result_);
    self_.reset();
  }

 private:
  // gRPC's threads.

  absl::Status Open() {
    opened_ = true;
    {
      absl::MutexLock lock(&mu_);
      waiting_since_ = absl::InfiniteFuture();
      if (!failure_.ok()) return failure_;
      job_ = true;
    }
    // Ten thousands of names are taken apart by the job.
    service_.file_pool.Schedule([self = self_, frame = frame_] { self->End(self->Run(frame)); });
    return absl::OkStatus();
  }

  absl::Status TakeAnswer() {
    std::shared_ptr<FetchedFiles> files;
    {
      absl::MutexLock lock(&mu_);
      files = files_;
    }
    v1::ImportRequest message;
    std::vector<Buffer> pieces;
    CAIRN_RETURN_IF_ERROR(wire::ParseFrame(frame_, kMaxAnswerHeaderBytes, &message, &pieces));
    if (message.has_open()) return absl::InvalidArgumentError("a stream is opened once, by its first message");
    if (files == nullptr) return absl::InvalidArgumentError(absl::StrCat("bytes for read ", message.read(), ", which was not asked for"));
    uint32_t crc = 0;
    for (const Buffer& piece : pieces) crc = ExtendCrc32c(crc, piece.bytes());
    if (crc != message.chunk().crc32c()) {
      const std::string expected = absl::StrCat(absl::Hex(message.chunk().crc32c(), absl::kZeroPad8));
      const std::string found = absl::StrCat(absl::Hex(crc, absl::kZeroPad8));
      return WithErrorInfo(absl::InvalidArgumentError(absl::StrCat("read ", message.read(), " at offset ", message.chunk().offset(), ": crc32c is ", found,
                                                                   ", the client said ", expected, "; the bytes were damaged on the way")),
                           {"CHUNK_CHECKSUM", {{"expected", expected}, {"found", found}}});
    }
    CAIRN_RETURN_IF_ERROR(files->Answer(message.read(), message.chunk().offset(), std::move(pieces)));
    absl::MutexLock lock(&mu_);
    waiting_since_ = files->asked() > 0 ? absl::Now() : absl::InfiniteFuture();
    return absl::OkStatus();
  }

  // No thread waits for this stream any more, but for what the job does with what it has.
  void EndOfAnswers(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_) {
    std::shared_ptr<FetchedFiles> files;
    bool end = false;
    {
      absl::MutexLock lock(&mu_);
      waiting_since_ = absl::InfiniteFuture();
      if (failure_.ok()) failure_ = status;
      files = files_;
      // Without a job nobody else would.
      end = !std::exchange(job_, true);
    }
    if (files != nullptr) files->Fail(status);
    if (end) End(std::move(status));
  }

  void Fail(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_) {
    cancellation_.Cancel();
    EndOfAnswers(std::move(status));
  }

  // The job.

  absl::Status Run(const grpc::ByteBuffer& frame) {
    v1::ImportRequest request;
    std::vector<Buffer> none;
    CAIRN_RETURN_IF_ERROR(wire::ParseFrame(frame, kMaxOpenBytes, &request, &none));
    if (!request.has_open()) return absl::InvalidArgumentError("the first message must open the stream (field `open`)");
    const v1::ImportRequest::Open& open = request.open();
    scope_.set_ref(open.conversion().target().ref());
    CAIRN_ASSIGN_OR_RETURN(ConvertRequest job, ConvertRequestFromProto(open.conversion()));
    if (job.source.path.empty()) return absl::InvalidArgumentError("source: expected a path, the name of the files to import");
    if (job.target.ref.empty()) return absl::InvalidArgumentError("target: expected the ref of the checkpoint to be");
    // Before anything is asked for.
    CAIRN_ASSIGN_OR_RETURN(const Ref ref, Ref::Parse(job.target.ref));
    if (!ref.step.has_value()) return absl::InvalidArgumentError(absl::StrCat("target: \"", job.target.ref, "\": expected NAME@STEP, the checkpoint to be"));
    if (open.files_size() > kMaxFiles) {
      return absl::InvalidArgumentError(absl::StrCat(job.source.path, ": ", open.files_size(), " files, expected at most ", kMaxFiles));
    }
    std::vector<FetchableFile> list;
    list.reserve(open.files_size());
    for (const v1::ImportRequest::File& file : open.files()) list.push_back({file.name(), file.size(), file.beside()});
    FetchedFilesOptions options;
    options.name = job.source.path;
    options.window_bytes = kWindowBytes;
    options.range_bytes = service_.options.max_chunk_bytes;
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<FetchedFiles> files,
                           FetchedFiles::Create(std::move(list), options, [this](std::vector<FetchedRange> ranges) { AskFor(ranges); }));
    job.source.source_tree = files->Tree();
    job.source.tree_bytes = kWindowBytes + service_.options.max_chunk_bytes;
    {
      absl::MutexLock lock(&mu_);
      if (!failure_.ok()) return failure_;
      files_ = files;
    }
    static const AllowedRoots* const no_roots = new AllowedRoots;
    absl::StatusOr<ConvertResult> result = RunConvertJob(service_.engine, *no_roots, {service_.file_budget, service_.index_budget}, job, cancellation_,
                                                         [this](const ConvertProgress& progress) { Report(ToResponse(progress)); });
    if (!result.ok()) {
      // A reader may have made something else of an answer that did not come.
      const absl::Status failure = files->status();
      return failure.ok() ? result.status() : failure;
    }
    scope_.add_bytes(result->progress.bytes_done);
    Report(LastResponse(*result));
    return absl::OkStatus();
  }

  void AskFor(const std::vector<FetchedRange>& ranges) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      for (const FetchedRange& range : ranges) {
        v1::ImportResponse::Read* read = waiting_.add_reads();
        read->set_read(range.id);
        read->set_file(range.file);
        read->set_offset(range.offset);
        read->set_length(range.length);
      }
      if (waiting_since_ == absl::InfiniteFuture()) waiting_since_ = absl::Now();
      has_waiting_ = true;
      if (std::exchange(writing_, true)) return;
    }
    Next();
  }

  // One that waits to be sent is replaced.
  void Report(v1::ConvertResponse progress) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      *waiting_.mutable_progress() = std::move(progress);
      has_waiting_ = true;
      if (std::exchange(writing_, true)) return;
    }
    Next();
  }

  // The thread of the job, or one of gRPC's if there is none.
  void End(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      waiting_since_ = absl::InfiniteFuture();
      result_ = std::move(status);
      ended_ = true;
      if (std::exchange(writing_, true)) return;
    }
    Next();
  }

  // Whoever set writing_ (or ended a write) goes on here: one thread at a time.
  void Next() ABSL_LOCKS_EXCLUDED(mu_) {
    bool finish = false;
    {
      absl::MutexLock lock(&mu_);
      if (has_waiting_ && !(ended_ && !result_.ok())) {
        current_ = wire::MakeFrame(waiting_, {});
        waiting_.Clear();
        has_waiting_ = false;
      } else if (ended_) {
        finish = finishing_ = true;
      } else {
        writing_ = false;
        return;
      }
    }
    if (finish) {
      Finish(wire::ToGrpcStatus(result_));
    } else {
      StartWrite(&current_);
    }
  }

  ServiceContext& service_;
  grpc::CallbackServerContext* const context_;  // Valid until OnDone; used only while a write is under way.
  RpcScope scope_;
  const Cancellation cancellation_;
  std::shared_ptr<ImportReactor> self_;  // Until OnDone.
  grpc::ByteBuffer frame_;               // Of the read that is under way.
  bool opened_ = false;                  // Of whoever handles the read.
  absl::Status result_;                  // Written once, before ended_.
  grpc::ByteBuffer current_;             // Of the write that is under way.

  absl::Mutex mu_;
  std::shared_ptr<FetchedFiles> files_ ABSL_GUARDED_BY(mu_);
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  v1::ImportResponse waiting_ ABSL_GUARDED_BY(mu_);
  bool has_waiting_ ABSL_GUARDED_BY(mu_) = false;
  bool job_ ABSL_GUARDED_BY(mu_) = false;  // Somebody will call End().
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool finishing_ ABSL_GUARDED_BY(mu_) = false;
  absl::Time waiting_since_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();  // For the client; infinite: for ourselves.
};

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartImport(grpc::CallbackServerContext* context, ServiceContext& service) {
  auto reactor = std::make_shared<ImportReactor>(context, service);
  ImportReactor* raw = reactor.get();
  raw->Begin(std::move(reactor));
  return raw;
}

}  // namespace cairn
