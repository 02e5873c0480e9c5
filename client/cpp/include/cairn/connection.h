#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cairn/files.h"
#include "cairn/options.h"
#include "cairn/types.h"

// The layer between the client and the wire: everything that it does is one call of the daemon's API, made to work
// over connections that break. Mock it (cairn/mock_connection.h) to test code that uses a Client.
namespace cairn::client {

// The bytes of one shard or asset, which can be read again from any offset until the entry is durable.
//
// Called by the thread that calls the PutStream, one call at a time.
class EntryBytes {
 public:
  virtual ~EntryBytes() = default;

  // Fills `dst` with the bytes from `offset` on; they lie within the entry. An error ends the stream with it.
  virtual absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) = 0;

  // `length` bytes from `offset` on if they lie in memory as they are, to be sent from there without a copy; an empty
  // buffer otherwise. They must stay unchanged for as long as the buffer's owner lives.
  virtual Buffer Borrow(uint64_t /*offset*/, uint64_t /*length*/) { return Buffer(); }

  // What the parent of the save has of the same path, dtype, shape and box, if the caller has it too: then what differs is
  // sent, wherever that is less. As many bytes; null: nothing is known of them. Where they turn out to be others than the
  // parent's, the bytes are sent.
  virtual EntryBytes* base() { return nullptr; }

  // All of `bytes`, borrowed.
  static std::shared_ptr<EntryBytes> Of(Buffer bytes);
  // `bytes`, with that base.
  static std::shared_ptr<EntryBytes> WithBase(std::shared_ptr<EntryBytes> bytes, std::shared_ptr<EntryBytes> base);
};

// The bytes of GetSpec::have_ref. Called by the thread that calls the GetStream, one call at a time.
class HeldBytes {
 public:
  virtual ~HeldBytes() = default;

  // Fills `dst` with what the entry has there in that checkpoint: from `offset` of the same box on, of the dtype that it
  // arrives as. False if the caller lacks it: the bytes are asked for then. An error ends the stream.
  virtual absl::StatusOr<bool> ReadAt(const GetEntry& entry, uint64_t offset, absl::Span<char> dst) = 0;
};

// The entries of one writer on their way to the daemon, in order. One thread at a time, but for Cancel() and
// progress(); every call but those may block on the network.
//
// A connection that breaks is made again, and the stream goes on behind the last durable byte of each entry: nothing
// that the daemon has acknowledged as durable is read or sent again. So is a save that an earlier process began with
// the same session key: what the daemon has of an entry is skipped.
//
// After an error other than INVALID_ARGUMENT for an entry that was refused before anything was sent, every call
// returns that error. Destroying the stream before Finish() leaves the session open with what is durable.
class PutStream {
 public:
  virtual ~PutStream() = default;

  // An entry whose bytes the stream pulls when it wants them: `bytes` is read as the window allows, and again after a
  // lost connection, and let go once the entry is durable. `box`: of a tensor, all of it if absent. `bytes` may be
  // null for values, aliases and entries of no bytes.
  virtual absl::Status Put(Entry entry, std::optional<Box> box, std::shared_ptr<EntryBytes> bytes) = 0;

  // An entry whose bytes are pushed. The stream keeps references to them until they are durable, no more than
  // Options::max_retained_bytes; Append waits while there are more.
  virtual absl::Status Start(Entry entry, std::optional<Box> box) = 0;
  // OUT_OF_RANGE for more bytes than the entry has. What the daemon has already is dropped at once.
  virtual absl::Status Append(Buffer bytes) = 0;
  // INVALID_ARGUMENT if bytes are missing.
  virtual absl::Status FinishEntry() = 0;

  // Returns once all finished entries are durable.
  virtual absl::Status Flush() = 0;
  // Flush(), then ends the stream. No call may follow.
  virtual absl::Status Finish() = 0;

  // Makes a waiting call return CANCELLED, and all that follow. Thread-safe.
  virtual void Cancel() = 0;
  // Thread-safe.
  virtual PutProgress progress() const = 0;
};

// The entries of one answer, in its order. One thread at a time, but for Cancel() and bytes_done(). Chunks are checked against their
// checksum: DATA_LOSS names checkpoint, entry and offset. A connection that breaks is made again, and the stream goes
// on at the same byte of the same checkpoint, even if the ref has moved meanwhile.
class GetStream {
 public:
  virtual ~GetStream() = default;

  virtual const CheckpointInfo& checkpoint() const = 0;
  virtual uint64_t entries() const = 0;      // Of the whole answer,
  virtual uint64_t total_bytes() const = 0;  // and its bytes.
  // Of these, what has been given out or skipped so far. Thread-safe.
  virtual uint64_t bytes_done() const = 0;
  // Payload that has come for it: less, where it came as deltas. Thread-safe.
  virtual uint64_t bytes_received() const { return bytes_done(); }

