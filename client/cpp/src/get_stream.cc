#include "client/cpp/src/get_stream.h"

#include <atomic>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cpp/src/file_reads.h"
#include "client/cpp/src/from_proto.h"
#include "client/cpp/src/get_answer.h"
#include "client/cpp/src/get_deltas.h"
#include "client/cpp/src/stream_call.h"
#include "common/base/crc32c.h"
#include "common/base/pages_ahead.h"
#include "common/base/status_macros.h"
#include "common/base/stream_copy.h"
#include "proto/wire/frame.h"
#include "proto/wire/proto_convert.h"

namespace cairn::client {
namespace {

constexpr uint64_t kMaxHeaderBytes = 4 << 20;
// Entries from this size on do not stay in a cache anyway: they are copied past it.
constexpr uint64_t kStreamFrom = 4 << 20;
// Entries whose base was another than the daemon's, each of which costs a call and what was on its way. Who has the wrong
// base in so many has it in all.
constexpr int kMaxMisfits = 4;

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
  request.set_have_ref(spec.have_ref);
  return request;
}

class GrpcGetStream final : public GetStream {
 public:
  GrpcGetStream(std::shared_ptr<Stub> stub, const Options& options, const std::string& target, const GetSpec& spec)
      : stub_(std::move(stub)),
        request_(ToProto(spec)),
        in_place_(!spec.have_ref.empty() && spec.held == nullptr),
        have_was_there_(absl::StartsWith(spec.have_ref, "uid:")),
        target_(target),
        take_files_(options.take_files && spec.have_ref.empty()),
        call_(options, target, spec.ref),
        deltas_(spec.held) {}

  absl::Status Open() {
    BeginCall();
    while (!answer_.has_header()) CAIRN_RETURN_IF_ERROR(call_.Sticky(ReadMessage()));
    // What the ref means now is what the caller has, whatever it will mean when the call has to be made again.
    if (!answer_.have_uid().empty()) {
      have_ref_ = absl::StrCat("uid:", answer_.have_uid());
      have_was_there_ = true;
    }
    request_.set_have_ref(have_ref_);
    return absl::OkStatus();
  }

  const CheckpointInfo& checkpoint() const override { return answer_.checkpoint(); }
  uint64_t entries() const override { return answer_.entries(); }
  uint64_t total_bytes() const override { return answer_.total_bytes(); }
  uint64_t bytes_done() const override { return bytes_done_.load(std::memory_order_relaxed); }
  uint64_t bytes_received() const override { return bytes_received_.load(std::memory_order_relaxed); }

  absl::StatusOr<std::optional<GetEntry>> Next() override {
    while (true) {
      CAIRN_RETURN_IF_ERROR(call_.Check());
      if (answer_.has_started()) {
        std::optional<GetEntry> next = answer_.TakeStarted();
        if (!have_ref_.empty()) entry_ = *next;
        return next;
      }
      CAIRN_ASSIGN_OR_RETURN(const GetAnswer::Chunk skipped, NextChunk());
      if (skipped.is_file()) {
        bytes_done_.fetch_add(skipped.size(), std::memory_order_relaxed);
        continue;
      }
      if (!skipped.pieces.empty()) {
        // A delta that is skipped needs no base, and what it makes is not looked at.
        CAIRN_RETURN_IF_ERROR(Accept(skipped, skipped.is_delta() ? skipped.crc32c : CrcOf(skipped)));
        continue;
      }
      if (answer_.complete()) return std::optional<GetEntry>();
      AskForDeltasAgain();
      CAIRN_RETURN_IF_ERROR(call_.Sticky(ReadMessage()));
    }
  }

  absl::StatusOr<GetChunk> ReadChunk() override {
    while (true) {
      CAIRN_ASSIGN_OR_RETURN(GetAnswer::Chunk chunk, NextChunk());
      if (chunk.is_file()) {
        Buffer bytes = files_ == nullptr ? Buffer() : files_->Read(chunk);
        if (bytes.empty()) {
          AskForBytes(chunk);
          continue;
        }
        bytes_done_.fetch_add(bytes.size(), std::memory_order_relaxed);
        return GetChunk{chunk.offset, {std::move(bytes)}};
      }
      if (!chunk.is_delta()) {
        CAIRN_RETURN_IF_ERROR(Accept(chunk, CrcOf(chunk)));
        return GetChunk{chunk.offset, std::move(chunk.pieces)};
      }
      CAIRN_ASSIGN_OR_RETURN(const GetDeltas::Undone undone, Undo(chunk, {}));
      if (!undone.base_fits) continue;
      CAIRN_RETURN_IF_ERROR(Accept(chunk, Crc32c(undone.bytes)));
      return GetChunk{chunk.offset, {Buffer::FromString(std::string(undone.bytes))}};
    }
  }

