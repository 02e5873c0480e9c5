#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/io/byte_sink.h"
#include "common/io/byte_source.h"

namespace cairn {

// A file without a name, for bytes that are written once, read for a while and then forgotten: it is gone with the last
// object that has it, and with the process, however that ends. Nobody else can open it.
class AnonymousFile {
 public:
  // In `folder`, which must exist. `name` is for messages.
  static absl::StatusOr<std::unique_ptr<AnonymousFile>> Create(const std::string& folder, std::string name);
  virtual ~AnonymousFile() = default;

  // Its Close() makes nothing durable, since nothing outlives the process.
  virtual ByteSink& sink() = 0;
  // The bytes that were appended. Once, after the last of them.
  virtual absl::StatusOr<std::unique_ptr<ByteSource>> Read() = 0;
};

}  // namespace cairn
