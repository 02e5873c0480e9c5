#include "server/service/delta_chunk.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/crc32c.h"
#include "common/base/digest.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "common/tensor/dtype.h"

namespace cairn {
namespace {

// Below that a delta saves nothing that matters.
constexpr uint64_t kMinBytes = 512;

bool NeedsBase(DeltaMode mode) { return mode != DeltaMode::kPlanes && mode != DeltaMode::kRaw; }

std::string DigestBytes(absl::string_view bytes) { return std::string(DigestOf(bytes, DigestAlgorithm::kXxh3).AsBytes()); }

size_t UnitOf(Dtype dtype) { return DeltaUnit(static_cast<size_t>(BitWidth(dtype)) / 8); }

// Of a chunk, for messages.
struct Where {
  const Entry& entry;
  const Box& box;
  uint64_t offset;

  std::string Shown() const {
    return absl::StrCat("box ", box.ToString(), ", offset ", offset);
  }
};

absl::Status Mismatch(const Where& where, absl::string_view what, std::string expected = "", std::string found = "") {
  ErrorInfo info{kBaseMismatch,
                 {{"path", where.entry.path.ToString()}, {"box", where.box.ToString()}, {"offset", absl::StrCat(where.offset)}}};
  if (!expected.empty()) info.metadata["expected"] = std::move(expected);
  if (!found.empty()) info.metadata["found"] = std::move(found);
  return WithErrorInfo(
      absl::FailedPreconditionError(absl::StrCat(where.Shown(), ": the delta cannot be applied: ", what, "; send the bytes")), info);
}

std::string ShownRef(const CheckpointRow& row) { return absl::StrCat(row.name, "@", row.step); }

void Notice(const std::function<void(absl::string_view)>& notice, const absl::Status& damage) {
  if (notice) notice(absl::StrCat("the base of a delta is damaged, so bytes are sent instead: ", damage.message()));
}

absl::string_view Joined(const std::vector<Buffer>& pieces, std::string* scratch) {
  if (pieces.size() == 1) return pieces[0].bytes();
  scratch->clear();
  for (const Buffer& piece : pieces) scratch->append(piece.data(), piece.size());
  return *scratch;
}

}  // namespace

absl::Status DeltaApplier::OpenParent(const std::string& session_id) {
  if (parent_ != nullptr) return absl::OkStatus();
  CAIRN_ASSIGN_OR_RETURN(parent_, engine_.OpenParent(session_id));
  return absl::OkStatus();
}

absl::StatusOr<Buffer> DeltaApplier::Apply(const std::string& session_id, const Entry& entry, const std::optional<Box>& box,
                                           uint64_t offset, const ChunkDelta& delta, const std::vector<Buffer>& pieces) {
  const Box whole = box.has_value() || entry.kind != EntryKind::kTensor ? Box() : Box::Whole(entry.shape);
  const Where where{entry, box.has_value() ? *box : whole, offset};
  if (entry.kind != EntryKind::kTensor) return Mismatch(where, "only tensors have a base");
  CAIRN_ASSIGN_OR_RETURN(const uint64_t total, ByteSize(entry.dtype, where.box.extent));
  if (offset > total || delta.raw_bytes > total - offset) {
    return absl::OutOfRangeError(absl::StrCat(where.Shown(), ": a delta of ", delta.raw_bytes, " bytes leaves the shard, which has ",
                                              total));
  }
  if (absl::Status opened = OpenParent(session_id); !opened.ok()) {
    const bool gone = absl::IsNotFound(opened) || absl::IsFailedPrecondition(opened);
    if (absl::IsDataLoss(opened)) Notice(engine_.options().notice, opened);
    if (!gone && !absl::IsDataLoss(opened)) return Annotate(opened, "parent");
    // Of no entry in particular, so that the client does not try the others.
    return WithErrorInfo(absl::FailedPreconditionError(absl::StrCat(where.Shown(), ": no delta of this save can be applied: ",
                                                                    opened.message(), "; send the bytes")),
                         {kBaseMismatch, {}});
  }
  std::string scratch;
  const absl::string_view encoded = Joined(pieces, &scratch);
  DeltaMode mode;
  if (absl::Status status = ReadDeltaMode(encoded, &mode); !status.ok()) return Annotate(status, where.Shown());
  if (NeedsBase(mode) != !delta.base_digest.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(where.Shown(), ": a delta of mode ", static_cast<int>(mode), ", which needs ",
                                                   NeedsBase(mode) ? "a base, without its digest" : "no base, with the digest of one"));
  }

