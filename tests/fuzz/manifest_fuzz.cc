#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "server/engine/manifest.h"

// What decodes must encode to the same bytes again. The digest at the end is set right first, or nothing would pass it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.size() > 48) {
    const std::string body = bytes.substr(0, bytes.size() - 32);
    bytes = body + std::string(cairn::DigestOf(body, cairn::DigestAlgorithm::kSha256).AsBytes());
  }
  const absl::StatusOr<cairn::Manifest> manifest = cairn::DecodeManifest(bytes);
  if (!manifest.ok()) return 0;
  const absl::StatusOr<cairn::Manifest> again = cairn::DecodeManifest(cairn::EncodeManifest(*manifest));
  if (!again.ok() || cairn::EncodeManifest(*again) != cairn::EncodeManifest(*manifest)) std::abort();
  return 0;
}
