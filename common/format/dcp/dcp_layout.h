#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "common/tensor/checkpoint_index.h"
#include "common/tensor/dtype.h"
#include "common/tensor/key_path.h"
#include "common/tensor/shape.h"

namespace cairn {

// Bytes of a file of the folder.
struct DcpSlice {
  uint32_t file = 0;  // Index into DcpLayout::files.
  uint64_t offset = 0;
  uint64_t length = 0;
  uint32_t compressed = 0;  // How often zstd went over it.
  bool raw = false;         // The bytes of a chunk themselves, not a file of torch.save.

  bool operator==(const DcpSlice&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const DcpSlice& slice) {
    return H::combine(std::move(h), slice.file, slice.offset, slice.length, slice.compressed, slice.raw);
  }
};

// A tensor in chunks, or a value.
struct DcpItem {
  std::string name;
  KeyPath path;
  bool is_tensor = false;
  Dtype dtype = Dtype::kInvalid;  // Of a tensor, as are the next four.
  Shape shape;                    // In elements of `dtype`.
  // In what is stored: of packed elements, their bytes.
  Shape stored_shape;
  uint32_t element_size = 0;
  std::vector<Box> chunks;       // Without empty ones.
  std::vector<uint32_t> slices;  // Into DcpLayout::slices: of each chunk, or the one of a value.
};

// What a folder says it holds, before any of it is read.
class DcpLayout {
 public:
  std::vector<std::string> files;
  std::vector<DcpSlice> slices;
  std::vector<DcpItem> items;
  std::vector<LeftOut> left_out;

  uint32_t FileNumber(absl::string_view name) {
    const auto [it, is_new] = file_numbers_.try_emplace(std::string(name), static_cast<uint32_t>(files.size()));
    if (is_new) files.emplace_back(name);
    return it->second;
  }
  // Equal slices have one number.
  uint32_t SliceNumber(const DcpSlice& slice) {
    const auto [it, is_new] = slice_numbers_.try_emplace(slice, static_cast<uint32_t>(slices.size()));
    if (is_new) slices.push_back(slice);
    return it->second;
  }
  // The item of that name, to be filled in if it is new.
  std::pair<DcpItem*, bool> FindOrAdd(absl::string_view name) {
    const auto [it, is_new] = item_numbers_.try_emplace(std::string(name), items.size());
    if (is_new) items.emplace_back().name = std::string(name);
    return {&items[it->second], is_new};
  }
  // False for a chunk of that item that this was asked of before.
  bool IsNewChunk(const DcpItem& item, const Box& box) {
    std::pair<size_t, std::vector<int64_t>> key(static_cast<size_t>(&item - items.data()), box.offset);
    key.second.insert(key.second.end(), box.extent.begin(), box.extent.end());
    return chunks_.insert(std::move(key)).second;
  }

 private:
  absl::flat_hash_map<std::string, uint32_t> file_numbers_;
  absl::flat_hash_map<DcpSlice, uint32_t> slice_numbers_;
  absl::flat_hash_map<std::string, size_t> item_numbers_;
  absl::flat_hash_set<std::pair<size_t, std::vector<int64_t>>> chunks_;
};

}  // namespace cairn
