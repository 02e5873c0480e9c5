#include "server/engine/parent_deltas.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/delta/delta.h"
#include "server/engine/extent_chain.h"
#include "server/engine/extent_reader.h"

namespace cairn {
namespace {

constexpr uint32_t kMinBytes = 512;
// What an extent in the manifest takes, and each one below it in its chain.
constexpr uint64_t kLinkBytes = 32;

// An encoder has scratch memory of some four extents: one for each thread that stores, not for each stream.
struct Scratch {
  DeltaEncoder encoder;
  std::string gathered;
};
Scratch& ThreadScratch() {
  thread_local Scratch scratch;
  return scratch;
}

// An eighth less, or it is not worth the time of everybody who reads it.
bool IsWorthwhile(uint64_t stored, uint64_t links, uint64_t raw) { return stored + links * kLinkBytes <= raw - raw / 8; }

}  // namespace

ParentDeltas::ParentDeltas(ObjectStore& store, Registry& registry, std::string session_id,
                           std::shared_ptr<const OpenCheckpoint> parent, uint32_t max_chain,
                           std::function<void(absl::string_view)> notice)
    : store_(store), registry_(registry), session_id_(std::move(session_id)), parent_(std::move(parent)), max_chain_(max_chain),
      notice_(std::move(notice)), extents_(*parent_->manifest) {}

const Extent* ParentDeltas::BaseFor(const Extent* there, const Digest& digest) const {
  if (there == nullptr || there->raw_bytes < kMinBytes) return nullptr;
  // What did not change keeps its chain, however long.
  if (there->digest == digest || ChainDepth(manifest(), *there) < max_chain_) return there;
  while (const Extent* below = BaseOf(manifest(), *there)) there = below;
  return there;
}

absl::Status ParentDeltas::Claim(std::vector<const Extent*>& bases) {
  std::vector<uint32_t> numbers;
  std::vector<std::string> keys;
  for (const Extent* base : bases) {
    for (const Extent* link = base; link != nullptr; link = BaseOf(manifest(), *link)) {
      if (!claimed_.emplace(link->object, false).second) continue;
      numbers.push_back(link->object);
      keys.push_back(manifest().objects[link->object]);
    }
  }
  if (!keys.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const std::vector<bool> claimed, registry_.ClaimObjects(session_id_, keys));
    for (size_t i = 0; i < numbers.size(); ++i) claimed_[numbers[i]] = claimed[i];
  }
  for (const Extent*& base : bases) {
    for (const Extent* link = base; link != nullptr; link = BaseOf(manifest(), *link)) {
      if (claimed_.at(link->object)) continue;
      base = nullptr;
      break;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<DeltaChoice> ParentDeltas::Choose(const std::vector<Buffer>& bytes, uint32_t size, size_t unit,
                                                 const Extent* base) {
  DeltaChoice choice;
  if (size < kMinBytes) return choice;
  std::optional<Buffer> below;
  if (base != nullptr) {
    CAIRN_ASSIGN_OR_RETURN(below, ReadBase(*base));
    if (!below.has_value()) base = nullptr;
  }
  Scratch& scratch = ThreadScratch();
  absl::string_view target = bytes.front().bytes();
  if (bytes.size() > 1) {
    scratch.gathered.clear();
    for (const Buffer& piece : bytes) scratch.gathered.append(piece.data(), piece.size());
    target = scratch.gathered;
  }
  DeltaMode mode;
  const auto encode = [&](absl::string_view against) -> absl::Status {
    CAIRN_RETURN_IF_ERROR(scratch.encoder.Encode(against, target, unit, &choice.encoded));
    return ReadDeltaMode(choice.encoded, &mode);
  };
  CAIRN_RETURN_IF_ERROR(encode(below.has_value() ? below->bytes() : absl::string_view()));
  if (mode == DeltaMode::kSame) {
    choice.how = DeltaChoice::How::kShared;
    choice.base = base;
    return choice;
  }
  if (base != nullptr && ChainDepth(manifest(), *base) >= max_chain_) {
    // Other bytes of the same digest: it was taken for what did not change.
    base = nullptr;
    CAIRN_RETURN_IF_ERROR(encode(absl::string_view()));
  }
  if (mode == DeltaMode::kPlanes || mode == DeltaMode::kRaw) base = nullptr;
  const uint64_t links = 1 + (base == nullptr ? 0 : 1 + ChainDepth(manifest(), *base));
  if (!IsWorthwhile(choice.encoded.size(), links, size)) return DeltaChoice();
  choice.how = DeltaChoice::How::kEncoded;
  choice.base = base;
  return choice;
}

// Nothing if it is damaged or gone: then the save gets bytes of its own, which are good.
absl::StatusOr<std::optional<Buffer>> ParentDeltas::ReadBase(const Extent& base) {
  // One of its own for each: a reader keeps what was read last, and a stream may rest for long.
  absl::StatusOr<Buffer> bytes = ExtentReader(store_, 0).Read(manifest(), base);
  if (absl::IsDataLoss(bytes.status())) {
    if (const auto notice = std::exchange(notice_, nullptr)) {
      notice(absl::StrCat("save session ", session_id_, ": its parent ", parent_->row.name, "@", parent_->row.step,
                          " is damaged, so bytes are stored anew: ", bytes.status().message()));
    }
    return std::optional<Buffer>();
  }
  CAIRN_RETURN_IF_ERROR(bytes.status());
  return std::optional<Buffer>(*std::move(bytes));
}

}  // namespace cairn
