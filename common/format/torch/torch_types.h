#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "common/tensor/dtype.h"

namespace cairn {

// What the class of a storage says about its elements.
struct TorchStorageType {
  Dtype dtype = Dtype::kInvalid;  // kInvalid: bytes whose meaning the tensor tells (UntypedStorage).
  uint32_t item_size = 1;         // What the storage's length counts.
};
// "torch", "FloatStorage". Nothing for classes that are no storages, and for those of quantized tensors.
std::optional<TorchStorageType> TorchStorageTypeOf(absl::string_view module, absl::string_view name);

// "bfloat16", as in torch.bfloat16. Nothing for dtypes that nobody else has (complex32, bits8, ...).
// float4_e2m1fn_x2 is kF4Packed: its shape counts bytes in torch, elements here.
std::optional<Dtype> TorchDtypeOf(absl::string_view name);

// How a dtype is written.
struct TorchTypeName {
  std::string dtype;    // "bfloat16".
  std::string storage;  // "BFloat16Storage"; empty: UntypedStorage, and _rebuild_tensor_v3 names the dtype.
};
// Nothing for what torch lacks.
std::optional<TorchTypeName> TorchTypeNameOf(Dtype dtype);

}  // namespace cairn
