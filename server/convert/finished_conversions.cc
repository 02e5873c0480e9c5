#include "server/convert/finished_conversions.h"

#include <utility>

namespace cairn {
namespace {

Digest KeyOf(absl::string_view text) { return DigestOf(text, DigestAlgorithm::kSha256); }

uint64_t BytesOf(const ConvertResult& result) {
  uint64_t bytes = sizeof(ConvertResult) + result.weights.size() + result.map.size();
  for (const auto* texts : {&result.map_dropped, &result.left_out, &result.notes}) {
    for (const std::string& text : *texts) bytes += sizeof(std::string) + text.size();
  }
  return bytes;
}

}  // namespace

void FinishedConversions::Add(absl::string_view what, absl::string_view state, ConvertResult result) {
  const uint64_t bytes = BytesOf(result);
  if (bytes > kMostBytes) return;
  Finished finished{KeyOf(what), KeyOf(state), std::move(result), bytes};
  absl::MutexLock lock(&mu_);
  finished_.push_front(std::move(finished));
  bytes_ += bytes;
  while (finished_.size() > kMost || bytes_ > kMostBytes) {
    bytes_ -= finished_.back().bytes;
    finished_.pop_back();
  }
}

std::optional<ConvertResult> FinishedConversions::Find(absl::string_view what, absl::string_view state) const {
  const Digest what_key = KeyOf(what), state_key = KeyOf(state);
  absl::MutexLock lock(&mu_);
  for (const Finished& finished : finished_) {
    if (finished.what == what_key && finished.state == state_key) return finished.result;
  }
  return std::nullopt;
}

}  // namespace cairn
