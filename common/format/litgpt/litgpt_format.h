#pragma once

#include "common/format/format.h"

namespace cairn {

// litgpt: lit_model.pth and what lies beside it. FORMAT.md beside this file.
const Format& LitGptFormat();

}  // namespace cairn
