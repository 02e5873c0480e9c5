#include "client/cpp/src/put_sender.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "client/cpp/src/from_proto.h"
#include "common/base/annotate.h"
#include "common/base/checked_math.h"
#include "common/base/crc32c.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "proto/wire/frame.h"
#include "proto/wire/proto_convert.h"

namespace cairn::client {
namespace {

constexpr uint32_t kDefaultChunkBytes = 1 << 20;
constexpr uint64_t kMaxAnswerBytes = 64 << 10;
constexpr size_t kArenaBytes = 4 << 10;  // For the message of a usual entry.
constexpr int kMaxRefusedOffsets = 8;
constexpr char kResumeOffset[] = "RESUME_OFFSET";
// Below that a message that many entries share is better than one with a delta.
constexpr uint64_t kAloneAsDelta = 4 << 10;

uint32_t OrDefault(uint32_t bytes) { return bytes == 0 ? kDefaultChunkBytes : bytes; }

PutWindow::Limits LimitsOf(const Options& options, uint32_t chunk, uint32_t extent) {
  // What is still in an unfinished extent cannot be made durable: limits must leave room for it and more.
  const uint64_t smallest = 4 * uint64_t{std::max(extent, chunk)};
  PutWindow::Limits limits;
  limits.chunk_bytes = chunk;
  limits.max_unacknowledged = std::max<uint64_t>(options.max_unacknowledged_bytes, smallest);
  limits.max_retained = std::max<uint64_t>(options.max_retained_bytes, smallest);
  return limits;
}

}  // namespace

uint32_t PutSender::ChunkBytes(uint32_t wanted, uint32_t max_chunk, uint32_t extent) {
  const uint32_t limit = std::max<uint32_t>(1, std::min(wanted, max_chunk));
  if (limit >= extent) return limit - limit % extent;
  const uint64_t fewest = CeilDiv(extent, limit);
  for (uint64_t parts = fewest; parts < 4 * fewest; ++parts) {
    if (extent % parts == 0) return extent / parts;
  }
  return limit;
}

PutSender::PutSender(std::shared_ptr<Stub> stub, const Options& options, const std::string& target,
                     const PutSpec& spec)
    : stub_(std::move(stub)),
      spec_(spec),
      chunk_bytes_(ChunkBytes(options.chunk_bytes, OrDefault(spec.max_chunk_bytes), OrDefault(spec.extent_bytes))),
      arena_block_(kArenaBytes),
      arena_(arena_block_.data(), arena_block_.size()),
      pool_(chunk_bytes_, std::max<uint64_t>(2, options.window_bytes / chunk_bytes_)),
      call_(options, target, spec.name),
      window_(LimitsOf(options, chunk_bytes_, OrDefault(spec.extent_bytes)), &counters_),
      batch_(spec.max_small_entries, chunk_bytes_),
      deltas_(spec.deltas) {}

absl::Status PutSender::Enqueue(std::unique_ptr<UploadEntry> entry) {
  CAIRN_ASSIGN_OR_RETURN(const bool added, window_.Add(std::move(entry), saved_));
  return added ? Send() : absl::OkStatus();
}

absl::Status PutSender::SendAndAwaitRetention() {
  while (true) {
    CAIRN_RETURN_IF_ERROR(Send());
    CAIRN_ASSIGN_OR_RETURN(const bool same_call, TakeAnswersAndReconnect());
    if (!same_call) continue;
    if (!window_.RetainsTooMuch()) return absl::OkStatus();
    AskToFlush();
    call_.raw().AwaitMessage();
  }
}

absl::Status PutSender::AwaitDurable() {
  while (true) {
    CAIRN_RETURN_IF_ERROR(Send());
    CAIRN_ASSIGN_OR_RETURN(const bool same_call, TakeAnswersAndReconnect());
    if (!same_call) continue;
    if (window_.Settled()) return absl::OkStatus();
    AskToFlush();
    call_.raw().AwaitMessage();
  }
}

absl::Status PutSender::End() {
  call_.raw().WritesDone();
  std::optional<absl::Status> end;
  while (!(end = call_.raw().Ended()).has_value()) {
    call_.raw().AwaitMessage();
    CAIRN_RETURN_IF_ERROR(TakeAnswers());
  }
  // Everything is durable: a connection that breaks now breaks nothing.
  return absl::IsUnavailable(*end) ? absl::OkStatus() : *end;
}

absl::Status PutSender::Send() {
  while (const std::optional<PutWindow::Part> part = window_.Next()) {
    CAIRN_ASSIGN_OR_RETURN(const bool same_call, AwaitRoom(part->bytes));
    // What comes next is another matter after a connection was made again.
    if (same_call) CAIRN_RETURN_IF_ERROR(SendPart(*part));
  }
  // While gRPC is busy with other messages, the batch may grow; whoever waits sends it first.
  if (!batch_.empty() && call_.raw().queued_bytes() == 0) SendBatch(/*flush=*/false);
  return absl::OkStatus();
}

absl::Status PutSender::SendPart(const PutWindow::Part& part) {
  const UploadEntry& entry = *part.entry;
  const bool delta = deltas_.Takes(entry, part.bytes);
  if (part.declare && part.finish && entry.sent == 0 && batch_.Takes(entry, part.bytes) &&
      !(delta && part.bytes >= kAloneAsDelta)) {
    return AddToBatch(part);
  }
  if (!batch_.empty()) SendBatch(/*flush=*/false);
  absl::StatusOr<std::vector<Buffer>> pieces = entry.Read(entry.sent, part.bytes, pool_);
  if (!pieces.ok()) return Annotate(pieces.status(), entry.ShownName());
  arena_.Reset();
  auto& request = *google::protobuf::Arena::CreateMessage<v1::PutTensorRequest>(&arena_);
  if (part.declare) {
    wire::ToProto(entry.entry(), request.mutable_declare()->mutable_entry());
    if (entry.box().has_value()) wire::ToProto(*entry.box(), request.mutable_declare()->mutable_box());
    request.mutable_declare()->set_start_offset(entry.sent);
  }
  if (part.bytes > 0) {
    uint32_t crc = 0;
    for (const Buffer& piece : *pieces) crc = ExtendCrc32c(crc, piece.bytes());
    request.mutable_chunk()->set_offset(entry.sent);
    request.mutable_chunk()->set_crc32c(crc);
    if (delta) {
      absl::Status encoded = deltas_.Encode(entry, entry.sent, pool_, request.mutable_chunk(), &*pieces);
      if (!encoded.ok()) return Annotate(encoded, entry.ShownName());
    }
  }
  request.set_finish(part.finish);
  window_.MarkSent(part, TotalSize(*pieces));
  if (window_.WantsFlush()) {
    request.set_flush(true);
    window_.FlushAsked();
  }
  call_.raw().Write(wire::MakeFrame(request, *pieces));
  return absl::OkStatus();
}

absl::Status PutSender::AddToBatch(const PutWindow::Part& part) {
  const UploadEntry& entry = *part.entry;
  if (!batch_.HasRoomFor(part.bytes)) SendBatch(/*flush=*/false);
  absl::StatusOr<std::vector<Buffer>> pieces = entry.Read(0, part.bytes, pool_);
  if (!pieces.ok()) return Annotate(pieces.status(), entry.ShownName());
  batch_.Add(entry, *pieces);
  window_.MarkSent(part);
  if (window_.WantsFlush()) {
    SendBatch(/*flush=*/true);
    window_.FlushAsked();
  }
  return absl::OkStatus();
}

void PutSender::SendBatch(bool flush) { call_.raw().Write(batch_.Take(flush)); }

void PutSender::AskToFlush() {
  const bool pending = window_.flush_pending();
  window_.FlushAsked();
  if (!batch_.empty()) return SendBatch(/*flush=*/true);
  if (pending) return;
  v1::PutTensorRequest request;
  request.set_flush(true);
  call_.raw().Write(wire::MakeFrame(request, {}));
}

absl::StatusOr<bool> PutSender::AwaitRoom(uint64_t bytes) {
  const uint64_t window = call_.options().window_bytes;
  while (true) {
    CAIRN_RETURN_IF_ERROR(call_.Check());  // One entry may be all there is, and take minutes.
    CAIRN_ASSIGN_OR_RETURN(const bool same_call, TakeAnswersAndReconnect());
    if (!same_call) return false;
    if (!window_.HasRoom(bytes)) {
      AskToFlush();
      call_.raw().AwaitMessage();
      continue;
    }
    const uint64_t queued = call_.raw().queued_bytes();
    if (queued == 0 || queued + bytes <= window) return true;
    // Down to half of it: waking up for the room of each message costs more than sending a small one.
    call_.raw().AwaitQueuedAtMost(std::min(window / 2, window - std::min(bytes, window)));
  }
}

absl::StatusOr<bool> PutSender::TakeAnswersAndReconnect() {
  CAIRN_RETURN_IF_ERROR(TakeAnswers());
  const std::optional<absl::Status> end = call_.raw().Ended();
  if (!end.has_value()) return true;
  CAIRN_RETURN_IF_ERROR(
      Connect(end->ok() ? absl::InternalError("the daemon ended the stream before it was finished") : *end));
  counters_.Change([](PutProgress& progress) { ++progress.reconnects; });
  return false;
}

absl::Status PutSender::TakeAnswers() {
  while (std::optional<grpc::ByteBuffer> message = call_.raw().TakeMessage()) {
    v1::PutTensorResponse answer;
    std::vector<Buffer> none;
    if (absl::Status status = wire::ParseFrame(*message, kMaxAnswerBytes, &answer, &none); !status.ok()) {
      return BadAnswer(status);
    }
    CAIRN_ASSIGN_OR_RETURN(const uint64_t more, window_.Acknowledge(answer));
    Moved(more);
  }
  return absl::OkStatus();
}

void PutSender::Moved(uint64_t durable_bytes) {
  if (durable_bytes == 0) return;
  call_.Succeeded();
  refused_offsets_ = 0;
}

absl::Status PutSender::Connect(absl::Status failure) {
  while (true) {
    if (!failure.ok()) {
      const bool refused = deltas_.Refused(failure, window_);
      // The daemon may still have been busy with the call that broke when it said how far it was.
      if (GetErrorInfo(failure).reason == kResumeOffset && ++refused_offsets_ <= kMaxRefusedOffsets) {
        failure = absl::UnavailableError(failure.message());
      }
      if (!refused) CAIRN_RETURN_IF_ERROR(call_.AwaitRetry(failure));
    }
    absl::StatusOr<SavedShards> saved =
        SavedShards::Load(*stub_, spec_, {call_.options().call_timeout, [this] { return call_.cancelled(); }});
    failure = saved.status();
    if (!failure.ok()) continue;
    saved_ = *std::move(saved);
    CAIRN_ASSIGN_OR_RETURN(const uint64_t more, window_.Restart(saved_));
    Moved(more);
    BeginCall();
    return absl::OkStatus();
  }
}

void PutSender::BeginCall() {
  batch_.Clear();
  std::unique_ptr<RawStream> fresh = stub_->PutTensor(kMaxAnswerBytes, call_.cancel_check());
  v1::PutTensorRequest open;
  open.mutable_open()->set_session_id(spec_.session_id);
  open.mutable_open()->set_writer(spec_.writer);
  fresh->Write(wire::MakeFrame(open, {}));
  call_.Replace(std::move(fresh));
}

}  // namespace cairn::client
