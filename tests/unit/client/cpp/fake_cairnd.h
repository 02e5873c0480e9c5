#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "cairn/v1/checkpoint_service.grpc.pb.h"
#include "common/tensor/checkpoint_index.h"
#include "grpcpp/server.h"

namespace cairn::client {

// One entry of the checkpoint that the fake serves.
struct ServedEntry {
  Entry entry;
  std::string bytes;  // Of tensors and assets.
};

// A daemon without a store, on a socket of its own in this process: it keeps one session and one checkpoint in
// memory, remembers every message, and breaks streams where a test says so. Thread-safe.
class FakeCairnd final : public v1::CheckpointService::Service {
 public:
  // What of an upload becomes durable, and when a stream breaks.
  struct PutScript {
    uint64_t extent_bytes = 64;
    // Answers (and makes whole extents durable) after every so many messages; 0: only when asked to flush.
    int acknowledge_every = 1;
    // Ends the next streams after that many messages each; a negative number, or none left: never.
    std::vector<int> break_after;
    absl::Status break_with = absl::UnavailableError("the fake breaks the stream");
    // What was durable when the stream broke is lost to the client's knowledge: not acknowledged, but kept.
    bool keep_unacknowledged = false;
    // Says once that another offset was durable than GetSaveStatus said.
    int refuse_offsets = 0;
    std::optional<v1::PutTensorResponse> answer_with;  // Instead of the truth.
    bool never_answer = false;
  };
  struct GetScript {
    uint32_t chunk_bytes = 64;
    std::vector<int> break_after;  // As above.
    absl::Status break_with = absl::UnavailableError("the fake breaks the stream");
    bool end_quietly = false;     // Breaks with OK.
    int corrupt_message = -1;     // Flips a bit of the data of that message, counted over all streams.
    bool hang = false;            // After the header, until the call is cancelled.
  };

  struct Shard {
    std::string bytes;         // Received.
    uint64_t durable = 0;
    uint64_t total = 0;
    bool finished = false;
    bool has_box = false;
    v1::Entry entry;
    v1::Box box;
  };

  // Listens on a port of the loopback interface, or on a Unix socket.
  explicit FakeCairnd(const std::string& unix_path = "");
  ~FakeCairnd() override;

  const std::string& target() const { return target_; }
  // As a process that dies and starts again: open streams break, what is durable stays.
  void Restart() ABSL_LOCKS_EXCLUDED(mu_);

  void set_put_script(PutScript script) ABSL_LOCKS_EXCLUDED(mu_);
  void set_get_script(GetScript script) ABSL_LOCKS_EXCLUDED(mu_);
  void Serve(std::vector<ServedEntry> entries) ABSL_LOCKS_EXCLUDED(mu_);
  // The next calls of that method fail so, one after the other; `after` does the work first (a lost answer).
  void FailNext(const std::string& method, std::vector<absl::Status> failures, bool after = false)
      ABSL_LOCKS_EXCLUDED(mu_);

  int calls(const std::string& method) const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<std::string> session_keys() const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<v1::PutTensorRequest> put_messages() const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<v1::GetTensorRequest> get_requests() const ABSL_LOCKS_EXCLUDED(mu_);
  // Bytes that came although they had been acknowledged as durable.
  uint64_t durable_bytes_sent_again() const ABSL_LOCKS_EXCLUDED(mu_);
  // By shown path and box.
  std::map<std::string, Shard> shards() const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<std::string> deleted() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Context = grpc::ServerContext;

  grpc::Status BeginSave(Context*, const v1::BeginSaveRequest*, v1::BeginSaveResponse*) override;
  grpc::Status PutTensor(Context*, grpc::ServerReaderWriter<v1::PutTensorResponse, v1::PutTensorRequest>*) override;
  grpc::Status GetSaveStatus(Context*, const v1::GetSaveStatusRequest*, v1::GetSaveStatusResponse*) override;
  grpc::Status FinishWriter(Context*, const v1::FinishWriterRequest*, v1::FinishWriterResponse*) override;
  grpc::Status CommitSave(Context*, const v1::CommitSaveRequest*, v1::CommitSaveResponse*) override;
  grpc::Status GetTensor(Context*, const v1::GetTensorRequest*, grpc::ServerWriter<v1::GetTensorResponse>*) override;
  grpc::Status GetCheckpoint(Context*, const v1::GetCheckpointRequest*, v1::Checkpoint*) override;
  grpc::Status DeleteCheckpoint(Context*, const v1::DeleteCheckpointRequest*, v1::DeleteCheckpointResponse*) override;
  grpc::Status SetTag(Context*, const v1::SetTagRequest*, v1::Checkpoint*) override;
  grpc::Status DeleteTag(Context*, const v1::DeleteTagRequest*, v1::DeleteTagResponse*) override;
  grpc::Status VerifyCheckpoint(Context*, const v1::VerifyCheckpointRequest*,
                                grpc::ServerWriter<v1::VerifyCheckpointResponse>*) override;
  grpc::Status GetServerInfo(Context*, const v1::GetServerInfoRequest*, v1::GetServerInfoResponse*) override;

  struct Upload;
  void Listen();
  grpc::Status Enter(const std::string& method, bool after) ABSL_LOCKS_EXCLUDED(mu_);
  v1::Checkpoint Served() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status TakeMessage(const v1::PutTensorRequest& request, Upload* upload) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status TakePart(const v1::PutTensorRequest& request, Upload* upload) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  v1::PutTensorResponse MakeDurable(Upload* upload) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  std::string target_;
  std::unique_ptr<grpc::Server> server_;

  mutable absl::Mutex mu_;
  PutScript put_script_ ABSL_GUARDED_BY(mu_);
  GetScript get_script_ ABSL_GUARDED_BY(mu_);
  std::vector<ServedEntry> served_ ABSL_GUARDED_BY(mu_);
  struct Failure {
    absl::Status status;
    bool after;
  };
  std::map<std::string, std::vector<Failure>> failures_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int> calls_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> session_keys_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::PutTensorRequest> put_messages_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::GetTensorRequest> get_requests_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Shard> shards_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, uint64_t> acknowledged_ ABSL_GUARDED_BY(mu_);
  uint64_t sent_again_ ABSL_GUARDED_BY(mu_) = 0;
  int get_messages_ ABSL_GUARDED_BY(mu_) = 0;
  bool committed_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<uint32_t> finished_writers_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> deleted_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::string> tags_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cairn::client
