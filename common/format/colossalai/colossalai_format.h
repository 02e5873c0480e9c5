#pragma once

#include "common/format/format.h"

namespace cairn {

// colossalai: what ColossalAI's Booster saves, model, optimizer and LR scheduler. FORMAT.md beside this file.
const Format& ColossalAiFormat();

}  // namespace cairn
