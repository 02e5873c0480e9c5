#include "client/cpp/src/get_stream.h"

#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/from_proto.h"
#include "client/cpp/src/get_answer.h"
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

class GrpcGetStream final : public GetStream {
 public:
  GrpcGetStream(std::shared_ptr<Stub> stub, const Options& options, const std::string& target, const GetSpec& spec)
      : stub_(std::move(stub)), request_(ToProto(spec)), call_(options, target, spec.ref) {}

  absl::Status Open() {
    BeginCall();
    while (!answer_.has_header()) CAIRN_RETURN_IF_ERROR(call_.Sticky(ReadMessage()));
    return absl::OkStatus();
  }

  const CheckpointInfo& checkpoint() const override { return answer_.checkpoint(); }
  uint64_t entries() const override { return answer_.entries(); }
  uint64_t total_bytes() const override { return answer_.total_bytes(); }
  uint64_t bytes_done() const override { return bytes_done_.load(std::memory_order_relaxed); }

  absl::StatusOr<std::optional<GetEntry>> Next() override {
    while (true) {
      CAIRN_RETURN_IF_ERROR(call_.Check());
      if (answer_.has_started()) return answer_.TakeStarted();
      CAIRN_ASSIGN_OR_RETURN(const GetChunk skipped, ReadChunk());
      if (!skipped.empty()) continue;
      if (answer_.complete()) return std::optional<GetEntry>();
      CAIRN_RETURN_IF_ERROR(call_.Sticky(ReadMessage()));
    }
  }

  absl::StatusOr<GetChunk> ReadChunk() override {
    CAIRN_ASSIGN_OR_RETURN(GetAnswer::Chunk chunk, NextChunk());
    uint32_t crc = 0;
    for (const Buffer& piece : chunk.pieces) crc = ExtendCrc32c(crc, piece.bytes());
    CAIRN_RETURN_IF_ERROR(Accept(chunk, crc));
    return GetChunk{chunk.offset, std::move(chunk.pieces)};
  }

  absl::Status ReadInto(absl::Span<char> dst) override {
    CAIRN_RETURN_IF_ERROR(call_.Check());
    if (dst.size() != answer_.entry_bytes()) {
      return absl::InvalidArgumentError(absl::StrCat(answer_.ShownEntry(), " has ", answer_.entry_bytes(),
                                                     " bytes, but the buffer for it has ", dst.size()));
    }
    const PagesAhead ahead(dst);
    uint64_t filled = 0;
    while (true) {
      CAIRN_ASSIGN_OR_RETURN(const GetAnswer::Chunk chunk, NextChunk());
      if (chunk.pieces.empty()) break;
      if (chunk.offset != filled) {
        return absl::FailedPreconditionError(
            absl::StrCat(answer_.ShownEntry(), ": ", chunk.offset, " bytes were read already"));
      }
      uint32_t crc = 0;
      for (const Buffer& piece : chunk.pieces) {
        char* const to = dst.data() + filled;
        if (dst.size() >= kStreamFrom) {
          crc = StreamCopyCrc32c(to, crc, piece.bytes());
        } else {
          crc = ExtendCrc32c(crc, piece.bytes());
          std::memcpy(to, piece.data(), piece.size());
        }
        filled += piece.size();
      }
      CAIRN_RETURN_IF_ERROR(Accept(chunk, crc));
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
    bytes_done_.fetch_add(TotalSize(chunk.pieces), std::memory_order_relaxed);
    return absl::OkStatus();
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
        CAIRN_RETURN_IF_ERROR(answer_.Take(parsed, std::move(pieces)));
        call_.Succeeded();
        return absl::OkStatus();
      }
      const std::optional<absl::Status> end = call_.raw().Ended();
      if (!end.has_value()) continue;
      if (end->ok()) return answer_.Truncated();
      CAIRN_RETURN_IF_ERROR(call_.AwaitRetry(*end));
      if (answer_.Resume(&request_)) return absl::OkStatus();
      BeginCall();
    }
  }

  void BeginCall() {
    call_.Replace(stub_->GetTensor(request_, call_.options().window_bytes, call_.cancel_check()));
  }

  const std::shared_ptr<Stub> stub_;
  v1::GetTensorRequest request_;
  StreamCall call_;
  GetAnswer answer_;
  std::atomic<uint64_t> bytes_done_{0};
};

}  // namespace

absl::StatusOr<std::unique_ptr<GetStream>> OpenGetStream(std::shared_ptr<Stub> stub, const Options& options,
                                                         const std::string& target, const GetSpec& spec) {
  auto stream = std::make_unique<GrpcGetStream>(std::move(stub), options, target, spec);
  CAIRN_RETURN_IF_ERROR(stream->Open());
  return stream;
}

}  // namespace cairn::client
