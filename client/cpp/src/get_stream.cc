#include "client/cpp/src/get_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "client/cpp/src/from_proto.h"
#include "client/cpp/src/retry.h"
#include "common/base/crc32c.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "proto/wire/frame.h"
#include "proto/wire/proto_convert.h"

namespace cairn::client {
namespace {

constexpr uint64_t kMaxHeaderBytes = 4 << 20;

v1::GetTensorRequest ToProto(const GetSpec& spec) {
  v1::GetTensorRequest request;
  request.set_ref(spec.ref);
  for (const std::string& pattern : spec.select) request.add_select(pattern);
  for (const KeyPath& path : spec.paths) request.add_paths(path.ToString());
  for (const auto& [path, box] : spec.boxes) {
    v1::GetTensorRequest::BoxRead* read = request.add_boxes();
    wire::ToProto(path, read->mutable_path());
    wire::ToProto(box, read->mutable_box());
  }
  if (spec.float_dtype.has_value()) request.set_float_dtype(wire::ToProto(*spec.float_dtype));
  request.set_chunk_bytes(spec.chunk_bytes);
  return request;
}

bool HasBytes(const Entry& entry) { return entry.kind == EntryKind::kTensor || entry.kind == EntryKind::kAsset; }

class GrpcGetStream final : public GetStream {
 public:
  GrpcGetStream(std::shared_ptr<Stub> stub, const Options& options, const std::string& target, const GetSpec& spec)
      : stub_(std::move(stub)),
        options_(options),
        request_(ToProto(spec)),
        retry_(options_, target, [this] { return Cancelled(); }) {}

  absl::Status Open() {
    OpenStream();
    while (!has_header_) CAIRN_RETURN_IF_ERROR(ReadMessage());
    return absl::OkStatus();
  }

  const CheckpointInfo& checkpoint() const override { return checkpoint_; }
  uint64_t entries() const override { return entries_; }
  uint64_t total_bytes() const override { return total_bytes_; }

  absl::StatusOr<std::optional<GetEntry>> Next() override {
    while (true) {
      CAIRN_RETURN_IF_ERROR(Check());
      if (started_.has_value()) {
        std::optional<GetEntry> next;
        next.swap(started_);
        return next;
      }
      CAIRN_ASSIGN_OR_RETURN(const GetChunk skipped, ReadChunk());
      if (!skipped.empty()) continue;
      if (index_ == entries_) return std::optional<GetEntry>();
      CAIRN_RETURN_IF_ERROR(Sticky(ReadMessage()));
    }
  }

  absl::StatusOr<GetChunk> ReadChunk() override {
    while (true) {
      CAIRN_RETURN_IF_ERROR(Check());
      if (!chunk_.empty()) {
        GetChunk chunk;
        std::swap(chunk, chunk_);
        return chunk;
      }
      if (!in_entry_) return GetChunk();
      CAIRN_RETURN_IF_ERROR(Sticky(ReadMessage()));
    }
  }

  absl::Status ReadInto(absl::Span<char> dst) override {
    CAIRN_RETURN_IF_ERROR(Check());
    if (dst.size() != bytes_) {
      return absl::InvalidArgumentError(
          absl::StrCat(Shown(), " has ", bytes_, " bytes, but the buffer for it has ", dst.size()));
    }
    uint64_t filled = 0;
    while (true) {
      CAIRN_ASSIGN_OR_RETURN(const GetChunk chunk, ReadChunk());
      if (chunk.empty()) break;
      if (chunk.offset != filled) {
        return absl::FailedPreconditionError(absl::StrCat(Shown(), ": ", chunk.offset, " bytes were read already"));
      }
      for (const Buffer& piece : chunk.pieces) {
        std::memcpy(dst.data() + filled, piece.data(), piece.size());
        filled += piece.size();
      }
    }
    if (filled == dst.size()) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(Shown(), " was read already"));
  }

  void Cancel() override {
    cancellation_.Cancel();
    absl::MutexLock lock(&raw_mu_);
    if (raw_ != nullptr) raw_->Cancel();
  }

 private:
  bool Cancelled() const {
    return cancellation_.cancelled() || (options_.cancellation.has_value() && options_.cancellation->cancelled());
  }

