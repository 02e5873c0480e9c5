#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "server/engine/session_record.h"

// What decodes must survive another round trip.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<cairn::SessionRecord> record = cairn::DecodeSessionRecord(bytes);
  if (record.ok() && !cairn::DecodeSessionRecord(cairn::EncodeSessionRecord(*record)).ok()) std::abort();
  return 0;
}
