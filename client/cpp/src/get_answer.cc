#include "client/cpp/src/get_answer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cpp/src/from_proto.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "common/delta/delta.h"
#include "proto/wire/proto_convert.h"

namespace cairn::client {
namespace {

// Of one message: they are read into memory at once. A daemon's are 8 of 4 MiB at most.
constexpr uint64_t kMaxRangesBytes = 64u << 20;

bool HasBytes(const Entry& entry) { return entry.kind == EntryKind::kTensor || entry.kind == EntryKind::kAsset; }

}  // namespace

std::string GetAnswer::ShownEntry() const { return absl::StrCat("entry \"", path_.ToString(), "\""); }

absl::Status GetAnswer::Broken(absl::string_view what) const {
  return absl::InternalError(
      absl::StrCat("the daemon's answer makes no sense: ", in_entry_ ? ShownEntry() : "it", " ", what));
}

absl::Status GetAnswer::Take(const v1::GetTensorResponse& message, std::vector<Buffer> pieces) {
  if (message.has_header()) CAIRN_RETURN_IF_ERROR(TakeHeader(message.header()));
  if (!has_header_) return Broken("begins without a header");
  if (message.has_start()) CAIRN_RETURN_IF_ERROR(TakeStart(message.start()));
  if (message.has_chunk()) {
    CAIRN_RETURN_IF_ERROR(TakeChunk(message.chunk(), std::move(pieces)));
  } else if (!pieces.empty()) {
    return Broken("has bytes without a chunk");
  }
  if (message.file_chunks_size() > 0) CAIRN_RETURN_IF_ERROR(TakeFileChunks(message));
  if (message.finish() && in_entry_) {
    if (received_ != bytes_) return Broken(absl::StrCat("finished after ", received_, " of ", bytes_, " bytes"));
    EndEntry();
  }
  return absl::OkStatus();
}

std::optional<GetEntry> GetAnswer::TakeStarted() { return std::exchange(started_, std::nullopt); }

GetAnswer::Chunk GetAnswer::TakeChunk() { return std::exchange(chunk_, Chunk()); }

absl::Status GetAnswer::CheckChunk(uint64_t offset, uint32_t expected, uint32_t found) const {
  if (found == expected) return absl::OkStatus();
  const std::string expected_text = absl::StrFormat("%08x", expected), found_text = absl::StrFormat("%08x", found);
  return WithErrorInfo(absl::DataLossError(absl::StrCat(ShownEntry(), ": chunk at offset ", offset, ": crc32c ",
                                                        found_text, ", expected ", expected_text)),
                       {"CHUNK_CHECKSUM",
                        {{"path", path_.ToString()}, {"expected", expected_text}, {"found", found_text}}});
}

absl::Status GetAnswer::BadDelta(uint64_t offset, const absl::Status& why) const {
  return absl::DataLossError(absl::StrCat(ShownEntry(), ": delta at offset ", offset, ": ", why.message()));
}

void GetAnswer::Unread(const Chunk& chunk) {
  if (!in_entry_) {
    in_entry_ = true;
    --index_;
  }
  received_ = chunk.offset;
}

absl::Status GetAnswer::Truncated() const {
  return absl::DataLossError(absl::StrCat("the daemon ended the answer after ", index_, " of ", entries_, " entries",
                                          in_entry_ ? absl::StrCat(", within ", ShownEntry()) : ""));
}

bool GetAnswer::Resume(v1::GetTensorRequest* request) {
  // All bytes are here; only the word that they are all was lost.
  if (in_entry_ && received_ == bytes_) {
    EndEntry();
    if (complete()) return true;
  }
  if (!has_header_) return false;
  request->set_ref(checkpoint_.UidRef());
  request->set_start_entry(index_);
  request->set_start_offset(in_entry_ ? received_ : 0);
  resuming_ = in_entry_;
  return false;
}

absl::Status GetAnswer::TakeHeader(const v1::GetTensorResponse::Header& header) {
  CheckpointInfo checkpoint = FromProto(header.checkpoint());
  have_uid_ = header.have_uid();
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

absl::Status GetAnswer::TakeStart(const v1::GetTensorResponse::Start& start) {
  absl::StatusOr<Entry> entry = wire::FromProto(start.entry());
  if (!entry.ok()) return BadAnswer(entry.status());
  if (in_entry_) {
    const bool goes_on =
        resuming_ && entry->path == path_ && start.bytes() == bytes_ && start.start_offset() == received_;
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

absl::Status GetAnswer::TakeChunk(const v1::Chunk& chunk, std::vector<Buffer> pieces) {
  if (!in_entry_) return Broken("has a chunk of no entry");
  if (chunk.raw_bytes() > 0 && (have_uid_.empty() || pieces.empty() || chunk.raw_bytes() > kMaxDeltaBytes)) {
    return Broken(absl::StrCat("has a delta of ", TotalSize(pieces), " bytes that makes ", chunk.raw_bytes(), " at offset ",
                               chunk.offset(), have_uid_.empty() ? ", but none was asked for" : ""));
  }
  const uint64_t size = chunk.raw_bytes() > 0 ? chunk.raw_bytes() : TotalSize(pieces);
  if (chunk.offset() != received_ || size > bytes_ - received_) {
    return Broken(absl::StrCat("has a chunk at offset ", chunk.offset(), " of ", size, " bytes, expected ", received_,
                               " of ", bytes_));
  }
  // A chunk of no bytes has nothing to give out, but its checksum is a claim like any other.
  if (size == 0) return CheckChunk(received_, chunk.crc32c(), 0);
  chunk_ = {received_, std::move(pieces), {}, chunk.crc32c(), chunk.raw_bytes(), chunk.base_digest()};
  received_ += size;
  return absl::OkStatus();
}

absl::Status GetAnswer::TakeFileChunks(const v1::GetTensorResponse& message) {
  if (!in_entry_) return Broken("has a range of a file of no entry");
  if (message.has_chunk()) return Broken("has bytes and ranges of files at once");
  Chunk chunk;
  chunk.offset = received_;
  uint64_t end = received_;
  for (const v1::GetTensorResponse::FileChunk& range : message.file_chunks()) {
    const absl::StatusOr<Digest> digest = Digest::FromBytes(range.digest());
    if (range.offset() != end || range.bytes() == 0 || range.bytes() > bytes_ - end || !digest.ok()) {
      return Broken(absl::StrCat("has a range of a file for offset ", range.offset(), " of ", range.bytes(), " bytes, expected ", end,
                                 " of ", bytes_, " and a digest"));
    }
    end += range.bytes();
    if (end - received_ > kMaxRangesBytes) return Broken(absl::StrCat("has ranges of files of more than ", kMaxRangesBytes, " bytes in one message"));
    chunk.ranges.push_back({range.bytes(), range.file(), range.file_offset(), *digest});
  }
  chunk_ = std::move(chunk);
  received_ = end;
  return absl::OkStatus();
}

uint64_t GetAnswer::Chunk::size() const {
  if (is_delta()) return raw_bytes;
  uint64_t size = TotalSize(pieces);
  for (const FileRange& range : ranges) size += range.bytes;
  return size;
}

void GetAnswer::EndEntry() {
  in_entry_ = false;
  ++index_;
}

}  // namespace cairn::client
