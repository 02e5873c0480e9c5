#include "server/service/get_tensor_reactor.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "cairn/v1/checkpoint_service.pb.h"
#include "common/base/annotate.h"
#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "google/protobuf/arena.h"
#include "proto/wire/frame.h"
#include "proto/wire/proto_convert.h"
#include "proto/wire/status_wire.h"
#include "server/service/delta_chunk.h"
#include "server/service/peer_files.h"
#include "server/service/row_convert.h"
#include "server/service/rpc_scope.h"

namespace cairn {
namespace {

constexpr uint64_t kMaxRequestBytes = 16u << 20;  // A hundred thousand paths.
constexpr uint32_t kMinChunkBytes = 4096;
constexpr uint64_t kReadyChunks = 2;    // Read ahead of the write, so that neither waits for the other.
constexpr size_t kMaxReadyFrames = 64;  // Small entries are read ahead in groups.
// Frames below that size that have others behind them wait in the transport, to leave together.
constexpr uint64_t kGatherBelow = 16u << 10;
// What it takes to make a delta, in chunks: the base, what comes out, and the encoder's XOR, planes and copies of them.
constexpr uint64_t kDeltaChunks = 8;

struct ParsedRequest {
  Ref ref;
  DownloadRequest download;
  std::optional<Ref> have;
  std::string file_ticket;
};

absl::StatusOr<ParsedRequest> ParseRequest(const grpc::ByteBuffer& frame, uint32_t max_chunk_bytes) {
  v1::GetTensorRequest message;
  std::vector<Buffer> none;
  CAIRN_RETURN_IF_ERROR(wire::ParseFrame(frame, kMaxRequestBytes, &message, &none));
  ParsedRequest request;
  CAIRN_ASSIGN_OR_RETURN(request.ref, Ref::Parse(message.ref()));
  if (!message.have_ref().empty()) {
    absl::StatusOr<Ref> have = Ref::Parse(message.have_ref());
    if (!have.ok()) return Annotate(have.status(), "have_ref");
    request.have = *std::move(have);
  }
  DownloadRequest& download = request.download;
  download.select.assign(message.select().begin(), message.select().end());
  for (const std::string& text : message.paths()) {
    CAIRN_ASSIGN_OR_RETURN(KeyPath path, KeyPath::Parse(text));
    download.paths.push_back(std::move(path));
  }
  for (const v1::GetTensorRequest::BoxRead& read : message.boxes()) {
    BoxRead box_read;
    CAIRN_ASSIGN_OR_RETURN(box_read.path, wire::FromProto(read.path()));
    if (read.has_box()) {
      // Checked against the tensor's shape once that is known.
      box_read.box = Box{{read.box().offset().begin(), read.box().offset().end()},
                         {read.box().extent().begin(), read.box().extent().end()}};
    }
    download.boxes.push_back(std::move(box_read));
  }
  if (message.float_dtype() != v1::DTYPE_UNSPECIFIED) {
    CAIRN_ASSIGN_OR_RETURN(download.float_dtype, wire::FromProto(message.float_dtype()));
  }
  download.chunk_bytes = message.chunk_bytes() == 0
                             ? max_chunk_bytes
                             : std::clamp<uint32_t>(message.chunk_bytes(), std::min(kMinChunkBytes, max_chunk_bytes), max_chunk_bytes);
  request.file_ticket = message.file_ticket();
  download.start_entry = message.start_entry();
  download.start_offset = message.start_offset();
  return request;
}

// The stream's serial queue on the I/O pool reads ahead of the write that is under way. Writes are started by the queue
// or inside OnWriteDone, Finish by the queue alone once no write is left.
class GetTensorReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer>, public ActiveStream {
 public:
  GetTensorReactor(grpc::CallbackServerContext* context, ServiceContext& service)
      : service_(service), context_(context), scope_("GetTensor", *context, service.observer), queue_(&service.io_pool) {}

  void Begin(std::shared_ptr<GetTensorReactor> self, const grpc::ByteBuffer& request) {
    self_ = std::move(self);
    service_.streams.Add(self_);
    queue_.Schedule([self_ref = self_, frame = request] { self_ref->Open(frame); });
  }

  void Tick(absl::Time now) override {
    absl::MutexLock lock(&mu_);
    if (!writing_ || now - write_started_ < service_.options.stream_idle_timeout) return;
    // The write that is under way never ends by itself; a cancelled call ends it.
    timed_out_ = true;
    context_->TryCancel();
  }

  void OnWriteDone(bool ok) override {
    const bool next = [&] {
      absl::MutexLock lock(&mu_);
      if (!ok) failed_ = true;
      const bool more = !failed_ && !ready_.empty();
      if (more) TakeReadyLocked();
      writing_ = more;
      // Not after each of many small frames: waking a thread costs more than making one.
      if (!more || (ready_bytes_ < service_.options.max_chunk_bytes * kReadyChunks && ready_.size() <= kMaxReadyFrames / 2)) {
        ScheduleAdvanceLocked();
      }
      return more;
    }();
    if (next) StartWrite(&current_.frame, current_.options);
  }

