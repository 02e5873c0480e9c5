#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/base/buffer.h"
#include "common/tensor/checkpoint_index.h"
#include "common/tensor/dtype.h"
#include "common/tensor/key_path.h"
#include "common/tensor/shape.h"

// What the calls of cairn/connection.h take and give. Plain data; terms as in proto/README.md.
namespace cairn::client {

// A committed checkpoint.
struct CheckpointInfo {
  std::string uid;  // Random, never reused.
  std::string name;
  int64_t step = 0;
  absl::Time create_time;
  absl::Time commit_time;
  uint64_t entry_count = 0;
  uint64_t tensor_count = 0;
  uint64_t logical_bytes = 0;  // All tensors and assets.
  uint64_t new_bytes = 0;      // Of these, bytes that had to be stored for this checkpoint.
  std::map<std::string, std::string> metadata;
  std::string parent;  // uid; may be empty.
  std::string created_by;
  std::vector<std::string> tags;
  std::string manifest_digest;

  // "uid:..." and "NAME@STEP".
  std::string UidRef() const { return "uid:" + uid; }
  std::string ShownRef() const { return name + "@" + std::to_string(step); }
};

enum class SessionState { kUnknown, kOpen, kCommitted, kAborted, kExpired };

// A save session: an open, not yet visible checkpoint.
struct SaveSession {
  std::string session_id;
  std::string name;
  int64_t step = 0;
  uint32_t writers = 1;
  SessionState state = SessionState::kUnknown;
  absl::Time create_time;
  absl::Time expire_time;  // Any call of the session moves it.
  std::vector<uint32_t> finished_writers;
  std::optional<CheckpointInfo> checkpoint;  // Once committed.

