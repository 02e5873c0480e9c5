#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/connection.h"
#include "client/cpp/src/block_pool.h"
#include "client/cpp/src/put_deltas.h"
#include "client/cpp/src/put_window.h"
#include "client/cpp/src/saved_shards.h"
#include "client/cpp/src/small_batch.h"
#include "client/cpp/src/stream_call.h"
#include "client/cpp/src/stub.h"
#include "google/protobuf/arena.h"

namespace cairn::client {

// Sends what a PutWindow holds and takes in what the daemon acknowledges; makes the connection again where it finds
// it broken, and goes on behind what the daemon has by then. Works in the thread that calls it, whenever it is called.
class PutSender {
 public:
  // Of one message's payload: as large as wanted and allowed, and so that extents and chunks end together.
  static uint32_t ChunkBytes(uint32_t wanted, uint32_t max_chunk, uint32_t extent);

  PutSender(std::shared_ptr<Stub> stub, const Options& options, const std::string& target, const PutSpec& spec);

  // Asks what the daemon has of this writer already, and begins the first call.
  absl::Status Open() { return Connect(absl::OkStatus()); }

  uint32_t chunk_bytes() const { return chunk_bytes_; }
  StreamCall& call() { return call_; }
  PutWindow& window() { return window_; }
  PutProgress progress() const { return counters_.progress(); }

  // Adds an entry to the window and sends what can be sent.
  absl::Status Enqueue(std::unique_ptr<UploadEntry> entry);
  // Sends what can be sent, and waits while too many pushed bytes are kept.
  absl::Status SendAndAwaitRetention();
  // Sends everything, and returns once all complete entries are durable.
  absl::Status AwaitDurable();
  // Everything is durable: says that nothing follows, and returns once the daemon has heard it.
  absl::Status End();

 private:
  absl::Status Send();
  absl::Status SendPart(const PutWindow::Part& part);
  absl::Status AddToBatch(const PutWindow::Part& part);
  // What is in the batch goes on its way.
  void SendBatch(bool flush);
  void AskToFlush();
  // Returns once a message of that many bytes may be sent. False if the connection had to be made again.
  absl::StatusOr<bool> AwaitRoom(uint64_t bytes);
  // Looks at what has come, without waiting. False if the call had ended and was made again.
  absl::StatusOr<bool> TakeAnswersAndReconnect();
  absl::Status TakeAnswers();
  void Moved(uint64_t durable_bytes);

  // Begins a call, the first one or after `failure`.
  absl::Status Connect(absl::Status failure);
  void BeginCall();

  const std::shared_ptr<Stub> stub_;
  const PutSpec spec_;
  const uint32_t chunk_bytes_;
  // The messages of small entries are many and alike: their parts are made in the same block each time.
  std::vector<char> arena_block_;
  google::protobuf::Arena arena_;
  BlockPool pool_;
  StreamCall call_;
  PutCounters counters_;
  PutWindow window_;
  SmallBatch batch_;         // Of entries that the window calls sent.
  PutDeltas deltas_;
  SavedShards saved_;        // Of entries that are still to come.
  int refused_offsets_ = 0;  // Since something became durable.
};

}  // namespace cairn::client
