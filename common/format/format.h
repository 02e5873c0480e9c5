#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/io/file_tree.h"
#include "common/tensor/checkpoint_index.h"

namespace cairn {

// How much a reader believes of a file before it gives up with INVALID_ARGUMENT. Memory for an index is bounded by
// these, whatever the file says.
struct ReadLimits {
  uint64_t max_header_bytes = 100u << 20;  // Of one header or index document (safetensors' own cap is 100 MB).
  uint64_t max_entries = 4'000'000;        // Per checkpoint.
  uint64_t max_files = 16'384;             // Shards of one checkpoint.
  uint32_t max_depth = 64;                 // Nesting of containers, and segments of a key path.
  uint32_t max_name_bytes = 4096;          // One key path, shown.
  uint64_t max_value_bytes = 16u << 20;    // One value that is no tensor. All of them: max_header_bytes, or max_tree_bytes.
  uint64_t max_tree_bytes = 1u << 30;      // What a pickle says, in memory.
};

// A range of one entry's bytes, in the order in which they will be wanted.
struct EntryRange {
  size_t entry = 0;  // Index into CheckpointIndex::entries.
  uint64_t offset = 0;
  uint64_t length = 0;
};

// Reads a checkpoint: an index, and any bytes of any tensor or asset. The first of the three parts of the pipeline
// (reader -> plan -> writer); a file format, the daemon's store and the network are each one.
//
// Bytes are row-major, little-endian, as dtype and shape of the index say; Boolean bytes are 0 or 1 as found.
// One thread at a time. Calls block. Damaged bytes are INVALID_ARGUMENT (a file that is no such file) or DATA_LOSS
// (a checksum says so), with the file, the entry and the offset in the message.
class CheckpointReader {
 public:
  virtual ~CheckpointReader() = default;

  // Valid and unchanged for the life of the reader.
  virtual const CheckpointIndex& index() const = 0;

  // Fills `dst` with bytes of the entry from `offset` on. OUT_OF_RANGE if they leave it.
  virtual absl::Status ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) = 0;

  // Says that these ranges will be read next, each front to back, in this order: a reader over a network starts one
  // stream for them all. A hint: ReadAt anywhere else still works.
  virtual absl::Status WillRead(absl::Span<const EntryRange> /*ranges*/) { return absl::OkStatus(); }
};

// Writes a checkpoint. The calls come in this order, in one thread; after an error only the destructor may follow,
// which leaves nothing visible behind.
//
//   Begin(index) -> order;  for each entry of `order`: StartEntry, Append*, FinishEntry;  Finish()
class CheckpointWriter {
 public:
  virtual ~CheckpointWriter() = default;

  // Takes the whole index (it must outlive the writer) and returns the order in which it wants the entries that have
  // bytes (tensors and assets, those of zero bytes included). Values and aliases are written from the index alone.
  // INVALID_ARGUMENT, naming the first entries and what to do, for what the format cannot hold: nothing is dropped
  // silently. With WriteOptions::drop_unsupported such entries are missing in the order instead.
  virtual absl::StatusOr<std::vector<size_t>> Begin(const CheckpointIndex& index) = 0;

  // Begins the next entry. Returns the offset from which its bytes are wanted: 0, unless the target has the front of
  // them already (a resumed save).
  virtual absl::StatusOr<uint64_t> StartEntry(size_t entry) = 0;
  virtual absl::Status Append(absl::string_view bytes) = 0;
  // INVALID_ARGUMENT unless exactly the entry's bytes have come.
  virtual absl::Status FinishEntry() = 0;

  // Makes the checkpoint durable and visible.
  virtual absl::Status Finish() = 0;
};

struct ReadOptions {
  ReadLimits limits;
  std::string variant;  // One of Format::variants(), or empty.
};

struct WriteOptions {
  std::string variant;
  uint64_t max_shard_bytes = 0;  // 0: one file. Otherwise several, for formats that have shards.
  uint32_t parts = 0;            // Files that each have a slice of every tensor, for formats that cut so. 0: as the format does.
  // How a path of several segments becomes a flat name, for formats with flat names.
  std::string separator = ".";
  // Leave out entries that the format cannot hold (values, assets, aliases) instead of refusing the checkpoint.
  bool drop_unsupported = false;
};

// What a format can do; printed by `cairn convert --help` and docs.
struct FormatTraits {
  bool writable = true;
  bool nested_paths = false;  // Key paths of several segments are kept.
  bool values = false;        // Entries that are no tensors are kept.
  bool assets = false;
  bool shards = false;        // Can be cut into several files.
  bool parts = false;         // Can be cut into files that each have a slice of every tensor.
};

// A file format: a pure codec over trees of files. Stateless, thread-safe.
class Format {
 public:
  virtual ~Format() = default;

  // "easylm": the name on the command line.
  virtual absl::string_view name() const = 0;
  // Prefixes that select this format and a variant of it, "params" in "params::FILE". May be empty.
  virtual std::vector<std::string> variants() const = 0;
  virtual FormatTraits traits() const = 0;
  // The names of formats that read these files too, but know less of them: where both detect a source, this one is
  // meant. None for most.
  virtual std::vector<absl::string_view> specialises() const { return {}; }

  // Looks at the content (never at a suffix alone): could `source` be of this format? Reads at most some kilobytes
  // per file and allocates no more. False, not an error, for anything else.
  virtual bool Detect(const SourceTree& source) const = 0;

  // `source` and `sink` are kept by what is returned.
  virtual absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(std::shared_ptr<const SourceTree> source,
                                                                 const ReadOptions& options) const = 0;
  virtual absl::StatusOr<std::unique_ptr<CheckpointWriter>> Create(std::shared_ptr<SinkTree> sink,
                                                                   const WriteOptions& options) const = 0;
};

}  // namespace cairn
