#include "client/cpp/src/put_stream.h"

#include <algorithm>
#include <deque>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "client/cpp/src/from_proto.h"
#include "client/cpp/src/retry.h"
#include "client/cpp/src/upload_entry.h"
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
constexpr size_t kMaxUnacknowledgedEntries = 16384;
// Pushed buffers below this are gathered, so that many small ones do not make a message of many slices.
constexpr size_t kGatherBelow = 16 << 10;
constexpr int kMaxRefusedOffsets = 8;
constexpr char kResumeOffset[] = "RESUME_OFFSET";

// The payload of a message: as large as wanted and allowed, and so that extents and chunks end together.
uint32_t ChunkBytes(const Options& options, uint32_t max_chunk, uint32_t extent) {
  const uint32_t limit = std::max<uint32_t>(1, std::min(options.chunk_bytes, max_chunk));
  if (limit >= extent) return limit - limit % extent;
  const uint64_t fewest = CeilDiv(extent, limit);
  for (uint64_t parts = fewest; parts < 4 * fewest; ++parts) {
    if (extent % parts == 0) return extent / parts;
  }
  return limit;
}

// Everything but Cancel() and progress() runs in the caller's thread: it fills the window, looks at what the daemon
// has answered whenever it would wait anyway, and makes the connection again when it finds it broken.
class GrpcPutStream final : public PutStream {
 public:
  GrpcPutStream(std::shared_ptr<Stub> stub, const Options& options, const std::string& target, const PutSpec& spec)
      : stub_(std::move(stub)),
        options_(options),
        spec_(spec),
        extent_bytes_(spec.extent_bytes == 0 ? kDefaultChunkBytes : spec.extent_bytes),
        chunk_bytes_(ChunkBytes(options, spec.max_chunk_bytes == 0 ? kDefaultChunkBytes : spec.max_chunk_bytes,
                                extent_bytes_)),
        max_unacknowledged_(std::max<uint64_t>(options.max_unacknowledged_bytes, SmallestLimit())),
        max_retained_(std::max<uint64_t>(options.max_retained_bytes, SmallestLimit())),
        pool_(chunk_bytes_, std::max<uint64_t>(2, options.window_bytes / chunk_bytes_)),
        retry_(options_, target, [this] { return Cancelled(); }) {}

  absl::Status Open() { return Connect(absl::OkStatus()); }

