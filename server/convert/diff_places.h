#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/diff/exact_diff.h"
#include "common/diff/selected_reader.h"
#include "common/format/format.h"
#include "common/io/byte_source.h"
#include "server/convert/places.h"

namespace cairn {

// A checkpoint that is to be compared or to be built upon.
struct DiffPlace {
  DiffSide side;
  std::string label;                     // For people who look for it later: NAME@STEP, or the file's name.
  std::string uid;                       // Of a ref.
  const StoredReader* stored = nullptr;  // Of a ref: lives as long as the side's reader.
  std::string identity;                  // IdentityForKey().
};
absl::StatusOr<DiffPlace> OpenDiffPlace(const PlaceContext& context, const ConvertPlace& place, const ReadLimits& limits, absl::string_view which);

// The digests by entry of what a ref stores, for CompareOptions.
std::vector<std::string> EntryDigests(const StoredReader& stored);
// Those of its pieces, where it was saved in pieces like those of an exact diff. Valid as long as the place.
KnownPiece KnownPieces(const DiffPlace& place);

// The bytes of an exact diff: a .cairndiff file, or the asset that a ref stores. FAILED_PRECONDITION for what is none.
struct DiffBytes {
  std::unique_ptr<ByteSource> bytes;
  std::string identity;  // IdentityForKey().
};
absl::StatusOr<DiffBytes> OpenDiffBytes(const PlaceContext& context, const ConvertPlace& place, absl::string_view which);

// INVALID_ARGUMENT unless it is a path or NAME@STEP.
absl::Status CheckOutput(const ConvertPlace& place);

// A checkpoint that a job writes. Nothing of it is visible before all of it is there.
class JobOutput {
 public:
  // `metadata`: what the checkpoint says of itself. ALREADY_EXISTS and the like before anything is computed.
  static absl::StatusOr<JobOutput> Open(const PlaceContext& context, const OutputRequest& request,
                                        const std::map<std::string, std::string>& metadata);

  CheckpointWriter& writer() { return *writer_; }
  // Of a ref: once it is committed; at once, if an earlier attempt with this key got to the end.
  std::optional<CheckpointRow> committed() const;

 private:
  JobOutput() = default;

  std::unique_ptr<CheckpointWriter> writer_;
  StoredWriter* stored_ = nullptr;  // The writer, where the output is a ref.
};

// A .cairndiff file, or nothing: INVALID_ARGUMENT for a place that names another format.
absl::StatusOr<std::unique_ptr<SinkTree>> CreateDiffFile(const PlaceContext& context, const OutputRequest& request);

}  // namespace cairn
