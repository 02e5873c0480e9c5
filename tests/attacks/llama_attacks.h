#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/tensor/dtype.h"
#include "common/tensor/shape.h"

namespace cairn::testing {

// A tensor of a file: `fill` makes it differ from others.
struct LlamaTensor {
  std::string name;
  Shape shape;
  unsigned fill = 0;
  Dtype dtype = Dtype::kUint8;
};

// A file of torch.save with those tensors, and their bytes: byte i is fill + i.
std::string TorchFileOf(const std::vector<LlamaTensor>& tensors);
std::string LlamaBytes(const LlamaTensor& tensor);

// A part of a small model (dim 8, 4 heads of 2, 2 of keys and values, 12 hidden, a vocabulary of 10) in `parts` parts of
// one byte an element.
std::vector<LlamaTensor> LlamaPart(unsigned part, unsigned parts, bool columns_of_embedding = false);
// What its params.json says.
std::string LlamaParamsText();

// A folder that claims to be a model of Llama, and what refuses it.
struct LlamaAttack {
  std::string name;
  std::map<std::string, std::string> files;
  std::string message;  // In the refusal. Empty: the model is good.
};
std::vector<LlamaAttack> LlamaAttacks();

}  // namespace cairn::testing
