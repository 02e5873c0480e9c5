#include <cstdlib>

#include "common/tensor/key_path.h"

// What parses is shown so that it parses to the same path; a glob of any text neither crashes nor hangs.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(bytes), size);
  const absl::StatusOr<cairn::KeyPath> path = cairn::KeyPath::Parse(text);
  if (path.ok() && cairn::KeyPath::Parse(path->ToString()).value() != *path) std::abort();
  const absl::StatusOr<cairn::KeyGlob> glob = cairn::KeyGlob::Parse(text);
  if (glob.ok()) glob->Matches(path.ok() ? *path : cairn::KeyPath::Of({std::string(text)}));
  return 0;
}
