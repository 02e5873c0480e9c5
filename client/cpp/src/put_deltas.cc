#include "client/cpp/src/put_deltas.h"

#include <string>
#include <utility>

#include "common/base/digest.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "common/tensor/dtype.h"

namespace cairn::client {
namespace {

constexpr char kBaseMismatch[] = "BASE_MISMATCH";
// Each refusal costs a call. Who has the wrong base in so many entries has it in all.
constexpr int kMaxRefusals = 4;

}  // namespace

absl::Status PutDeltas::Encode(const UploadEntry& entry, uint64_t offset, BlockPool& pool, v1::Chunk* chunk,
                               std::vector<Buffer>* pieces) {
  const uint64_t size = TotalSize(*pieces);
  const size_t unit = DeltaUnit(static_cast<size_t>(BitWidth(entry.entry().dtype)) / 8);
  if (size % unit != 0) return absl::OkStatus();
  CAIRN_ASSIGN_OR_RETURN(const Buffer base, entry.ReadBase(offset, size, pool));
  absl::string_view bytes = pieces->front().bytes();
  if (pieces->size() > 1) {
    joined_.clear();
    for (const Buffer& piece : *pieces) joined_.append(piece.data(), piece.size());
    bytes = joined_;
  }
  std::string delta;
  CAIRN_RETURN_IF_ERROR(encoder_.Encode(base.bytes(), bytes, unit, &delta));
  // Undoing it costs the daemon more than an eighth of the bytes does.
  if (delta.size() > size / 8 * 7) return absl::OkStatus();
  DeltaMode mode;
  CAIRN_RETURN_IF_ERROR(ReadDeltaMode(delta, &mode));
  if (mode != DeltaMode::kPlanes && mode != DeltaMode::kRaw) {
    chunk->set_base_digest(std::string(DigestOf(base.bytes(), DigestAlgorithm::kXxh3).AsBytes()));
  }
  chunk->set_raw_bytes(static_cast<uint32_t>(size));
  delta.shrink_to_fit();  // It is kept until it is sent.
  pieces->assign(1, Buffer::FromString(std::move(delta)));
  return absl::OkStatus();
}

bool PutDeltas::Refused(const absl::Status& end, PutWindow& window) {
  const ErrorInfo info = GetErrorInfo(end);
  if (info.reason != kBaseMismatch || !wanted_) return false;
  const auto fact = [&](const char* name) {
    const auto found = info.metadata.find(name);
    return found == info.metadata.end() ? std::string() : found->second;
  };
  UploadEntry* const entry = window.Find(fact("path"), fact("box"));
  if (entry != nullptr && entry->deltas && ++refusals_ < kMaxRefusals) {
    entry->deltas = false;
  } else {
    wanted_ = false;
  }
  return true;
}

}  // namespace cairn::client
