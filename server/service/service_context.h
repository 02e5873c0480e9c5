#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "common/base/byte_budget.h"
#include "common/base/thread_pool.h"
#include "common/handover/file_giver.h"
#include "server/convert/allowed_roots.h"
#include "server/convert/finished_conversions.h"
#include "server/engine/checkpoint_engine.h"
#include "server/service/active_streams.h"
#include "server/service/rpc_record.h"

namespace cairn {

struct ServiceOptions {
  uint32_t max_chunk_bytes = 1u << 20;
  // A stream whose client neither sends nor takes anything for so long is ended: it may hold memory that others need.
  absl::Duration stream_idle_timeout = absl::Minutes(2);
  std::string version = "unknown";
  absl::Time start_time;
  bool storage_in_memory = false;  // Writing waits for no device.
};

// What every call needs. All of it outlives the gRPC server.
struct ServiceContext {
  CheckpointEngine& engine;
  ByteBudget& budget;     // Payload in memory.
  // The same of Export and Import, which hold theirs for as long as their clients take: saves must not wait for those.
  ByteBudget& file_budget;
  ByteBudget& index_budget;  // What jobs know of checkpoints with very many entries.
  ThreadPool& io_pool;    // Streams: disk and digests.
  ThreadPool& call_pool;  // Unary calls: the registry.
  ThreadPool& job_pool;   // Long jobs: verification, garbage collection.
  ThreadPool& file_pool;  // Jobs that wait for their clients: Export, Import.
  ServiceOptions options;
  RpcObserver observer;   // May be null.
  ActiveStreams streams = {};  // Ticked by the owner, every second or so.
  const AllowedRoots* file_roots = nullptr;  // What Convert, Diff and Recover may read and write; null: no files.
  std::string scratch_folder = {};           // For files without a name, which are gone with their job.
  FinishedConversions conversions = {};      // Of Convert, into files.
  const FileGiver* files = nullptr;          // Gives GetTensor's callers files to read from; null: they are sent all bytes.
  std::atomic<bool> receiver_stores = false;  // A thread of gRPC's stores what it received: one at a time, the others stay free.
};

}  // namespace cairn