  std::string ShownRef() const { return name + "@" + std::to_string(step); }
};

struct SaveSpec {
  std::string name;
  int64_t step = 0;
  // The same on every writer and after every restart: the same key gives the same session. Empty: a random one, so
  // that the save has one writer and cannot be taken up by another process.
  std::string session_key;
  uint32_t writers = 1;
  bool overwrite = false;    // Replace an existing name@step, atomically, at the commit.
  bool auto_commit = false;  // The last FinishWriter commits.
  std::map<std::string, std::string> metadata;
  std::string parent;  // A ref or uid. What is nearly equal to it is stored as the difference.
  bool parent_is_previous = false;  // Instead of `parent`: the highest step of the name below `step`, if there is one.
  // Of which checkpoint EntryBytes::base() gives the bytes, if that is known; empty: of the parent, whatever its ref means.
  std::string base_uid;
  std::string created_by;
  std::optional<absl::Duration> lease;  // The server's default.
};

struct OpenedSave {
  SaveSession session;
  uint32_t max_chunk_bytes = 0;
  uint32_t extent_bytes = 0;
  uint32_t max_small_entries = 0;
  std::string parent_uid;     // Of the parent, if there is one.
  bool delta_chunks = false;  // What EntryBytes::base() gives makes deltas.
};

// Which writer of which session a PutStream fills; the sizes are those of OpenedSave.
struct PutSpec {
  std::string session_id;
  uint32_t writer = 0;
  uint32_t max_chunk_bytes = 0;  // 0: 1 MiB.
  uint32_t extent_bytes = 0;     // 0: 1 MiB.
  std::string name;              // For messages: what is saved.
  uint32_t max_small_entries = 0;  // That may share a message. 0: none.
  bool deltas = false;             // The daemon takes deltas against what EntryBytes::base() gives.
};

// How far a PutStream has come. Skipped is what the server had from an earlier stream of the same writer.
struct PutProgress {
  uint64_t durable_entries = 0;  // Skipped ones included.
  uint64_t durable_bytes = 0;    // Skipped ones included.
  uint64_t skipped_bytes = 0;
  uint64_t deduplicated_bytes = 0;  // Bytes that were sent, but that the store had already.
  uint64_t sent_bytes = 0;          // Payload put on the wire, repetitions included.
  uint64_t sent_raw_bytes = 0;      // What that stands for: more than it, where it was deltas.
  uint64_t reconnects = 0;
};

struct SaveStatusSpec {
  std::string session_id;
  std::optional<uint32_t> writer;  // All.
  int32_t page_size = 0;           // The server's choice.
  std::string page_token;
  bool summary_only = false;
};
struct ShardStatus {
  uint32_t writer = 0;
  KeyPath path;
  std::optional<Box> box;  // Tensors.
  uint64_t durable_bytes = 0;
  uint64_t total_bytes = 0;
  bool finished = false;
};
struct SaveStatus {
  SaveSession session;
  std::vector<ShardStatus> shards;
  std::string next_page_token;
  uint64_t durable_bytes = 0;  // Over all shards of the selection.
};

class HeldBytes;

// What a GetStream shall send: `select`, or `paths`, or `boxes`; all entries with none of them.
struct GetSpec {
  std::string ref;
  std::vector<std::string> select;              // Key paths, prefixes ("params/"), globs, exclusions ("!opt_state/").
  std::vector<KeyPath> paths;                   // Exactly these, in this order.
  std::vector<std::pair<KeyPath, Box>> boxes;   // These boxes of tensors, in this order.
  std::optional<Dtype> float_dtype;             // Every float tensor is cast to it.
  uint32_t chunk_bytes = 0;                     // The server's choice.
  // A checkpoint whose bytes the caller has (as float_dtype has them arrive): what is equal to it, or nearly so, comes as
  // the difference. NOT_FOUND if there is none; of one that is named by its uid, and so was there once, all bytes come.
  std::string have_ref;
  // Who has them. Null: GetStream::ReadInto finds them in the very memory that it fills.
  std::shared_ptr<HeldBytes> held;
};

// What a GetStream is about to deliver.
struct GetEntry {
  Entry entry;  // dtype as sent, shape of the whole tensor.
  Box box;      // Of tensors.
  uint64_t bytes = 0;  // Of the box as sent, or of the asset; 0 for values and aliases.
};

// Consecutive bytes of one entry, checked against their checksum. The pieces borrow what gRPC received.
struct GetChunk {
  uint64_t offset = 0;  // Within the box (or asset).
  std::vector<Buffer> pieces;