  absl::Status Put(Entry entry, std::optional<Box> box, std::shared_ptr<EntryBytes> bytes) override {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<UploadEntry> upload, NewEntry(entry, std::move(box), std::move(bytes)));
    if (upload->pushed() && upload->total() > 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(upload->ShownName(), " has ", upload->total(), " bytes, but no source for them was given"));
    }
    upload->complete = true;
    return Sticky(Enqueue(std::move(upload)));
  }

  absl::Status Start(Entry entry, std::optional<Box> box) override {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<UploadEntry> upload, NewEntry(entry, std::move(box), nullptr));
    position_ = 0;
    gathered_.clear();
    current_ = upload.get();
    return Sticky(Enqueue(std::move(upload)));
  }

  absl::Status Append(Buffer bytes) override {
    CAIRN_RETURN_IF_ERROR(Check());
    if (current_ == nullptr) return absl::FailedPreconditionError("bytes were appended before an entry was started");
    if (bytes.size() > current_->total() - position_) {
      return absl::OutOfRangeError(absl::StrCat(current_->ShownName(), ": bytes up to ", position_ + bytes.size(),
                                                " were appended, but it has ", current_->total()));
    }
    position_ += bytes.size();
    if (bytes.size() < kGatherBelow) {
      gathered_.append(bytes.data(), bytes.size());
      if (gathered_.size() < chunk_bytes_) return absl::OkStatus();
      PushGathered();
    } else {
      PushGathered();
      PushUpTo(position_, std::move(bytes));
    }
    return Sticky(SendAndAwaitRetention());
  }

  absl::Status FinishEntry() override {
    CAIRN_RETURN_IF_ERROR(Check());
    if (current_ == nullptr) return absl::FailedPreconditionError("no entry was started");
    if (position_ != current_->total()) {
      return absl::InvalidArgumentError(absl::StrCat(current_->ShownName(), ": finished after ", position_, " of ",
                                                     current_->total(), " bytes"));
    }
    PushGathered();
    std::exchange(current_, nullptr)->complete = true;
    if (entries_.back()->finished_earlier) {
      CountDurable();
      entries_.pop_back();
    }
    return Sticky(SendAndAwaitRetention());
  }

  absl::Status Flush() override {
    CAIRN_RETURN_IF_ERROR(Check());
    return Sticky(AwaitDurable());
  }

  absl::Status Finish() override {
    CAIRN_RETURN_IF_ERROR(Check());
    if (current_ != nullptr) {
      return absl::FailedPreconditionError(absl::StrCat(current_->ShownName(), " is not finished"));
    }
    CAIRN_RETURN_IF_ERROR(Sticky(AwaitDurable()));
    raw_->WritesDone();
    std::optional<absl::Status> end;
    while (!(end = raw_->Ended()).has_value()) {
      raw_->AwaitMessage();
      CAIRN_RETURN_IF_ERROR(Sticky(TakeAnswers()));
    }
    status_ = absl::FailedPreconditionError("the stream is finished");
    // Everything is durable: a connection that breaks now breaks nothing.
    return end->ok() || absl::IsUnavailable(*end) ? absl::OkStatus() : Named(*end, spec_.name);
  }

  void Cancel() override {
    cancellation_.Cancel();
    absl::MutexLock lock(&raw_mu_);
    if (raw_ != nullptr) raw_->Cancel();
  }

  PutProgress progress() const override {
    absl::MutexLock lock(&progress_mu_);
    return progress_;
  }

 private:
  // What is still in an unfinished extent cannot be made durable: limits must leave room for it and more.
  uint64_t SmallestLimit() const { return 4 * uint64_t{std::max(extent_bytes_, chunk_bytes_)}; }

  bool Cancelled() const {
    return cancellation_.cancelled() || (options_.cancellation.has_value() && options_.cancellation->cancelled());
  }

  absl::Status Check() {
    if (status_.ok() && Cancelled()) status_ = absl::CancelledError("cancelled by the caller");
    return status_;
  }

  absl::Status Sticky(const absl::Status& status) {
    if (!status.ok() && Check().ok()) status_ = Named(status, spec_.name);
    return status_;
  }

  absl::StatusOr<std::unique_ptr<UploadEntry>> NewEntry(const Entry& entry, std::optional<Box> box,
                                                        std::shared_ptr<EntryBytes> bytes) {
    CAIRN_RETURN_IF_ERROR(Check());
    if (current_ != nullptr) {
      return absl::FailedPreconditionError(absl::StrCat(current_->ShownName(), " is not finished"));
    }
    return UploadEntry::Make(entry, std::move(box), std::move(bytes));
  }

  // Adds an entry to those that are under way, less what the daemon has of it, and sends what can be sent.
  absl::Status Enqueue(std::unique_ptr<UploadEntry> entry) {
    if (auto it = earlier_.find(entry->key()); it != earlier_.end() && entry->total() > 0) {
      CAIRN_ASSIGN_OR_RETURN(const uint64_t more, CatchUp(*entry, it->second));
      earlier_.erase(it);
      absl::MutexLock lock(&progress_mu_);
      progress_.skipped_bytes += more;
    }
    if (entry->finished_earlier && entry->complete) {
      CountDurable();
      return absl::OkStatus();
    }
    entries_.push_back(std::move(entry));
    return Send();
  }

  void PushGathered() {
    if (gathered_.empty()) return;
    std::string bytes;
    std::swap(bytes, gathered_);
    gathered_.reserve(std::min<uint64_t>(chunk_bytes_, current_->total() - position_ + kGatherBelow));
    PushUpTo(position_, Buffer::FromString(std::move(bytes)));
  }

  // The bytes that end at `end`, less those that the daemon has.
  void PushUpTo(uint64_t end, Buffer bytes) {
    if (current_->available() >= end) return;
    const uint64_t fresh = std::min<uint64_t>(bytes.size(), end - current_->available());
    retained_ += fresh;
    current_->Push(bytes.Slice(bytes.size() - fresh, fresh));
  }

  // Bytes of the next message of an entry: a whole chunk, or what is left at the end of it.
  uint64_t NextBytes(const UploadEntry& entry) const {
    const uint64_t whole = chunk_bytes_ - entry.sent % chunk_bytes_;
    const uint64_t have = entry.available() - entry.sent;
    return entry.complete || have >= whole ? std::min(have, whole) : 0;
  }

  absl::Status Send() {
    while (next_ < entries_.size()) {
      const UploadEntry& entry = *entries_[next_];
      const uint64_t bytes = NextBytes(entry);
      if (bytes == 0 && !entry.complete) break;
      CAIRN_ASSIGN_OR_RETURN(const bool same_stream, AwaitRoom(bytes));
      // What comes next is another matter after a connection was made again.
      if (same_stream) CAIRN_RETURN_IF_ERROR(SendPart(*entries_[next_], bytes));
    }
    return absl::OkStatus();
  }

  absl::Status SendPart(UploadEntry& entry, uint64_t bytes) {
    absl::StatusOr<std::vector<Buffer>> pieces = entry.Read(entry.sent, bytes, pool_);
    if (!pieces.ok()) return Annotate(pieces.status(), entry.ShownName());
    v1::PutTensorRequest request;
    if (!entry.declared) {
      entry.declared = true;
      entry.stream_index = declared_++;
      *request.mutable_declare()->mutable_entry() = entry.entry();
      if (entry.box().has_value()) wire::ToProto(*entry.box(), request.mutable_declare()->mutable_box());
      request.mutable_declare()->set_start_offset(entry.sent);
    }
    if (bytes > 0) {
      uint32_t crc = 0;
      for (const Buffer& piece : *pieces) crc = ExtendCrc32c(crc, piece.bytes());
      request.mutable_chunk()->set_offset(entry.sent);
      request.mutable_chunk()->set_crc32c(crc);
      entry.sent += bytes;
      unacknowledged_ += bytes;
    }
    if (entry.complete && entry.sent == entry.total()) {
      request.set_finish(true);
      ++next_;
    }
    // Asked for before the limit is reached, so that the answer comes while the rest of it is being sent. There must
    // be whole extents to make durable: a flush that changes nothing is not answered.
    const uint64_t retained = std::min(retained_, unacknowledged_);
    if (!flushing_ && (unacknowledged_ > max_unacknowledged_ / 4 * 3 || retained > max_retained_ / 4 * 3 ||
                       next_ > kMaxUnacknowledgedEntries / 4 * 3)) {
      request.set_flush(true);
      flushing_ = true;
    }
    raw_->Write(wire::MakeFrame(request, *pieces));
    absl::MutexLock lock(&progress_mu_);
    progress_.sent_bytes += bytes;
    return absl::OkStatus();
  }

  void AskToFlush() {
    if (flushing_) return;
    flushing_ = true;
    v1::PutTensorRequest request;
    request.set_flush(true);
    raw_->Write(wire::MakeFrame(request, {}));
  }

  // Waits until a message of that many bytes may be sent. False if the connection had to be made again.
  absl::StatusOr<bool> AwaitRoom(uint64_t bytes) {
    while (true) {
      CAIRN_ASSIGN_OR_RETURN(const bool same_stream, TakeAnswersAndReconnect());
      if (!same_stream) return false;
      if (unacknowledged_ + bytes > max_unacknowledged_ || next_ >= kMaxUnacknowledgedEntries) {
        AskToFlush();
        raw_->AwaitMessage();
        continue;
      }
      const uint64_t queued = raw_->queued_bytes();
      if (queued == 0 || queued + bytes <= options_.window_bytes) return true;
      raw_->AwaitQueuedAtMost(options_.window_bytes - std::min(bytes, options_.window_bytes));
    }
  }

  absl::Status SendAndAwaitRetention() {
    while (true) {
      CAIRN_RETURN_IF_ERROR(Send());
      CAIRN_ASSIGN_OR_RETURN(const bool same_stream, TakeAnswersAndReconnect());
      if (!same_stream) continue;
      if (retained_ < max_retained_) return absl::OkStatus();
      AskToFlush();
      raw_->AwaitMessage();
    }
  }

  absl::Status AwaitDurable() {
    while (true) {
      CAIRN_RETURN_IF_ERROR(Send());
      CAIRN_ASSIGN_OR_RETURN(const bool same_stream, TakeAnswersAndReconnect());
      if (!same_stream) continue;
      if (entries_.empty() || !entries_.front()->complete) return absl::OkStatus();
      AskToFlush();
      raw_->AwaitMessage();
    }
  }

  // Looks at what has come, without waiting. False if the stream had ended and was made again.
  absl::StatusOr<bool> TakeAnswersAndReconnect() {
    CAIRN_RETURN_IF_ERROR(TakeAnswers());
    const std::optional<absl::Status> end = raw_->Ended();
    if (!end.has_value()) return true;
    CAIRN_RETURN_IF_ERROR(
        Connect(end->ok() ? absl::InternalError("the daemon ended the stream before it was finished") : *end));
    absl::MutexLock lock(&progress_mu_);
    ++progress_.reconnects;
    return false;
  }

  absl::Status TakeAnswers() {
    while (std::optional<grpc::ByteBuffer> message = raw_->TakeMessage()) {
      v1::PutTensorResponse answer;
      std::vector<Buffer> none;
      if (absl::Status status = wire::ParseFrame(*message, kMaxAnswerBytes, &answer, &none); !status.ok()) {
        return BadAnswer(status);
      }
      CAIRN_RETURN_IF_ERROR(Acknowledge(answer));
    }
    return absl::OkStatus();
  }

  absl::Status Acknowledge(const v1::PutTensorResponse& answer) {
    flushing_ = false;
    const uint64_t finished = entries_.empty() ? declared_ : FirstIndex() + next_;
    bool sane = answer.durable_entries() <= finished;
    while (sane && next_ > 0 && entries_.front()->stream_index < answer.durable_entries()) {
      Advance(*entries_.front(), entries_.front()->total());
      CountDurable();
      entries_.pop_front();
      --next_;
    }
    if (sane && !entries_.empty() && entries_.front()->declared &&
        entries_.front()->stream_index == answer.durable_entries()) {
      sane = answer.durable_offset() <= entries_.front()->sent;
      if (sane) Advance(*entries_.front(), answer.durable_offset());
    }
    if (!sane) {
      return absl::InternalError(absl::StrCat("the daemon acknowledged ", answer.durable_entries(), " entries and ",
                                              answer.durable_offset(), " bytes as durable, more than were sent"));
    }
    absl::MutexLock lock(&progress_mu_);
    progress_.deduplicated_bytes += answer.deduplicated_bytes() - std::min(deduplicated_, answer.deduplicated_bytes());
    deduplicated_ = answer.deduplicated_bytes();
    return absl::OkStatus();
  }

  // Entries before next_ have been declared one after the other; the front one is the oldest.
  uint64_t FirstIndex() const { return entries_.front()->declared ? entries_.front()->stream_index : declared_; }

  // Bytes of this stream became durable.
  void Advance(UploadEntry& entry, uint64_t durable) {
    const uint64_t more = SetDurable(entry, durable);
    unacknowledged_ -= more;
    if (entry.pushed()) retained_ -= more;
  }

  uint64_t SetDurable(UploadEntry& entry, uint64_t durable) {
    const uint64_t more = entry.SetDurable(durable);
    if (more == 0) return 0;
    retry_.Succeeded();
    refused_offsets_ = 0;
    absl::MutexLock lock(&progress_mu_);
    progress_.durable_bytes += more;
    return more;
  }

  void CountDurable() {
    absl::MutexLock lock(&progress_mu_);
    ++progress_.durable_entries;
  }

  struct Earlier {
    uint64_t durable_bytes = 0;
    uint64_t total_bytes = 0;
    bool finished = false;
  };

  // What the daemon has of an entry, by its own account. Returns how much that is more than was known.
  absl::StatusOr<uint64_t> CatchUp(UploadEntry& entry, const Earlier& earlier) {
    if (earlier.total_bytes != entry.total()) {
      return absl::FailedPreconditionError(
          absl::StrCat(entry.ShownName(), " has ", entry.total(), " bytes, but was begun in this session with ",
                       earlier.total_bytes, "; abort the session to save something else"));
    }
    if (earlier.durable_bytes < entry.durable() || earlier.durable_bytes > entry.total()) {
      return absl::DataLossError(absl::StrCat(entry.ShownName(), ": ", entry.durable(),
                                              " bytes were acknowledged as durable, but now the daemon has ",
                                              earlier.durable_bytes));
    }
    const uint64_t more = SetDurable(entry, earlier.durable_bytes);
    entry.sent = entry.durable();
    entry.finished_earlier = earlier.finished;
    return more;
  }

  // Makes a stream, the first one or after `failure`.
  absl::Status Connect(absl::Status failure) {
    while (true) {
      if (!failure.ok()) {
        failure = ResumeIfIdle(failure);
        // The daemon may still have been busy with the stream that broke when it said how far it was.
        if (GetErrorInfo(failure).reason == kResumeOffset && ++refused_offsets_ <= kMaxRefusedOffsets) {
          failure = absl::UnavailableError(failure.message());
        }
        CAIRN_RETURN_IF_ERROR(retry_.Pause(failure));
      }
      failure = LoadEarlier();
      if (!failure.ok()) continue;
      CAIRN_RETURN_IF_ERROR(GoBack());
      OpenStream();
      return absl::OkStatus();
    }
  }

  // Asks what the daemon has of this writer.
  absl::Status LoadEarlier() {
    earlier_.clear();
    v1::GetSaveStatusRequest request;
    request.set_session_id(spec_.session_id);
    request.set_writer(spec_.writer);
    do {
      CAIRN_ASSIGN_OR_RETURN(
          const v1::GetSaveStatusResponse answer,
          stub_->GetSaveStatus(request, {options_.call_timeout, [this] { return Cancelled(); }}));
      CAIRN_ASSIGN_OR_RETURN(SaveStatus status, FromProto(answer));
      for (const ShardStatus& shard : status.shards) {
        if (shard.total_bytes == 0) continue;  // Sent again: cheaper than to know what kind of entry it was.
        earlier_[ShardKey(shard.path, shard.box)] = {shard.durable_bytes, shard.total_bytes, shard.finished};
      }
      request.set_page_token(status.next_page_token);
    } while (!request.page_token().empty());
    return absl::OkStatus();
  }

  // Every entry under way begins again behind its last durable byte.
  absl::Status GoBack() {
    next_ = 0;
    declared_ = 0;
    flushing_ = false;
    deduplicated_ = 0;
    std::deque<std::unique_ptr<UploadEntry>> left;
    for (std::unique_ptr<UploadEntry>& entry : entries_) {
      entry->declared = false;
      entry->sent = entry->durable();
      const auto it = earlier_.find(entry->key());
      const Earlier earlier = it == earlier_.end() ? Earlier{0, entry->total(), false} : it->second;
      CAIRN_ASSIGN_OR_RETURN(const uint64_t more, CatchUp(*entry, earlier));
      if (entry->pushed()) retained_ -= std::min(retained_, more);
      if (it != earlier_.end()) earlier_.erase(it);
      if (entry->finished_earlier && entry->complete) {
        CountDurable();
      } else {
        left.push_back(std::move(entry));
      }
    }
    entries_ = std::move(left);
    unacknowledged_ = 0;
    return absl::OkStatus();
  }

  void OpenStream() {
    std::unique_ptr<RawStream> fresh = stub_->PutTensor(
        kMaxAnswerBytes, options_.cancellation.has_value()
                             ? CancelCheck([c = *options_.cancellation] { return c.cancelled(); })
                             : nullptr);
    v1::PutTensorRequest open;
    open.mutable_open()->set_session_id(spec_.session_id);
    open.mutable_open()->set_writer(spec_.writer);
    fresh->Write(wire::MakeFrame(open, {}));
    {
      absl::MutexLock lock(&raw_mu_);
      raw_.swap(fresh);
      if (cancellation_.cancelled()) raw_->Cancel();
    }
  }

  const std::shared_ptr<Stub> stub_;
  const Options options_;
  const PutSpec spec_;
  const uint32_t extent_bytes_;
  const uint32_t chunk_bytes_;
  const uint64_t max_unacknowledged_;
  const uint64_t max_retained_;

  const Cancellation cancellation_;
  BlockPool pool_;
  Retry retry_;
  absl::Status status_;  // Not OK: what every call returns from now on.

  // Replaced by the caller's thread under raw_mu_, for Cancel().
  absl::Mutex raw_mu_;
  std::unique_ptr<RawStream> raw_;

  absl::flat_hash_map<std::string, Earlier> earlier_;  // Of entries that are still to come.
  std::deque<std::unique_ptr<UploadEntry>> entries_;   // Not yet durable, in order.
  size_t next_ = 0;            // Of entries_: the first that is not sent whole on this stream.
  uint64_t declared_ = 0;      // On this stream.
  uint64_t deduplicated_ = 0;  // On this stream.
  bool flushing_ = false;      // Asked for, and no answer came since.
  uint64_t unacknowledged_ = 0;  // Sent on this stream, not durable.
  uint64_t retained_ = 0;        // Pushed, not durable.

  int refused_offsets_ = 0;      // Since something became durable.

  // The last of entries_ while it is being pushed.
  UploadEntry* current_ = nullptr;
  uint64_t position_ = 0;  // Bytes of it that were appended,
  std::string gathered_;   // and the last of them, not yet pushed.

  mutable absl::Mutex progress_mu_;
  PutProgress progress_ ABSL_GUARDED_BY(progress_mu_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<PutStream>> OpenPutStream(std::shared_ptr<Stub> stub, const Options& options,
                                                         const std::string& target, const PutSpec& spec) {
  auto stream = std::make_unique<GrpcPutStream>(std::move(stub), options, target, spec);
  if (absl::Status status = stream->Open(); !status.ok()) return Named(status, spec.name);
  return stream;
}

}  // namespace cairn::client