  void OnCancel() override {
    absl::MutexLock lock(&mu_);
    failed_ = true;
    ScheduleAdvanceLocked();
  }

  void OnDone() override {
    queue_.Schedule([self = std::move(self_)] {
      self->scope_.Finish(self->result_);
      self->download_.reset();
      self->files_.reset();
      self->deltas_.reset();
      self->memory_.Release();
    });
  }

 private:
  struct Frame {
    grpc::ByteBuffer frame;
    uint64_t bytes = 0;       // That it holds.
    uint64_t file_bytes = 0;  // That it names.
    grpc::WriteOptions options;
  };

  void ScheduleAdvanceLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (std::exchange(advancing_, true)) return;
    queue_.Schedule([self = self_] { self->Advance(); });
  }

  void Open(const grpc::ByteBuffer& frame) {
    absl::StatusOr<ParsedRequest> request = ParseRequest(frame, service_.options.max_chunk_bytes);
    if (!request.ok()) {
      FinishWith(request.status());
      return;
    }
    scope_.set_ref(request->ref.ToString());
    auto parsed = std::make_shared<ParsedRequest>(*std::move(request));
    // What a download holds: its cache, and frames of which one is on its way, two are ready and one is being made.
    const uint64_t cache = service_.engine.options().download.cache_bytes;
    uint64_t memory = cache + 4 * static_cast<uint64_t>(service_.options.max_chunk_bytes);
    if (parsed->have.has_value()) memory += cache + kDeltaChunks * parsed->download.chunk_bytes;
    service_.budget.Acquire(memory, [self = self_, parsed](ByteBudget::Reservation reservation) {
      auto granted = std::make_shared<ByteBudget::Reservation>(std::move(reservation));
      self->queue_.Schedule([self, parsed, granted] {
        if (self->finished_) return;
        self->memory_ = std::move(*granted);
        if (absl::Status status = self->OpenHave(*parsed); !status.ok()) {
          self->FinishWith(status);
          return;
        }
        self->FindFiles(*parsed);
        absl::StatusOr<std::unique_ptr<Download>> download =
            self->service_.engine.OpenDownload(parsed->ref, std::move(parsed->download));
        if (!download.ok()) {
          self->FinishWith(download.status());
          return;
        }
        self->download_ = *std::move(download);
        self->MakeHeader();
        self->Advance();
      });
    });
  }

  absl::Status OpenHave(const ParsedRequest& request) {
    if (!request.have.has_value()) return absl::OkStatus();
    absl::StatusOr<std::unique_ptr<BaseReader>> have = service_.engine.OpenBase(*request.have);
    const auto& notice = service_.engine.options().notice;
    if (absl::IsDataLoss(have.status())) {
      // What is asked for may be whole all the same.
      if (notice) notice(absl::StrCat("have_ref: no deltas are sent: ", have.status().message()));
      return absl::OkStatus();
    }
    if (!have.ok()) return Annotate(have.status(), "have_ref");
    deltas_ = std::make_unique<DeltaMaker>(*std::move(have), request.download.float_dtype, notice);
    return absl::OkStatus();
  }

  // Whoever may read the files himself; not where what differs from others is less.
  void FindFiles(ParsedRequest& request) {
    if (service_.files == nullptr || request.file_ticket.empty() || request.have.has_value()) return;
    if (std::shared_ptr<FilePeer> peer = service_.files->Find(request.file_ticket)) {
      files_ = std::make_unique<PeerFiles>(std::move(peer));
      request.download.files = files_.get();
    }
  }

  void MakeHeader() {
    v1::GetTensorResponse message;
    ToProto(download_->checkpoint().row, message.mutable_header()->mutable_checkpoint());
    message.mutable_header()->set_entries(download_->entries());
    message.mutable_header()->set_total_bytes(download_->total_bytes());
    if (deltas_ != nullptr) message.mutable_header()->set_have_uid(deltas_->have().uid);
    absl::MutexLock lock(&mu_);
    ready_.push_back({wire::MakeFrame(message, {}), 0, 0, {}});
    advancing_ = true;
  }

  // Reads ahead as far as memory allows, starts a write if none is under way, and finishes when all is sent.
  void Advance() {
    while (!finished_) {
      bool write = false, read = false;
      {
        absl::MutexLock lock(&mu_);
        if (failed_) {
          if (writing_) {  // OnWriteDone comes.
            advancing_ = false;
            return;
          }
        } else if (!writing_ && !ready_.empty()) {
          TakeReadyLocked();
          writing_ = write = true;
        }
        read = !failed_ && !exhausted_ && ready_bytes_ < kReadyChunks * service_.options.max_chunk_bytes && ready_.size() < kMaxReadyFrames;
        if (!write && !read) {
          if (writing_ || (!ready_.empty() && !failed_)) {
            advancing_ = false;
            return;
          }
        }
      }
      if (write) StartWrite(&current_.frame, current_.options);
      if (read) {
        absl::Status status = ReadNext();
        if (!status.ok()) {
          // What was read before goes out first: a client keeps what it has.
          exhausted_ = true;
          end_ = std::move(status);
        }
      } else if (!write) {
        FinishWith(EndStatus());
        return;
      }
    }
  }