  absl::Status Check() {
    if (status_.ok() && Cancelled()) status_ = absl::CancelledError("cancelled by the caller");
    return status_;
  }

  absl::Status Sticky(const absl::Status& status) {
    if (!status.ok() && Check().ok()) status_ = Named(status, request_.ref());
    return status_;
  }

  // tensor "a/b", for messages.
  std::string Shown() const { return absl::StrCat("entry \"", path_.ToString(), "\""); }

  absl::Status Broken(absl::string_view what) const {
    return absl::InternalError(absl::StrCat("the daemon's answer makes no sense: ", in_entry_ ? Shown() : "", " ", what));
  }

  // Takes the next message into started_, chunk_ and the state below, over as many connections as it takes.
  absl::Status ReadMessage() {
    while (true) {
      raw_->AwaitMessage();
      if (std::optional<grpc::ByteBuffer> message = raw_->TakeMessage()) {
        v1::GetTensorResponse answer;
        std::vector<Buffer> pieces;
        if (absl::Status status = wire::ParseFrame(*message, kMaxHeaderBytes, &answer, &pieces); !status.ok()) {
          return BadAnswer(status);
        }
        CAIRN_RETURN_IF_ERROR(Take(answer, std::move(pieces)));
        retry_.Succeeded();
        return absl::OkStatus();
      }
      const std::optional<absl::Status> end = raw_->Ended();
      if (!end.has_value()) continue;
      if (end->ok()) {
        return absl::DataLossError(absl::StrCat("the daemon ended the answer after ", index_, " of ", entries_,
                                                " entries", in_entry_ ? absl::StrCat(", within ", Shown()) : ""));
      }
      if (absl::Status status = retry_.Pause(ResumeIfIdle(*end)); !status.ok()) return status;
      // All bytes are here; only the word that they are all was lost.
      if (in_entry_ && received_ == bytes_) {
        EndEntry();
        if (index_ == entries_) return absl::OkStatus();
      }
      OpenStream();
    }
  }

  absl::Status Take(const v1::GetTensorResponse& answer, std::vector<Buffer> pieces) {
    if (answer.has_header()) CAIRN_RETURN_IF_ERROR(TakeHeader(answer.header()));
    if (!has_header_) return Broken("begins without a header");
    if (answer.has_start()) CAIRN_RETURN_IF_ERROR(TakeStart(answer.start()));
    if (answer.has_chunk()) {
      CAIRN_RETURN_IF_ERROR(TakeChunk(answer.chunk(), std::move(pieces)));
    } else if (!pieces.empty()) {
      return Broken("has bytes without a chunk");
    }
    if (answer.finish() && in_entry_) {
      if (received_ != bytes_) return Broken(absl::StrCat("finished after ", received_, " of ", bytes_, " bytes"));
      EndEntry();
    }
    return absl::OkStatus();
  }

  absl::Status TakeHeader(const v1::GetTensorResponse::Header& header) {
    CheckpointInfo checkpoint = FromProto(header.checkpoint());
    if (has_header_) {
      // The answer goes on after a lost connection.
      if (checkpoint.uid == checkpoint_.uid && header.entries() == entries_ && header.total_bytes() == total_bytes_) {
        return absl::OkStatus();
      }
      return Broken("is another one after a lost connection");
    }
    has_header_ = true;
    checkpoint_ = std::move(checkpoint);
    entries_ = header.entries();
    total_bytes_ = header.total_bytes();
    return absl::OkStatus();
  }

