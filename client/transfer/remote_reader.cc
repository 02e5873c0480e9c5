#include "client/transfer/remote_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace cairn::transfer {
namespace {

// What one request may name; servers refuse messages of more than 4 MiB.
constexpr size_t kPathBytesPerStream = 1u << 20;
constexpr size_t kPathOverhead = 16;

}  // namespace

absl::StatusOr<std::unique_ptr<RemoteReader>> RemoteReader::Open(client::Client client,
                                                                 const std::string& ref,
                                                                 std::optional<Dtype> float_dtype) {
  CAIRN_ASSIGN_OR_RETURN(client::CheckpointInfo checkpoint, client.GetCheckpoint(ref));
  client::ListEntriesSpec spec;
  spec.ref = checkpoint.UidRef();
  CAIRN_ASSIGN_OR_RETURN(std::vector<client::EntryInfo> entries, client.ListEntries(spec));
  auto reader =
      std::unique_ptr<RemoteReader>(new RemoteReader(std::move(client), std::move(checkpoint), float_dtype));
  reader->index_.metadata = reader->checkpoint_.metadata;
  reader->index_.entries.reserve(entries.size());
  for (client::EntryInfo& info : entries) {
    Entry entry = std::move(info.entry);
    const bool cast = entry.kind == EntryKind::kTensor && float_dtype.has_value() && IsFloat(entry.dtype) &&
                      entry.dtype != *float_dtype;
    reader->cast_.push_back(cast);
    reader->digests_.push_back(cast ? "" : std::move(info.digest));
    if (cast) {
      entry.dtype = *float_dtype;
      CAIRN_ASSIGN_OR_RETURN(entry.byte_size, ByteSize(entry.dtype, entry.shape));
    }
    reader->index_.entries.push_back(std::move(entry));
  }
  return reader;
}

absl::Status RemoteReader::WillRead(absl::Span<const EntryRange> ranges) {
  received_ = bytes_received();
  stream_.reset();
  current_.reset();
  streaming_.clear();
  announced_.clear();
  for (const EntryRange& range : ranges) announced_.push_back(range.entry);
  return absl::OkStatus();
}

absl::Status RemoteReader::ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) {
  const Entry& wanted = index_.entries[entry];
  if (offset > wanted.byte_size || dst.size() > wanted.byte_size - offset) {
    return absl::OutOfRangeError(absl::StrCat("entry \"", wanted.path.ToString(), "\": bytes [", offset, ", ",
                                              offset, "+", dst.size(), ") of ", wanted.byte_size));
  }
  if (dst.empty()) return absl::OkStatus();
  CAIRN_RETURN_IF_ERROR(Seek(entry, offset));
  CAIRN_RETURN_IF_ERROR(Take(offset - position_, nullptr));
  return Take(dst.size(), dst.data());
}

absl::Status RemoteReader::Seek(size_t entry, uint64_t offset) {
  if (current_ == entry && position_ <= offset) return absl::OkStatus();

  // Ahead in what the stream will send, or in what it has not been asked for yet.
  if (auto ahead = std::find(streaming_.begin(), streaming_.end(), entry); ahead != streaming_.end()) {
    while (current_ != entry) CAIRN_RETURN_IF_ERROR(NextEntry());
    return absl::OkStatus();
  }
  if (auto ahead = std::find(announced_.begin(), announced_.end(), entry); ahead != announced_.end()) {
    announced_.erase(announced_.begin(), ahead);
    std::vector<size_t> batch;
    size_t bytes = 0;
    while (!announced_.empty() && bytes < kPathBytesPerStream) {
      batch.push_back(announced_.front());
      bytes += index_.entries[announced_.front()].path.ToString().size() + kPathOverhead;
      announced_.pop_front();
    }
    CAIRN_RETURN_IF_ERROR(OpenStream(batch));
    return NextEntry();
  }

  // Somewhere else: what was asked for is given up, and announced again for whoever comes back to it.
  announced_.insert(announced_.begin(), streaming_.begin(), streaming_.end());
  CAIRN_RETURN_IF_ERROR(OpenStream({entry}));
  return NextEntry();
}

absl::Status RemoteReader::OpenStream(absl::Span<const size_t> entries) {
  client::GetSpec spec;
  spec.ref = checkpoint_.UidRef();
  spec.float_dtype = float_dtype_;
  spec.have_ref = have_ref_;
  spec.held = held_;
  for (const size_t entry : entries) spec.paths.push_back(index_.entries[entry].path);
  received_ = bytes_received();
  stream_.reset();
  current_.reset();
  streaming_.assign(entries.begin(), entries.end());
  CAIRN_ASSIGN_OR_RETURN(stream_, client_.Load(spec));
  return absl::OkStatus();
}

absl::Status RemoteReader::NextEntry() {
  const size_t expected = streaming_.front();
  streaming_.pop_front();
  current_.reset();
  chunk_ = {};
  piece_ = piece_offset_ = 0;
  const Entry& wanted = index_.entries[expected];
  CAIRN_ASSIGN_OR_RETURN(const std::optional<client::GetEntry> sent, stream_->Next());
  if (!sent.has_value() || sent->entry.path != wanted.path || sent->entry.dtype != wanted.dtype ||
      sent->bytes != wanted.byte_size) {
    return absl::InternalError(absl::StrCat(
        checkpoint_.ShownRef(), ": asked for \"", wanted.path.ToString(), "\" (", DtypeName(wanted.dtype),
        ", ", wanted.byte_size, " bytes), the server sent ",
        sent.has_value() ? absl::StrCat("\"", sent->entry.path.ToString(), "\" (",
                                        DtypeName(sent->entry.dtype), ", ", sent->bytes, " bytes)")
                         : std::string("nothing more")));
  }
  current_ = expected;
  position_ = 0;
  return absl::OkStatus();
}

absl::Status RemoteReader::Take(uint64_t length, char* dst) {
  while (length > 0) {
    if (piece_ == chunk_.pieces.size()) {
      CAIRN_ASSIGN_OR_RETURN(chunk_, stream_->ReadChunk());
      piece_ = piece_offset_ = 0;
      if (chunk_.empty()) {
        return absl::DataLossError(
            absl::StrCat(checkpoint_.ShownRef(), ": entry \"", index_.entries[*current_].path.ToString(),
                         "\" ended at ", position_, " of ", index_.entries[*current_].byte_size, " bytes"));
      }
    }
    const Buffer& piece = chunk_.pieces[piece_];
    const uint64_t taken = std::min<uint64_t>(length, piece.size() - piece_offset_);
    if (dst != nullptr) {
      std::memcpy(dst, piece.data() + piece_offset_, taken);
      dst += taken;
    }
    length -= taken;
    position_ += taken;
    piece_offset_ += taken;
    if (piece_offset_ == piece.size()) {
      ++piece_;
      piece_offset_ = 0;
    }
  }
  return absl::OkStatus();
}

}  // namespace cairn::transfer
