#include "client/cpp/src/import_call.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/from_proto.h"
#include "common/base/error_info.h"
#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "proto/wire/frame.h"

namespace cairn::client {
namespace {

constexpr char kResumeOffset[] = "RESUME_OFFSET";
constexpr int kMaxRefusedOffsets = 8;

constexpr uint64_t kMaxAnswerBytes = 4 << 20;
constexpr uint64_t kReadAhead = 1 << 20;
// What a daemon may ask for before we take it for a broken one.
constexpr size_t kMaxReads = 16 << 10;
constexpr uint32_t kMaxReadBytes = 64 << 20;
constexpr uint32_t kBlockBytes = 1 << 20;  // The daemon's chunks, unless somebody has set them larger.

}  // namespace

ImportCall::ImportCall(Stub& stub, const Options& options, v1::ImportRequest open, ImportSource& files, const ConvertCallback& progress)
    : stub_(stub),
      options_(options),
      open_(std::move(open)),
      files_(files),
      progress_(progress),
      blocks_(kBlockBytes, std::max<uint64_t>(2, options.window_bytes / kBlockBytes)) {}

absl::Status ImportCall::Attempt(CancelCheck cancelled, Retry& retry) {
  const std::unique_ptr<RawStream> stream = stub_.Import(kReadAhead, cancelled);
  reads_.clear();
  done_ = false;
  stream->Write(wire::MakeFrame(open_, {}));
  while (true) {
    CAIRN_RETURN_IF_ERROR(TakeMessages(*stream, retry));
    if (const std::optional<absl::Status> end = stream->Ended(); end.has_value()) {
      if (end->ok() && !done_) return absl::InternalError("the daemon ended the import before it was done");
      // The call that broke may still have been at work when the daemon looked how far it was.
      if (GetErrorInfo(*end).reason == kResumeOffset && ++refused_offsets_ <= kMaxRefusedOffsets) {
        return absl::UnavailableError(end->message());
      }
      // Once the checkpoint is there, a connection that breaks breaks nothing.
      return done_ && absl::IsUnavailable(*end) ? absl::OkStatus() : ResumeIfIdle(*end);
    }
    if (reads_.empty()) {
      stream->AwaitMessage();
      continue;
    }
    if (cancelled != nullptr && cancelled()) return absl::CancelledError("cancelled by the caller");
    const uint64_t queued = stream->queued_bytes();
    if (queued > 0 && queued + reads_.front().length() > options_.window_bytes) {
      stream->AwaitQueuedAtMost(options_.window_bytes / 2);
      continue;
    }
    CAIRN_RETURN_IF_ERROR(Answer(*stream, reads_.front()));
    reads_.pop_front();
  }
}

absl::Status ImportCall::TakeMessages(RawStream& stream, Retry& retry) {
  while (std::optional<grpc::ByteBuffer> message = stream.TakeMessage()) {
    v1::ImportResponse answer;
    std::vector<Buffer> none;
    if (absl::Status status = wire::ParseFrame(*message, kMaxAnswerBytes, &answer, &none); !status.ok()) return BadAnswer(status);
    for (v1::ImportResponse::Read& read : *answer.mutable_reads()) reads_.push_back(std::move(read));
    if (reads_.size() > kMaxReads) {
      return absl::InternalError(absl::StrCat("the daemon asks for ", reads_.size(), " ranges at once, expected at most ", kMaxReads));
    }
    if (answer.has_progress()) {
      done_ = answer.progress().done();
      result_ = FromProto(answer.progress());
      if (result_.progress.bytes_done > most_done_) {
        retry.Succeeded();
        refused_offsets_ = 0;
      }
      most_done_ = std::max(most_done_, result_.progress.bytes_done);
      if (progress_ != nullptr) progress_(result_.progress);
    }
  }
  return absl::OkStatus();
}

absl::Status ImportCall::Answer(RawStream& stream, const v1::ImportResponse::Read& read) {
  const std::vector<ImportFile>& files = files_.files();
  const uint64_t size = read.file() < files.size() ? files[read.file()].size : 0;
  if (read.offset() > size || read.length() > size - read.offset() || read.length() > kMaxReadBytes || read.length() == 0) {
    return absl::InternalError(absl::StrCat("the daemon asks for bytes [", read.offset(), ", ", read.offset(), "+", read.length(), ") of file ",
                                            read.file(), ", of which there are ", size));
  }
  const std::shared_ptr<char> block =
      read.length() <= kBlockBytes ? blocks_.Take() : std::shared_ptr<char>(new char[read.length()], std::default_delete<char[]>());
  CAIRN_RETURN_IF_ERROR(files_.ReadAt(read.file(), read.offset(), absl::MakeSpan(block.get(), read.length())));
  const Buffer bytes(absl::string_view(block.get(), read.length()), block);
  v1::ImportRequest message;
  message.set_read(read.read());
  message.mutable_chunk()->set_offset(read.offset());
  message.mutable_chunk()->set_crc32c(Crc32c(bytes.bytes()));
  stream.Write(wire::MakeFrame(message, {bytes}));
  return absl::OkStatus();
}

}  // namespace cairn::client
