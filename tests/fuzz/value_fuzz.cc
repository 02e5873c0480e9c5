#include <cstdlib>

#include "common/tensor/value.h"

// What decodes encodes to the same bytes, and can be shown.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<cairn::Value> value = cairn::DecodeValue(bytes);
  if (value.ok() && (cairn::EncodeValue(*value) != bytes || cairn::ValueToString(*value).empty()))
    std::abort();
  return 0;
}
