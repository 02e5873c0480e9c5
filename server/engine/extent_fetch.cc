#include "server/engine/extent_fetch.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/crc32c.h"
#include "common/base/error_info.h"
#include "server/engine/read_memory.h"

namespace cairn {
namespace {

// Digested and checksummed together, so that the second of the two finds the bytes in the first-level cache.
constexpr size_t kBlockBytes = 16u << 10;

}  // namespace

void ExtentFetch::Add(const Extent& extent, bool checksum) {
  parts_.push_back({extent, bytes_, checksum, {}, 0});
  bytes_ += extent.raw_bytes;
}

bool ExtentFetch::Claim() {
  absl::MutexLock lock(&mu_);
  if (state_ != State::kWaiting) return false;
  state_ = State::kRunning;
  return true;
}

void ExtentFetch::Run() {
  if (!Claim()) return;
  ReadAndDigest();
  std::shared_ptr<const ByteBudget::Reservation> released;  // After the lock: others may get it, and call back.
  absl::MutexLock lock(&mu_);
  state_ = State::kDone;
  if (abandoned_) released = std::move(reservation_);
}

void ExtentFetch::Abandon() {
  const bool running = [&] {
    absl::MutexLock lock(&mu_);
    abandoned_ = true;
    if (state_ == State::kWaiting) {
      state_ = State::kDone;
      read_ = absl::CancelledError("nobody wants it any more");
    }
    return state_ == State::kRunning;
  }();
  if (!running) ReleaseReservation();
}

void ExtentFetch::set_reservation(std::shared_ptr<const ByteBudget::Reservation> reservation) {
  // What was there before ends with the argument, after the lock.
  absl::MutexLock lock(&mu_);
  reservation_.swap(reservation);
}

void ExtentFetch::Await() {
  Run();
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &ExtentFetch::IsDone));
}

void ExtentFetch::ReadAndDigest() {
  memory_ = AllocateReadMemory(bytes_);
  if (memory_ == nullptr) {
    read_ = absl::ResourceExhaustedError(absl::StrCat("no memory for ", bytes_, " stored bytes"));
    return;
  }
  if (IsChain()) return ReadAndDigestChain();
  size_t index = 0;
  uint64_t done = 0;  // Of that part.
  std::optional<Digester> digester;
  DigestAlgorithm algorithm{};
  const auto see = [&](absl::string_view bytes) {
    while (!bytes.empty()) {
      Part& part = parts_[index];
      if (!digester.has_value() || algorithm != part.extent.digest.algorithm()) {
        algorithm = part.extent.digest.algorithm();
        digester.emplace(algorithm);
      }
      const absl::string_view block = bytes.substr(0, std::min<uint64_t>(kBlockBytes, part.extent.raw_bytes - done));
      digester->Update(block);
      if (part.checksum) part.crc32c = ExtendCrc32c(part.crc32c, block);
      bytes.remove_prefix(block.size());
      done += block.size();
      if (done < part.extent.raw_bytes) continue;
      part.found = digester->Finish();
      ++index;
      done = 0;
    }
  };
  read_ = store_.ReadInPieces(object_key_, offset(), absl::MakeSpan(memory_.get(), bytes_), see);
}

void ExtentFetch::ReadAndDigestChain() {
  Part& part = parts_.front();
  const absl::Span<char> target = absl::MakeSpan(memory_.get(), bytes_);
  // One digest for all links; if it is wrong, once more to see whose fault it is.
  for (const ChainCheck check : {ChainCheck::kNone, ChainCheck::kEachLink}) {
    read_ = ReadChain(store_, chain_, check, target);
    if (!read_.ok()) return;
    Digester digester(part.extent.digest.algorithm());
    part.crc32c = 0;
    for (size_t at = 0; at < target.size(); at += kBlockBytes) {
      const absl::string_view block(target.data() + at, std::min(kBlockBytes, target.size() - at));
      digester.Update(block);
      if (part.checksum) part.crc32c = ExtendCrc32c(part.crc32c, block);
    }
    part.found = digester.Finish();
    if (part.found == part.extent.digest) return;
  }
}

bool ExtentFetch::Announce() const {
  if (!IsChain()) return store_.WillRead(object_key_, offset(), bytes_);
  bool may_wait = false;
  for (const ChainLink& link : chain_) {
    may_wait |= store_.WillRead(link.object_key, link.extent.offset, link.extent.stored_bytes);
  }
  return may_wait;
}

absl::StatusOr<ExtentFetch::Result> ExtentFetch::Get(size_t index) const {
  const Part& part = parts_[index];
  if (!read_.ok() && IsChain()) return read_;  // Which names the link that is to blame.
  if (absl::IsNotFound(read_) || absl::IsOutOfRange(read_)) return DamagedExtent(object_key_, part.extent, read_.message());
  if (!read_.ok()) {
    return WithErrorInfo(read_, {"", {{"object", object_key_}, {"offset", absl::StrCat(part.extent.offset)}}});
  }
  if (part.found != part.extent.digest) return WrongDigest(object_key_, part.extent, part.found);
  Result result{Buffer(absl::string_view(memory_.get() + part.begin, part.extent.raw_bytes), memory_), std::nullopt};
  if (part.checksum) result.crc32c = part.crc32c;
  return result;
}

}  // namespace cairn