  bool empty() const { return pieces.empty(); }
  uint64_t size() const { return TotalSize(pieces); }
};

struct ListCheckpointsSpec {
  std::string name;  // Exactly this name.
  std::string name_prefix;
  std::map<std::string, std::string> metadata;
  int32_t page_size = 0;  // The server's choice.
  std::string page_token;
};
struct CheckpointPage {
  std::vector<CheckpointInfo> checkpoints;  // By name, then step.
  std::string next_page_token;
};

struct ListEntriesSpec {
  std::string ref;
  std::vector<std::string> select;
  int32_t page_size = 0;
  std::string page_token;
  bool with_shards = false;
};
struct EntryInfo {
  Entry entry;
  uint64_t bytes = 0;
  std::vector<Box> shards;  // As saved, with with_shards.
  std::string digest;       // Tensors and assets; equal only if saved alike.
};
struct EntryPage {
  CheckpointInfo checkpoint;
  std::vector<EntryInfo> entries;
  std::string next_page_token;
};

struct DeleteSpec {
  std::string ref;
  bool allow_missing = false;
};

struct SetTagSpec {
  std::string ref;
  std::string tag;
  // If set, the tag must point to this uid now (empty: must not exist); ABORTED otherwise.
  std::optional<std::string> expected_uid;
};

struct DeleteTagSpec {
  std::string name;
  std::string tag;
  bool allow_missing = false;
};

struct VerifyProblem {
  std::string path;  // Shown key path.
  std::optional<Box> box;
  std::string object;
  std::string message;
};
struct VerifyProgress {
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
};
struct VerifyResult {
  CheckpointInfo checkpoint;
  uint64_t bytes = 0;
  std::vector<VerifyProblem> problems;  // Empty: the checkpoint is whole.
};

// One end of a conversion that the daemon runs: a checkpoint of its own, or files on its machine, below a folder that its
// operator allows (--file-roots).
struct ConvertPlace {
  std::string ref;     // Exactly one of ref and path. A target is NAME@STEP.
  std::string path;    // Absolute.
  std::string format;  // Of files: "safetensors", "trainstate_params", ... Empty: the daemon finds out.
};
struct ConvertSpec {
  ConvertPlace source;
  ConvertPlace target;
  std::vector<std::string> select;   // As in GetSpec.
  std::optional<Dtype> float_dtype;  // Every float tensor is cast to it. Nothing: as it is.
  bool weights_only = false;         // Only the weights of the model, wherever they are, as a tree of their own.
  // More of what is wanted, and under which names; all of it applies in the order in which it stands here.
  struct TextFile {
    std::string name;
    std::string text;
  };
  std::vector<std::string> exclude;    // Patterns of what to leave out; each must match something.
  std::string root;                    // Shown path: only what lies below it, as a tree of its own.
  std::string strip_prefix;            // Text in front of shown paths ("model.", "params/"): goes where it is.
  std::optional<TextFile> renames;     // Lines "old: new".
  std::string map;                     // FROM:TO, TO, or the name of one of map_files. Empty: names stay.
  std::vector<TextFile> map_files;
  std::vector<TextFile> map_configs;   // config.json and the like by name, before those that lie with the source.
  std::map<std::string, int64_t> map_symbols;  // Numbers that the map needs: "heads".
  std::string prefix;                  // Text to be in front of all paths.
  bool strict = false;                 // Refuse a source with objects that cannot be carried, instead of leaving them out.
  // Targets that are files.
  uint64_t max_shard_bytes = 0;
  std::string separator = ".";
  bool drop_unsupported = false;
  bool overwrite = false;  // Refs too.
  uint32_t parts = 0;      // Files that each have a slice of every tensor, for formats that cut so. 0: as the format does.
  // Of files that the daemon keeps (Convert): go on from what the same, interrupted conversion has written; and write
  // configuration and tokenizer files into the folder of a target that is one file.
  bool resume = false;
  bool assets_beside = false;
  // Targets that are refs. The same key goes on where an interrupted conversion stopped; empty: a new one.
  std::string session_key;
  std::map<std::string, std::string> metadata;
  std::string created_by;
};
struct ConversionProgress {
  uint64_t bytes_done = 0;  // Of the target's, those included that it had already.
  uint64_t bytes_total = 0;
  uint64_t bytes_skipped = 0;
  uint64_t entries_done = 0;
  uint64_t entries_total = 0;
};
struct ConversionResult {
  ConversionProgress progress;
  std::string source_format;  // Of files.
  std::string target_format;
  std::optional<CheckpointInfo> checkpoint;  // Of a target that is a ref; of an export, what was exported.
  std::string weights;                       // With weights_only: where they were, in words.
  std::string map;                           // With a map: the way that was taken,
  std::vector<std::string> map_dropped;      // and the entries that it leaves out.
  std::vector<std::string> left_out;         // What the source holds and nothing can carry, in words.
  std::vector<std::string> notes;            // What else there is to say, such as why nothing was resumed.
};

// How two checkpoints differ: compared, or written as a diff, by the daemon.
enum class DiffMode {
  kReport,
  kExact,       // Writes what turns the base into the target, bit for bit.
  kArithmetic,  // Writes target - base as a checkpoint.
};
struct DiffSpec {
  ConvertPlace base;
  ConvertPlace target;
  std::vector<std::string> select;  // As in GetSpec, of both.
  DiffMode mode = DiffMode::kReport;
  // Reports. Close: |target - base| <= absolute + relative * |base|.
  double absolute_tolerance = 0;
  double relative_tolerance = 0;
  // Diffs.
  ConvertPlace output;
  std::optional<Dtype> float_dtype;  // Arithmetic: float results are cast to it.
  bool overwrite = false;
  std::string session_key;  // Of an output that is a ref, as in ConvertSpec.
  std::map<std::string, std::string> metadata;
  std::string created_by;
};
struct DiffProgress {
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
};

enum class Difference { kEqual, kChanged, kValueChanged, kAdded, kRemoved, kReshaped, kRecast };
// Of two tensors whose bytes were compared. Elements that are NaN or infinite on either side are counted, and are in none of
// the differences.
struct DiffStatistics {
  bool has_values = true;  // False for packed dtypes: compared byte by byte, without numbers.
  uint64_t elements = 0;
  uint64_t changed = 0;  // Other bits; of two dtypes: other numbers.
  uint64_t outside = 0;  // Not within the tolerance.
  uint64_t base_nan = 0;
  uint64_t base_infinite = 0;
  uint64_t target_nan = 0;
  uint64_t target_infinite = 0;
  double max_absolute = 0;
  double max_relative = 0;
  double mean_absolute = 0;
  double mean_relative = 0;
  double norm = 0;  // L2 of target - base.
  double base_norm = 0;
  double cosine = 1;
  bool operator==(const DiffStatistics&) const = default;
};
struct EntryDiff {
  Difference difference = Difference::kEqual;
  std::optional<Entry> base;    // Not of what was added.
  std::optional<Entry> target;  // Not of what was removed.
  std::optional<DiffStatistics> statistics;
  bool close = false;  // Changed, but every element within the tolerance.

