#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/format/torch/torch_tensor.h"
#include "common/io/byte_source.h"
#include "common/view/strided_reader.h"

namespace cairn {

// The row-major, little-endian bytes of one tensor of a torch file, in bounded memory: strides are followed, big-endian
// elements turned round, conjugate and negative views made what they mean. One thread at a time.
class TorchBytes {
 public:
  // `storage` has tensor.storage_bytes.
  static absl::StatusOr<std::unique_ptr<TorchBytes>> Create(const TorchTensor& tensor, std::shared_ptr<const ByteSource> storage,
                                                            bool big_endian);

  uint64_t size() const { return reader_->size(); }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst);

 private:
  TorchBytes() = default;
  // Whole elements, as they are stored -> as they are meant.
  void Translate(absl::Span<char> elements) const;

  std::shared_ptr<const ByteSource> storage_;
  std::unique_ptr<StridedReader> reader_;
  Dtype dtype_ = Dtype::kInvalid;
  uint32_t element_ = 1;   // Bytes.
  uint32_t swapped_ = 1;   // Bytes that are turned round together: the element, or half a complex one.
  bool conjugated_ = false;
  bool negated_ = false;
  std::vector<char> window_;
};

}  // namespace cairn