  absl::Status ReadInto(absl::Span<char> dst) override {
    CAIRN_RETURN_IF_ERROR(call_.Check());
    if (dst.size() != answer_.entry_bytes()) {
      return absl::InvalidArgumentError(absl::StrCat(answer_.ShownEntry(), " has ", answer_.entry_bytes(),
                                                     " bytes, but the buffer for it has ", dst.size()));
    }
    std::optional<PagesAhead> ahead;
    if (!in_place_) ahead.emplace(dst);
    uint64_t filled = 0;
    while (true) {
      CAIRN_ASSIGN_OR_RETURN(const GetAnswer::Chunk chunk, NextChunk());
      if (chunk.empty()) break;
      if (chunk.offset != filled) {
        return absl::FailedPreconditionError(
            absl::StrCat(answer_.ShownEntry(), ": ", chunk.offset, " bytes were read already"));
      }
      const absl::Span<char> to = dst.subspan(filled, chunk.size());
      if (chunk.is_file()) {
        if (files_ == nullptr || !files_->Fill(chunk, to)) {
          AskForBytes(chunk);
          continue;
        }
        bytes_done_.fetch_add(chunk.size(), std::memory_order_relaxed);
      } else if (chunk.is_delta()) {
        CAIRN_ASSIGN_OR_RETURN(const GetDeltas::Undone undone, Undo(chunk, in_place_ ? to : absl::Span<char>()));
        if (!undone.base_fits) continue;
        CAIRN_RETURN_IF_ERROR(Accept(chunk, Crc32c(undone.bytes)));
        if (undone.bytes.data() != to.data()) std::memcpy(to.data(), undone.bytes.data(), to.size());
      } else {
        CAIRN_RETURN_IF_ERROR(CopyInto(chunk, to, dst.size() >= kStreamFrom));
      }
      filled += chunk.size();
    }
    if (filled == dst.size()) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(answer_.ShownEntry(), " was read already"));
  }

  void Cancel() override { call_.Cancel(); }

 private:
  // The next bytes of the entry, not yet checked; none at its end.
  absl::StatusOr<GetAnswer::Chunk> NextChunk() {
    while (true) {
      CAIRN_RETURN_IF_ERROR(call_.Check());
      if (answer_.has_chunk()) return answer_.TakeChunk();
      if (!answer_.in_entry()) return GetAnswer::Chunk();
      CAIRN_RETURN_IF_ERROR(call_.Sticky(ReadMessage()));
    }
  }

  absl::Status Accept(const GetAnswer::Chunk& chunk, uint32_t crc) {
    CAIRN_RETURN_IF_ERROR(call_.Sticky(answer_.CheckChunk(chunk.offset, chunk.crc32c, crc)));
    bytes_done_.fetch_add(chunk.size(), std::memory_order_relaxed);
    return absl::OkStatus();
  }

  static uint32_t CrcOf(const GetAnswer::Chunk& chunk) {
    uint32_t crc = 0;
    for (const Buffer& piece : chunk.pieces) crc = ExtendCrc32c(crc, piece.bytes());
    return crc;
  }

  absl::Status CopyInto(const GetAnswer::Chunk& chunk, absl::Span<char> to, bool large) {
    // What is in `to` is worth something if it is the base of deltas: then nothing unchecked goes over it.
    if (in_place_) CAIRN_RETURN_IF_ERROR(call_.Sticky(answer_.CheckChunk(chunk.offset, chunk.crc32c, CrcOf(chunk))));
    uint32_t crc = 0;
    uint64_t filled = 0;
    for (const Buffer& piece : chunk.pieces) {
      if (large) {
        crc = StreamCopyCrc32c(to.data() + filled, crc, piece.bytes());
      } else {
        crc = ExtendCrc32c(crc, piece.bytes());
        std::memcpy(to.data() + filled, piece.data(), piece.size());
      }
      filled += piece.size();
    }
    return Accept(chunk, crc);
  }

