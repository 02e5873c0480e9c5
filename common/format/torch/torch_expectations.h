#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/pickle/pickle_tree.h"

namespace cairn {

// What the object of a torch file has to be, for formats that know more of it than torch does.
struct TorchExpectations {
  bool named = false;              // A dict whose keys are texts.
  std::vector<std::string> dicts;  // Such keys; where they are there, dicts of tensors.
  std::vector<std::string> texts;  // The same, texts.
};

// INVALID_ARGUMENT, naming what is there instead. `where` (a file's name) is for the message.
absl::Status CheckTorchRoot(const PickleTree& tree, PickleNodeId root, const TorchExpectations& expectations, absl::string_view where);

}  // namespace cairn
