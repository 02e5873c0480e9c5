#include "server/engine/extent_reader.h"

#include <utility>

#include "common/base/crc32c.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

// Neighbours are read together up to that size: beyond it a call of the store is cheap against its bytes, and threads
// have more to share.
constexpr uint64_t kTogetherBytes = 512u << 10;
// Small frames that wait to be sent keep all of such a read alive: not more than that of them.
constexpr size_t kTogether = 512;

bool LiesBehind(const ExtentFetch& fetch, absl::string_view object_key, const Extent& extent) {
  return !fetch.IsChain() && extent.encoding == ExtentEncoding::kRaw && fetch.object_key() == object_key && extent.offset == fetch.offset() + fetch.bytes() &&
         fetch.bytes() + extent.raw_bytes <= kTogetherBytes && fetch.size() < kTogether;
}

std::shared_ptr<ExtentFetch> FetchOf(ObjectStore& store, const Manifest& manifest, const Extent& extent, bool checksum) {
  auto fetch = std::make_shared<ExtentFetch>(store, manifest.objects[extent.object]);
  fetch->Add(extent, checksum);
  if (extent.encoding != ExtentEncoding::kRaw) fetch->SetChain(ChainOf(manifest, extent));
  return fetch;
}

}  // namespace

ExtentReader::~ExtentReader() {
  for (const Slot& slot : ahead_) slot.fetch->Abandon();
}

const ExtentReader::Place* ExtentReader::Find(const std::string& object_key, const Extent& extent) const {
  const auto found = index_.find(Key(object_key, extent.offset));
  if (found == index_.end()) return nullptr;
  const Extent& there = found->second.slot->fetch->extent(found->second.index);
  return there.raw_bytes == extent.raw_bytes && there.digest == extent.digest ? &found->second : nullptr;
}

absl::StatusOr<Buffer> ExtentReader::Read(const Manifest& manifest, const Extent& extent, uint32_t* crc32c) {
  const std::string& object_key = manifest.objects[extent.object];
  const auto give = [&](ExtentFetch::Result result) {
    if (crc32c != nullptr) *crc32c = result.crc32c.has_value() ? *result.crc32c : Crc32c(result.bytes.bytes());
    return result.bytes;
  };
  if (const Place* place = Find(object_key, extent)) {
    const auto [slot, index] = *place;
    Touch(slot);
    const std::shared_ptr<ExtentFetch> fetch = slot->fetch;
    fetch->Await();
    fetch->ReleaseReservation();
    absl::StatusOr<ExtentFetch::Result> result = fetch->Get(index);
    if (result.ok()) return give(*std::move(result));
    if (fetch->failed()) Forget(slot);
    // Damage belongs to one of those that were read together. The others are as good as ever: each is looked at alone.
    if (!fetch->failed() || fetch->size() == 1 || !absl::IsDataLoss(result.status())) return result.status();
  }

  const std::shared_ptr<ExtentFetch> fetch = FetchOf(store_, manifest, extent, crc32c != nullptr);
  fetch->Await();
  CAIRN_ASSIGN_OR_RETURN(ExtentFetch::Result result, fetch->Get(0));
  recent_.push_front({fetch});
  recent_bytes_ += fetch->bytes();
  index_.insert_or_assign(Key(object_key, extent.offset), Place{recent_.begin(), 0});
  Touch(recent_.begin());
  return give(std::move(result));
}

void ExtentReader::Touch(Slots::iterator slot) {
  if (slot->ahead) {
    // The reader has caught up with what is not begun; it runs that itself.
    if (!std::exchange(slot->begun, true)) --waiting_;
    slot->ahead = false;
    ahead_bytes_ -= slot->fetch->bytes();
    recent_bytes_ += slot->fetch->bytes();
    recent_.splice(recent_.begin(), ahead_, slot);
  } else {
    recent_.splice(recent_.begin(), recent_, slot);
  }
  while (recent_bytes_ > cache_bytes_ && recent_.size() > 1) Forget(std::prev(recent_.end()));
}

void ExtentReader::Forget(Slots::iterator slot) {
  const ExtentFetch& fetch = *slot->fetch;
  for (size_t i = 0; i < fetch.size(); ++i) {
    const auto found = index_.find(Key(fetch.object_key(), fetch.extent(i).offset));
    if (found != index_.end() && found->second.slot == slot) index_.erase(found);
  }
  recent_bytes_ -= fetch.bytes();
  recent_.erase(slot);
}

void ExtentReader::WillRead(const Manifest& manifest, const Extent& extent, bool checksum) {
  const std::string& object_key = manifest.objects[extent.object];
  const Key key(object_key, extent.offset);
  if (index_.contains(key)) return;
  if (waiting_ > 0 && LiesBehind(*ahead_.back().fetch, object_key, extent)) {
    ahead_.back().fetch->Add(extent, checksum);
  } else {
    ahead_.push_back({FetchOf(store_, manifest, extent, checksum), /*ahead=*/true, /*begun=*/false});
    ++waiting_;
  }
  ahead_bytes_ += extent.raw_bytes;
  index_.emplace(key, Place{std::prev(ahead_.end()), ahead_.back().fetch->size() - 1});
}

void ExtentReader::StartAhead(ThreadPool* pool, std::shared_ptr<const ByteBudget::Reservation> memory) {
  auto slot = ahead_.end();
  for (; waiting_ > 0; --waiting_) --slot;
  for (; slot != ahead_.end(); ++slot) {
    slot->begun = true;
    const bool may_wait = slot->fetch->Announce();
    // Read() itself reads what it asks for next, since no other thread is faster, and what is in memory: bytes that one
    // processor has read and digested are dear to another.
    if (pool == nullptr || !may_wait || slot == ahead_.begin()) continue;
    slot->fetch->set_reservation(memory);
    pool->Schedule([fetch = slot->fetch] { fetch->Run(); });
  }
}

}  // namespace cairn
