#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/pickle/pickle_tree.h"
#include "common/tensor/dtype.h"
#include "common/tensor/shape.h"
#include "common/view/strided_view.h"

namespace cairn {

// A tensor as a pickle describes it: a view of a storage that lies elsewhere.
struct TorchTensor {
  std::string storage_key;
  uint64_t storage_bytes = 0;  // As the pickle says: whoever opens the storage compares.
  Dtype dtype = Dtype::kInvalid;
  Shape shape;       // In elements of `dtype`: of kF4Packed twice the last dimension of the view.
  StridedView view;  // Lies inside storage_bytes.
  bool conjugated = false;  // What is stored is the conjugate of the tensor,
  bool negated = false;     // its negative.

  bool operator==(const TorchTensor&) const = default;
};

// The node as a tensor: a call of one of torch's rebuild functions, Parameters included (they are tensors here).
// Nothing for any other node. INVALID_ARGUMENT for such a call whose arguments make no tensor, or one that leaves its
// storage; UNIMPLEMENTED, with the kind, for tensors that are more than a view of bytes (quantized, sparse, without
// storage, subclasses, dtypes that nobody else has). Messages go without the tensor's name.
absl::StatusOr<std::optional<TorchTensor>> AsTorchTensor(const PickleTree& tree, PickleNodeId node);

}  // namespace cairn