  std::shared_ptr<char[]> base;
  absl::string_view base_bytes;
  if (NeedsBase(mode)) {
    const std::string parent = absl::StrCat("the parent, ", ShownRef(parent_->row()), ", ");
    const absl::Status selected = parent_->Select(entry.path, entry.shape, where.box, entry.dtype, std::nullopt);
    if (!selected.ok()) return Mismatch(where, absl::StrCat(parent, selected.message()));
    base.reset(new char[delta.raw_bytes]);
    const absl::Status read = parent_->Read(offset, absl::MakeSpan(base.get(), delta.raw_bytes));
    if (absl::IsDataLoss(read)) {
      // The caller has these bytes; that the store has lost its own is no reason to lose the save.
      Notice(engine_.options().notice, Annotate(read, ShownRef(parent_->row())));
      return Mismatch(where, absl::StrCat(parent, "is damaged there: ", read.message()));
    }
    CAIRN_RETURN_IF_ERROR(read);
    base_bytes = absl::string_view(base.get(), delta.raw_bytes);
    if (std::string found = DigestBytes(base_bytes); found != delta.base_digest) {
      return Mismatch(where, absl::StrCat(parent, "has other bytes there"),
                      absl::BytesToHexString(delta.base_digest), absl::BytesToHexString(found));
    }
  }
  std::shared_ptr<char[]> made = base;
  if (mode != DeltaMode::kSame || encoded.size() != 1) {
    if (decoder_ == nullptr) decoder_ = std::make_unique<DeltaDecoder>();
    made.reset(new char[delta.raw_bytes]);
    if (absl::Status status = decoder_->Apply(encoded, base_bytes, absl::MakeSpan(made.get(), delta.raw_bytes)); !status.ok()) {
      return Annotate(status, where.Shown());
    }
  }
  const absl::string_view bytes(made.get(), delta.raw_bytes);
  if (const uint32_t crc = Crc32c(bytes); crc != delta.crc32c) {
    const std::string expected = absl::StrCat(absl::Hex(delta.crc32c, absl::kZeroPad8));
    const std::string found = absl::StrCat(absl::Hex(crc, absl::kZeroPad8));
    return WithErrorInfo(absl::DataLossError(absl::StrCat(where.Shown(), ": what the delta makes has crc32c ", found,
                                                          ", the client said ", expected, "; it was damaged on the way")),
                         {"CHUNK_CHECKSUM", {{"path", entry.path.ToString()}, {"expected", expected}, {"found", found}}});
  }
  return Buffer(bytes, std::move(made));
}

void DeltaApplier::Rest() {
  if (parent_ != nullptr) parent_->Rest();
  decoder_.reset();
}

absl::StatusOr<std::optional<DeltaMaker::Made>> DeltaMaker::Make(const Download::Piece& piece) {
  if (piece.start != nullptr) {
    has_base_ = piece.start->kind == EntryKind::kTensor &&
                have_->Select(piece.start->path, piece.start->shape, piece.box, piece.dtype, float_dtype_).ok();
    if (has_base_) unit_ = UnitOf(piece.dtype);
  }
  const uint64_t size = piece.data.size();
  if (!has_base_ || size < kMinBytes || size > kMaxDeltaBytes || size % unit_ != 0) return std::optional<Made>();
  base_.resize(size);
  if (const absl::Status read = have_->Read(piece.offset, absl::MakeSpan(base_.data(), size)); !read.ok()) {
    if (!absl::IsDataLoss(read)) return read;
    Notice(notice_, Annotate(read, ShownRef(have_->row())));
    has_base_ = false;
    return std::optional<Made>();
  }
  Made made;
  CAIRN_RETURN_IF_ERROR(encoder_.Encode(base_, piece.data.bytes(), unit_, &made.delta));
  // Undoing it costs the caller more than an eighth of the bytes does.
  if (made.delta.size() > size / 8 * 7) return std::optional<Made>();
  DeltaMode mode;
  CAIRN_RETURN_IF_ERROR(ReadDeltaMode(made.delta, &mode));
  if (NeedsBase(mode)) made.base_digest = DigestBytes(base_);
  made.delta.shrink_to_fit();  // It waits to be sent, and counts as what it is.
  return std::optional<Made>(std::move(made));
}

}  // namespace cairn