  // The next entry; nothing after the last one. Bytes of the entry before that were not read are skipped.
  virtual absl::StatusOr<std::optional<GetEntry>> Next() = 0;
  // The next bytes of that entry; an empty chunk at its end.
  virtual absl::StatusOr<GetChunk> ReadChunk() = 0;
  // All bytes of that entry, none of which has been read, into `dst`, which has GetEntry::bytes. After an error `dst`
  // holds anything. With GetSpec::have_ref and no `held`, it holds that checkpoint's bytes before; after an error it holds
  // the new ones up to some byte, and behind it the old ones.
  virtual absl::Status ReadInto(absl::Span<char> dst) = 0;

  // Makes a waiting call return CANCELLED, and all that follow. Thread-safe.
  virtual void Cancel() = 0;
};

using VerifyCallback = std::function<void(const VerifyProgress&)>;
using ConvertCallback = std::function<void(const ConversionProgress&)>;
using DiffCallback = std::function<void(const DiffProgress&)>;
using GarbageCallback = std::function<void(const GarbageReport&)>;

// A daemon. Thread-safe; all calls block.
//
// Every call is tried again after UNAVAILABLE, with growing, jittered pauses, until Options::retry_for has passed;
// then it fails as UNAVAILABLE with "cannot reach cairnd at TARGET". Every call can be repeated without harm. Any
// other error is returned as it came, with the ref or session in its message; GetErrorInfo (common/base/error_info.h)
// has its reason.
class Connection {
 public:
  virtual ~Connection() = default;

  virtual absl::StatusOr<OpenedSave> BeginSave(const SaveSpec& spec) = 0;
  virtual absl::StatusOr<std::unique_ptr<PutStream>> OpenPut(const PutSpec& spec) = 0;
  virtual absl::StatusOr<SaveStatus> GetSaveStatus(const SaveStatusSpec& spec) = 0;
  virtual absl::StatusOr<SaveSession> FinishWriter(const std::string& session_id, uint32_t writer) = 0;
  virtual absl::StatusOr<CheckpointInfo> CommitSave(const std::string& session_id) = 0;
  virtual absl::Status AbortSave(const std::string& session_id) = 0;

  virtual absl::StatusOr<std::unique_ptr<GetStream>> OpenGet(const GetSpec& spec) = 0;

  virtual absl::StatusOr<CheckpointInfo> GetCheckpoint(const std::string& ref) = 0;
  virtual absl::StatusOr<CheckpointPage> ListCheckpoints(const ListCheckpointsSpec& spec) = 0;
  virtual absl::StatusOr<EntryPage> ListEntries(const ListEntriesSpec& spec) = 0;
  // What was deleted. The ref is resolved once, so that a repetition never deletes another checkpoint; nothing with
  // allow_missing if there was none.
  virtual absl::StatusOr<std::optional<CheckpointInfo>> DeleteCheckpoint(const DeleteSpec& spec) = 0;
  // The checkpoint that the tag points to now.
  virtual absl::StatusOr<CheckpointInfo> SetTag(const SetTagSpec& spec) = 0;
  virtual absl::Status DeleteTag(const DeleteTagSpec& spec) = 0;

  // `progress` may be null; it is called in the calling thread.
  virtual absl::StatusOr<VerifyResult> Verify(const std::string& ref, const VerifyCallback& progress) = 0;
  // Runs in the daemon; cancelled with the call. Files that an attempt has written whole, while its answer was lost, are
  // ALREADY_EXISTS for the next one unless `overwrite` is set.
  virtual absl::StatusOr<ConversionResult> Convert(const ConvertSpec& spec, const ConvertCallback& progress) = 0;
  // A checkpoint (spec.source) as files, whose format the daemon makes; spec.target has no more than a format, its path is
  // the target's name. An answer that breaks off is asked for again and goes on behind what `files` has; if the daemon
  // now makes other bytes of it (another version), it begins anew.
  virtual absl::StatusOr<ConversionResult> Export(const ConvertSpec& spec, ExportTarget& files, const ConvertCallback& progress) = 0;
  // Files as a checkpoint (spec.target), whose format the daemon reads; spec.source has no more than a format. A
  // call that breaks off is made again under the same session key and goes on behind what is durable.
  virtual absl::StatusOr<ConversionResult> Import(const ConvertSpec& spec, ImportSource& files, const ConvertCallback& progress) = 0;
  // A daemon that does not know them answers UNIMPLEMENTED.
  virtual absl::StatusOr<DiffResult> Diff(const DiffSpec& spec, const DiffCallback& progress) = 0;
  virtual absl::StatusOr<RecoverResult> Recover(const RecoverSpec& spec, const DiffCallback& progress) = 0;
  virtual absl::StatusOr<GarbageReport> CollectGarbage(bool dry_run, const GarbageCallback& progress) = 0;
  virtual absl::StatusOr<ServerInfo> GetServerInfo() = 0;
};

// A connection to `target`: HOST:PORT or unix:/PATH. Nothing is sent before the first call, so nobody needs to be
// there yet. INVALID_ARGUMENT for a target or options that cannot work.
absl::StatusOr<std::shared_ptr<Connection>> MakeConnection(absl::string_view target, const Options& options);

}  // namespace cairn::client