  // Asks for the rest of the entry as bytes, if the base is another than the daemon's.
  absl::StatusOr<GetDeltas::Undone> Undo(const GetAnswer::Chunk& chunk, absl::Span<const char> in_place) {
    absl::StatusOr<GetDeltas::Undone> undone = deltas_.Undo(chunk, entry_, in_place);
    if (!undone.ok()) {
      return call_.Sticky(absl::IsDataLoss(undone.status()) ? answer_.BadDelta(chunk.offset, undone.status()) : undone.status());
    }
    if (!undone->base_fits) {
      answer_.Unread(chunk);
      request_.clear_have_ref();
      deltas_paused_ = ++misfits_ < kMaxMisfits;
      answer_.Resume(&request_);
      BeginCall();
    }
    return undone;
  }

  // At the end of an entry that had another base: the ones after it may have the right one.
  void AskForDeltasAgain() {
    if (answer_.in_entry() || !std::exchange(deltas_paused_, false)) return;
    request_.set_have_ref(have_ref_);
    answer_.Resume(&request_);
    BeginCall();
  }

  // From the chunk on, which cannot be read from files: the daemon says what is wrong, if anything is.
  void AskForBytes(const GetAnswer::Chunk& chunk) {
    answer_.Unread(chunk);
    take_files_ = false;
    answer_.Resume(&request_);
    BeginCall();
  }

  // Takes the next message into answer_, over as many connections as it takes. A message is read only when nothing
  // is left of the one before, so that what is in answer_ belongs to one entry.
  absl::Status ReadMessage() {
    while (true) {
      call_.raw().AwaitMessage();
      if (std::optional<grpc::ByteBuffer> message = call_.raw().TakeMessage()) {
        v1::GetTensorResponse parsed;
        std::vector<Buffer> pieces;
        if (absl::Status status = wire::ParseFrame(*message, kMaxHeaderBytes, &parsed, &pieces); !status.ok()) {
          return BadAnswer(status);
        }
        bytes_received_.fetch_add(TotalSize(pieces), std::memory_order_relaxed);
        CAIRN_RETURN_IF_ERROR(answer_.Take(parsed, std::move(pieces)));
        call_.Succeeded();
        return absl::OkStatus();
      }
      const std::optional<absl::Status> end = call_.raw().Ended();
      if (!end.has_value()) continue;
      if (end->ok()) return answer_.Truncated();
      // What the caller has may have been deleted meanwhile: that is no reason to stop.
      const bool base_is_gone = absl::IsNotFound(*end) && have_was_there_ && !request_.have_ref().empty();
      if (base_is_gone) {
        request_.clear_have_ref();
        deltas_paused_ = false;
      } else {
        CAIRN_RETURN_IF_ERROR(call_.AwaitRetry(*end));
      }
      if (answer_.Resume(&request_)) return absl::OkStatus();
      BeginCall();
    }
  }

  void BeginCall() {
    files_ = take_files_ ? FileReads::Connect(target_) : nullptr;
    request_.set_file_ticket(files_ == nullptr ? "" : files_->ticket());
    call_.Replace(stub_->GetTensor(request_, call_.options().window_bytes, call_.cancel_check()));
  }

  const std::shared_ptr<Stub> stub_;
  v1::GetTensorRequest request_;
  const bool in_place_;  // What ReadInto fills is the base of deltas.
  bool have_was_there_;  // Whoever knows its uid has seen it.
  const std::string target_;
  bool take_files_;
  std::unique_ptr<FileReads> files_;  // Of the call that is open. Null: all bytes are sent.
  StreamCall call_;
  GetAnswer answer_;
  std::atomic<uint64_t> bytes_done_{0};
  std::atomic<uint64_t> bytes_received_{0};

  GetDeltas deltas_;
  std::string have_ref_;        // By uid; empty: no deltas come.
  GetEntry entry_;              // What the stream is at, where deltas may come.
  bool deltas_paused_ = false;  // For the rest of an entry.
  int misfits_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GetStream>> OpenGetStream(std::shared_ptr<Stub> stub, const Options& options,
                                                         const std::string& target, const GetSpec& spec) {
  auto stream = std::make_unique<GrpcGetStream>(std::move(stub), options, target, spec);
  CAIRN_RETURN_IF_ERROR(stream->Open());
  return stream;
}

}  // namespace cairn::client
