#include "client/cpp/src/export_call.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/from_proto.h"
#include "common/base/crc32c.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "proto/wire/frame.h"

namespace cairn::client {
namespace {

constexpr uint64_t kMaxHeaderBytes = 4 << 20;
constexpr char kChanged[] = "EXPORT_CHANGED";

}  // namespace

absl::Status ExportCall::Attempt(CancelCheck cancelled, Retry& retry) {
  while (true) {
    const std::unique_ptr<RawStream> stream = stub_.Export(request_, options_.window_bytes, cancelled);
    std::optional<absl::Status> end;
    while (!(end = stream->Ended()).has_value()) {
      stream->AwaitMessage();
      while (std::optional<grpc::ByteBuffer> message = stream->TakeMessage()) {
        // A daemon that is much faster than our disk would otherwise keep us from looking.
        if (cancelled != nullptr && cancelled()) return absl::CancelledError("cancelled by the caller");
        v1::ExportResponse answer;
        std::vector<Buffer> pieces;
        if (absl::Status status = wire::ParseFrame(*message, kMaxHeaderBytes, &answer, &pieces); !status.ok()) return BadAnswer(status);
        const uint64_t before = request_.skip_marks() + request_.skip_bytes();
        CAIRN_RETURN_IF_ERROR(Take(answer, pieces));
        if (request_.skip_marks() + request_.skip_bytes() > before) retry.Succeeded();
      }
    }
    // Once all has come, a connection that breaks breaks nothing.
    if (end->ok() || (done_ && absl::IsUnavailable(*end))) {
      const bool whole = done_ && std::all_of(open_.begin(), open_.end(), [](const File& file) { return file.finished; });
      return whole ? files_.Commit() : absl::InternalError("the daemon ended the export before it was done");
    }
    if (GetErrorInfo(*end).reason != kChanged || (request_.skip_marks() == 0 && request_.skip_bytes() == 0)) return ResumeIfIdle(*end);
    CAIRN_RETURN_IF_ERROR(BeginAnew());
  }
}

absl::Status ExportCall::Take(const v1::ExportResponse& answer, const std::vector<Buffer>& pieces) {
  // Another attempt is about the same checkpoint, whatever becomes of the ref.
  if (answer.has_checkpoint()) {
    checkpoint_ = FromProto(answer.checkpoint());
    request_.mutable_conversion()->mutable_source()->set_ref(absl::StrCat("uid:", answer.checkpoint().uid()));
  }
  if (answer.has_file()) {
    CAIRN_RETURN_IF_ERROR(files_.Begin(answer.file().name()));
    open_.emplace_back();
    request_.set_skip_marks(request_.skip_marks() + 1);
  }
  if (answer.has_chunk()) {
    CAIRN_RETURN_IF_ERROR(TakeChunk(answer, pieces));
  } else if (!pieces.empty()) {
    return absl::InternalError("the daemon sent bytes without saying where they belong");
  }
  if (answer.finish()) {
    CAIRN_RETURN_IF_ERROR(CheckOpen(answer.number()));
    CAIRN_RETURN_IF_ERROR(files_.Finish(answer.number()));
    open_[answer.number()].finished = true;
    request_.set_skip_marks(request_.skip_marks() + 1);
  }
  if (answer.has_progress()) {
    done_ = answer.progress().done();
    result_ = FromProto(answer.progress());
    result_.checkpoint = checkpoint_;
    if (progress_ != nullptr) progress_(result_.progress);
  }
  return absl::OkStatus();
}

absl::Status ExportCall::TakeChunk(const v1::ExportResponse& answer, const std::vector<Buffer>& pieces) {
  CAIRN_RETURN_IF_ERROR(CheckOpen(answer.number()));
  File& file = open_[answer.number()];
  if (answer.chunk().offset() != file.size) {
    return absl::InternalError(absl::StrCat("the daemon sent bytes of file ", answer.number(), " from offset ", answer.chunk().offset(),
                                            " on, expected those from ", file.size));
  }
  uint32_t crc = 0;
  uint32_t all = request_.skip_crc32c();
  for (const Buffer& piece : pieces) {
    crc = ExtendCrc32c(crc, piece.bytes());
    all = ExtendCrc32c(all, piece.bytes());
  }
  if (crc != answer.chunk().crc32c()) {
    return absl::DataLossError(absl::StrCat("file ", answer.number(), " at offset ", file.size, ": crc32c is ", absl::Hex(crc, absl::kZeroPad8), ", the daemon said ",
                                            absl::Hex(answer.chunk().crc32c(), absl::kZeroPad8), "; the bytes were damaged on the way"));
  }
  for (const Buffer& piece : pieces) CAIRN_RETURN_IF_ERROR(files_.Append(answer.number(), piece.bytes()));
  file.size += TotalSize(pieces);
  request_.set_skip_bytes(request_.skip_bytes() + TotalSize(pieces));
  request_.set_skip_crc32c(all);
  return absl::OkStatus();
}

absl::Status ExportCall::CheckOpen(uint32_t number) const {
  if (number < open_.size() && !open_[number].finished) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("the daemon sent something of file ", number, ", which is not open"));
}

absl::Status ExportCall::BeginAnew() {
  CAIRN_RETURN_IF_ERROR(files_.Restart());
  open_.clear();
  done_ = false;
  request_.mutable_conversion()->mutable_source()->set_ref(ref_);
  request_.clear_skip_marks();
  request_.clear_skip_bytes();
  request_.clear_skip_crc32c();
  return absl::OkStatus();
}

}  // namespace cairn::client