  absl::Status EndStatus() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (timed_out_) return absl::UnavailableError("the client took nothing for too long");
    return failed_ ? absl::CancelledError("the client went away") : end_;
  }

  absl::Status ReadNext() {
    CAIRN_ASSIGN_OR_RETURN(std::optional<Download::Piece> piece, download_->Next());
    if (!piece.has_value()) {
      exhausted_ = true;
      return absl::OkStatus();
    }
    arena_.Reset();
    v1::GetTensorResponse& message = *google::protobuf::Arena::CreateMessage<v1::GetTensorResponse>(&arena_);
    if (piece->start != nullptr) {
      v1::GetTensorResponse::Start* start = message.mutable_start();
      wire::ToProto(*piece->start, start->mutable_entry());
      if (piece->start->kind == EntryKind::kTensor) {
        start->mutable_entry()->mutable_tensor()->set_dtype(wire::ToProto(piece->dtype));
        wire::ToProto(piece->box, start->mutable_box());
      }
      start->set_bytes(piece->bytes);
      start->set_start_offset(piece->offset);
    }
    uint64_t size = piece->data.size();
    if (size > 0) {
      message.mutable_chunk()->set_offset(piece->offset);
      message.mutable_chunk()->set_crc32c(piece->crc32c.has_value() ? *piece->crc32c : Crc32c(piece->data.bytes()));
    }
    uint64_t file_bytes = 0;
    for (const Download::FileRange& range : piece->ranges) {
      v1::GetTensorResponse::FileChunk* chunk = message.add_file_chunks();
      chunk->set_offset(range.offset);
      chunk->set_bytes(range.bytes);
      chunk->set_file(range.file);
      chunk->set_file_offset(range.file_offset);
      chunk->set_digest(std::string(range.digest.AsBytes()));
      file_bytes += range.bytes;
    }
    message.set_finish(piece->finish);
    if (deltas_ != nullptr) {
      CAIRN_ASSIGN_OR_RETURN(std::optional<DeltaMaker::Made> made, deltas_->Make(*piece));
      if (made.has_value()) {
        message.mutable_chunk()->set_raw_bytes(size);
        message.mutable_chunk()->set_base_digest(std::move(made->base_digest));
        piece->data = Buffer::FromString(std::move(made->delta));
        size = piece->data.size();
      }
    }
    std::vector<Buffer> pieces;
    if (size > 0) pieces.push_back(std::move(piece->data));
    Frame frame{wire::MakeFrame(message, pieces), size, file_bytes, {}};
    absl::MutexLock lock(&mu_);
    ready_bytes_ += size;
    ready_.push_back(std::move(frame));
    return absl::OkStatus();
  }

  void TakeReadyLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    current_ = std::move(ready_.front());
    ready_.pop_front();
    ready_bytes_ -= current_.bytes;
    if (current_.bytes < kGatherBelow && !ready_.empty()) current_.options.set_buffer_hint();
    write_started_ = absl::Now();
    scope_.add_bytes(current_.bytes + current_.file_bytes);
  }

  void FinishWith(const absl::Status& status) {
    if (finished_) return;
    finished_ = true;
    result_ = status;
    Finish(wire::ToGrpcStatus(status));
  }

  ServiceContext& service_;
  grpc::CallbackServerContext* const context_;  // Valid until OnDone; used only while a write is under way.
  RpcScope scope_;
  SerialQueue queue_;
  std::shared_ptr<GetTensorReactor> self_;  // Until OnDone.

  absl::Mutex mu_;
  std::deque<Frame> ready_ ABSL_GUARDED_BY(mu_);
  uint64_t ready_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool failed_ ABSL_GUARDED_BY(mu_) = false;
  bool timed_out_ ABSL_GUARDED_BY(mu_) = false;
  bool advancing_ ABSL_GUARDED_BY(mu_) = false;  // Advance() is queued, or runs and will look again.
  absl::Time write_started_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();

  Frame current_;  // Of the write that is under way.

  // The queue's alone.
  ByteBudget::Reservation memory_;
  std::unique_ptr<PeerFiles> files_;  // Null: all bytes are sent.
  std::unique_ptr<Download> download_;
  std::unique_ptr<DeltaMaker> deltas_;  // Null: the caller has nothing.
  google::protobuf::Arena arena_;  // Of the message that is being made.
  bool exhausted_ = false;
  bool finished_ = false;
  absl::Status end_;
  absl::Status result_;
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* StartGetTensor(grpc::CallbackServerContext* context,
                                                           const grpc::ByteBuffer* request, ServiceContext& service) {
  auto reactor = std::make_shared<GetTensorReactor>(context, service);
  GetTensorReactor* raw = reactor.get();
  raw->Begin(std::move(reactor), *request);
  return raw;
}

}  // namespace cairn
