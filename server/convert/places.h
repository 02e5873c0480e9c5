#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/cancellation.h"
#include "common/format/all_formats.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"
#include "common/tensor/ref.h"
#include "server/convert/allowed_roots.h"
#include "server/engine/checkpoint_engine.h"
#include "server/engine/stored_reader.h"
#include "server/engine/stored_writer.h"

namespace cairn {

// One end of a job: a checkpoint of this daemon, files below an allowed root, or files that come or go on the fly.
struct ConvertPlace {
  std::string ref;   // Exactly one of ref and path.
  std::string path;  // May be a URL.
  std::string format;  // With path: a format's name or one of its variants; empty: by content or name.
  // Files that are not on this machine; `path` is then a name for them. Of a source; of a target; and what the tree
  // itself may hold in memory.
  std::shared_ptr<const SourceTree> source_tree = nullptr;
  std::shared_ptr<SinkTree> sink_tree = nullptr;
  uint64_t tree_bytes = 0;
};

// Where jobs read and write: refs, and files below the allowed roots.
struct PlaceContext {
  CheckpointEngine& engine;
  const AllowedRoots& roots;
  const Cancellation cancellation;  // Ends what waits for a network.
};

// INVALID_ARGUMENT unless it is either a ref or a path; `which` is for messages.
absl::Status CheckPlace(const ConvertPlace& place, absl::string_view which);
// Of a path.
absl::StatusOr<FileSpec> SpecOf(const ConvertPlace& place);
// INVALID_ARGUMENT unless its ref is NAME@STEP.
absl::StatusOr<Ref> ParseTargetRef(const ConvertPlace& place);
// What the files themselves may hold in memory, as a source or as a target, on top of what a job takes.
uint64_t SourceBytes(const ConvertPlace& place);
uint64_t TargetBytes(const ConvertPlace& place);

// A checkpoint that a job reads.
struct SourcePlace {
  std::unique_ptr<CheckpointReader> reader;
  const StoredReader* stored = nullptr;    // Of a ref: the reader.
  std::shared_ptr<const SourceTree> tree;  // Of files.
  FileSpec spec;                           // Of files. Its format is known.
};
absl::StatusOr<SourcePlace> OpenSource(const PlaceContext& context, const ConvertPlace& place, const ReadLimits& limits);

// A network that fails looks like bytes of another format: what `tree` has to say of that.
absl::Status NetworkFailure(const SourceTree& tree);

// What tells one state of a source from another. INVALID_ARGUMENT for files that are sent here.
absl::StatusOr<std::string> SourceIdentity(const ConvertPlace& place, const SourceTree* tree, const StoredReader* stored);
// The same for OutputRequest::identity. Where the state cannot be told (a folder that cannot be listed) it is another one each time, so
// that nothing is gone on with.
std::string IdentityForKey(const ConvertPlace& place, const SourceTree* tree, const StoredReader* stored);

// What a job writes, and how.
struct OutputRequest {
  ConvertPlace place;  // Its ref is NAME@STEP.
  bool overwrite = false;
  // Of refs. The same key goes on where an interrupted job stopped; empty: a new one.
  std::string session_key;
  // Of refs: what is made, and of which states of its sources. The same key with another identity is another key, for whoever
  // chose it may not know that a file has changed meanwhile. Empty: the key says it all.
  std::string identity;
  std::map<std::string, std::string> metadata;  // Goes over what the job itself says.
  std::string created_by;
  std::string parent;  // uid; may be empty.
};

// A writer to the ref of `request`. `metadata`: what the checkpoint says of itself. ALREADY_EXISTS and the like.
absl::StatusOr<std::unique_ptr<StoredWriter>> CreateStoredTarget(CheckpointEngine& engine, const OutputRequest& request,
                                                                 const std::map<std::string, std::string>& metadata);

}  // namespace cairn