  absl::Status TakeStart(const v1::GetTensorResponse::Start& start) {
    absl::StatusOr<Entry> entry = wire::FromProto(start.entry());
    if (!entry.ok()) return BadAnswer(entry.status());
    if (in_entry_) {
      const bool goes_on = resuming_ && entry->path == path_ && start.bytes() == bytes_ &&
                           start.start_offset() == received_;
      resuming_ = false;
      return goes_on ? absl::OkStatus() : Broken("is followed by another entry before it was finished");
    }
    resuming_ = false;
    if (index_ == entries_) return Broken("has more entries than it announced");
    if (start.start_offset() != 0) return Broken("begins in the middle of an entry");
    GetEntry next;
    next.bytes = start.bytes();
    if (entry->kind == EntryKind::kTensor) {
      absl::StatusOr<Box> box = start.has_box() ? wire::FromProto(start.box(), entry->shape) : Box::Whole(entry->shape);
      if (!box.ok()) return BadAnswer(box.status());
      const absl::StatusOr<uint64_t> size = ByteSize(entry->dtype, box->extent);
      if (!size.ok() || *size != start.bytes()) return Broken("announces bytes that do not fit its dtype and box");
      next.box = *std::move(box);
    } else if (start.bytes() != entry->byte_size) {
      return Broken("announces bytes that do not fit its size");
    }
    path_ = entry->path;
    bytes_ = next.bytes;
    received_ = 0;
    in_entry_ = true;
    next.entry = *std::move(entry);
    if (!HasBytes(next.entry)) EndEntry();
    started_ = std::move(next);
    return absl::OkStatus();
  }

  absl::Status TakeChunk(const v1::Chunk& chunk, std::vector<Buffer> pieces) {
    if (!in_entry_) return Broken("has a chunk of no entry");
    const uint64_t size = TotalSize(pieces);
    if (chunk.offset() != received_ || size > bytes_ - received_) {
      return Broken(absl::StrCat("has a chunk at offset ", chunk.offset(), " of ", size, " bytes, expected ", received_,
                                 " of ", bytes_));
    }
    uint32_t crc = 0;
    for (const Buffer& piece : pieces) crc = ExtendCrc32c(crc, piece.bytes());
    if (crc != chunk.crc32c()) {
      return WithErrorInfo(
          absl::DataLossError(absl::StrCat(Shown(), ": chunk at offset ", chunk.offset(), ": ",
                                           absl::StrFormat("crc32c %08x, expected %08x", crc, chunk.crc32c()))),
          {"CHUNK_CHECKSUM",
           {{"path", path_.ToString()},
            {"expected", absl::StrFormat("%08x", chunk.crc32c())},
            {"found", absl::StrFormat("%08x", crc)}}});
    }
    chunk_.offset = received_;
    chunk_.pieces = std::move(pieces);
    received_ += size;
    return absl::OkStatus();
  }

  void EndEntry() {
    in_entry_ = false;
    ++index_;
  }

  void OpenStream() {
    v1::GetTensorRequest request = request_;
    if (has_header_) {
      request.set_ref(checkpoint_.UidRef());
      request.set_start_entry(index_);
      request.set_start_offset(in_entry_ ? received_ : 0);
      resuming_ = in_entry_;
    }
    std::unique_ptr<RawStream> fresh = stub_->GetTensor(
        request, options_.window_bytes, options_.cancellation.has_value()
                                            ? CancelCheck([c = *options_.cancellation] { return c.cancelled(); })
                                            : nullptr);
    absl::MutexLock lock(&raw_mu_);
    raw_.swap(fresh);
    if (cancellation_.cancelled()) raw_->Cancel();
  }

  const std::shared_ptr<Stub> stub_;
  const Options options_;
  const v1::GetTensorRequest request_;
  const Cancellation cancellation_;
  Retry retry_;
  absl::Status status_;  // Not OK: what every call returns from now on.

  // Replaced by the caller's thread under raw_mu_, for Cancel().
  absl::Mutex raw_mu_;
  std::unique_ptr<RawStream> raw_;

  bool has_header_ = false;
  CheckpointInfo checkpoint_;
  uint64_t entries_ = 0;
  uint64_t total_bytes_ = 0;

  uint64_t index_ = 0;      // Entries received whole.
  bool in_entry_ = false;   // One more has begun:
  KeyPath path_;
  uint64_t bytes_ = 0;
  uint64_t received_ = 0;
  bool resuming_ = false;   // Its start will come once more.

  // Received and not yet given out. A message is read only when both are empty, so that they belong to one entry.
  std::optional<GetEntry> started_;
  GetChunk chunk_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GetStream>> OpenGetStream(std::shared_ptr<Stub> stub, const Options& options,
                                                         const std::string& target, const GetSpec& spec) {
  auto stream = std::make_unique<GrpcGetStream>(std::move(stub), options, target, spec);
  if (absl::Status status = stream->Open(); !status.ok()) return Named(status, spec.ref);
  return stream;
}

}  // namespace cairn::client
