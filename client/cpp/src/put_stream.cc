#include "client/cpp/src/put_stream.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/entry_appender.h"
#include "client/cpp/src/put_sender.h"
#include "client/cpp/src/retry.h"
#include "common/base/status_macros.h"

namespace cairn::client {
namespace {

// Everything but Cancel() and progress() runs in the caller's thread: it fills the window, looks at what the daemon
// has answered whenever it would wait anyway, and makes the connection again when it finds it broken.
class GrpcPutStream final : public PutStream {
 public:
  GrpcPutStream(std::shared_ptr<Stub> stub, const Options& options, const std::string& target, const PutSpec& spec)
      : sender_(std::move(stub), options, target, spec),
        call_(sender_.call()),
        pushed_(&sender_.window(), sender_.chunk_bytes()) {}

  absl::Status Open() { return call_.Sticky(sender_.Open()); }

  absl::Status Put(Entry entry, std::optional<Box> box, std::shared_ptr<EntryBytes> bytes) override {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<UploadEntry> upload,
                           NewEntry(std::move(entry), std::move(box), std::move(bytes)));
    if (upload->pushed() && upload->total() > 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(upload->ShownName(), " has ", upload->total(), " bytes, but no source for them was given"));
    }
    upload->complete = true;
    return call_.Sticky(sender_.Enqueue(std::move(upload)));
  }

  absl::Status Start(Entry entry, std::optional<Box> box) override {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<UploadEntry> upload, NewEntry(std::move(entry), std::move(box), nullptr));
    pushed_.Begin(upload.get());
    return call_.Sticky(sender_.Enqueue(std::move(upload)));
  }

  absl::Status Append(Buffer bytes) override {
    CAIRN_RETURN_IF_ERROR(call_.Check());
    CAIRN_ASSIGN_OR_RETURN(const bool more, pushed_.Append(std::move(bytes)));
    return more ? call_.Sticky(sender_.SendAndAwaitRetention()) : absl::OkStatus();
  }

  absl::Status FinishEntry() override {
    CAIRN_RETURN_IF_ERROR(call_.Check());
    CAIRN_RETURN_IF_ERROR(pushed_.Finish());
    return call_.Sticky(sender_.SendAndAwaitRetention());
  }

  absl::Status Flush() override {
    CAIRN_RETURN_IF_ERROR(call_.Check());
    return call_.Sticky(sender_.AwaitDurable());
  }

  absl::Status Finish() override {
    CAIRN_RETURN_IF_ERROR(CheckNoneIsPushed());
    CAIRN_RETURN_IF_ERROR(call_.Sticky(sender_.AwaitDurable()));
    CAIRN_RETURN_IF_ERROR(call_.Sticky(sender_.End()));
    call_.Close(absl::FailedPreconditionError("the stream is finished"));
    return absl::OkStatus();
  }

  void Cancel() override { call_.Cancel(); }
  PutProgress progress() const override { return sender_.progress(); }

 private:
  absl::Status CheckNoneIsPushed() {
    CAIRN_RETURN_IF_ERROR(call_.Check());
    if (pushed_.entry() == nullptr) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(pushed_.entry()->ShownName(), " is not finished"));
  }

  absl::StatusOr<std::unique_ptr<UploadEntry>> NewEntry(Entry entry, std::optional<Box> box,
                                                        std::shared_ptr<EntryBytes> bytes) {
    CAIRN_RETURN_IF_ERROR(CheckNoneIsPushed());
    return UploadEntry::Make(std::move(entry), std::move(box), std::move(bytes));
  }

  PutSender sender_;
  StreamCall& call_;
  EntryAppender pushed_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<PutStream>> OpenPutStream(std::shared_ptr<Stub> stub, const Options& options,
                                                         const std::string& target, const PutSpec& spec) {
  auto stream = std::make_unique<GrpcPutStream>(std::move(stub), options, target, spec);
  CAIRN_RETURN_IF_ERROR(stream->Open());
  return stream;
}

}  // namespace cairn::client
