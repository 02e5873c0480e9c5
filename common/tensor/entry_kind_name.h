#pragma once

#include "common/tensor/checkpoint_index.h"

namespace cairn {

// The word for a kind of entry that every client shows: "tensor", "value", "asset", "alias".
inline const char* EntryKindName(EntryKind kind) {
  switch (kind) {
    case EntryKind::kTensor:
      return "tensor";
    case EntryKind::kValue:
      return "value";
    case EntryKind::kAsset:
      return "asset";
    case EntryKind::kAlias:
      return "alias";
  }
  return "unknown";
}

}  // namespace cairn
