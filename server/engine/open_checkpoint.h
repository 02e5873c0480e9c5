#pragma once

#include <memory>

#include "server/engine/manifest.h"
#include "server/engine/read_pins.h"
#include "server/registry/registry.h"

namespace cairn {

// A checkpoint that is being read: nothing collects its objects while this lives.
struct OpenCheckpoint {
  CheckpointRow row;
  std::shared_ptr<const Manifest> manifest;
  ReadPins::Pin pin;
};

}  // namespace cairn