  const Entry& entry() const { return target.has_value() ? *target : *base; }
};
struct DiffResult {
  std::vector<EntryDiff> entries;  // Reports: in the order of the target, then what was removed.
  bool different = false;          // Some entry is neither equal nor, if there is a tolerance, close.
  uint64_t target_bytes = 0;       // Exact diffs.
  uint64_t diff_bytes = 0;
  std::string base_digest;  // Hex content digests.
  std::string target_digest;
  uint64_t elements = 0;  // Arithmetic diffs: how many, and how many of them would not come back exactly.
  uint64_t inexact_elements = 0;
  std::optional<CheckpointInfo> checkpoint;  // Of an output that is a ref.
};

// A checkpoint from a base and a diff, made by the daemon.
struct RecoverSpec {
  ConvertPlace base;
  ConvertPlace diff;
  ConvertPlace output;
  bool arithmetic = false;           // `diff` is a checkpoint of differences, which are added to the base.
  std::optional<Dtype> float_dtype;  // Every float tensor is cast to it.
  bool overwrite = false;
  std::string session_key;  // As in DiffSpec.
  std::map<std::string, std::string> metadata;
  std::string created_by;
};
struct RecoverResult {
  uint64_t bytes = 0;
  std::string target_digest;  // Exact: the hex content digest that was verified. Empty if elements were cast.
  std::optional<CheckpointInfo> checkpoint;
};

struct GarbageReport {
  uint64_t purged_checkpoints = 0;
  uint64_t expired_sessions = 0;
  uint64_t deleted_objects = 0;
  uint64_t deleted_bytes = 0;
};

struct ServerInfo {
  std::string version;
  absl::Time start_time;
  std::string object_store;
  std::string registry;
  uint64_t free_bytes = 0;  // Zeros where unknown.
  uint64_t total_bytes = 0;
  uint64_t checkpoints = 0;
  uint64_t open_sessions = 0;
  uint64_t objects = 0;
  uint64_t object_bytes = 0;
  uint64_t logical_bytes = 0;
  uint32_t max_chunk_bytes = 0;
  uint64_t memory_budget_bytes = 0;
  uint64_t memory_in_use_bytes = 0;
};

}  // namespace cairn::client
