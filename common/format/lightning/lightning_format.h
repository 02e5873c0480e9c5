#pragma once

#include "common/format/format.h"

namespace cairn {

// lightning: checkpoints of Lightning's Trainer, and the sharded folders of Trainer and Fabric. FORMAT.md beside this file.
const Format& LightningFormat();

}  // namespace cairn
