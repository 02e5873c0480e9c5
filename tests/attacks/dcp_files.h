#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace cairn::testing {

using Numbers = std::vector<int64_t>;

// Where an item lies; `length` of -1: the rest of what it is made of.
struct DcpPlace {
  std::string file = "__0_0.distcp";
  int64_t offset = 0;
  int64_t length = 0;
  std::vector<std::string> transforms = {};
};

struct DcpChunkSpec {
  Numbers offsets, sizes;
  std::optional<DcpPlace> place = {};  // Missing: storage_data does not say.
};

// What a `.metadata` says of one name.
struct DcpEntrySpec {
  std::string name;
  std::vector<std::variant<std::string, int64_t>> path = {};  // Empty: not in planner_data.
  bool is_value = false;
  std::string dtype = "float32";
  Numbers size = {};
  std::vector<DcpChunkSpec> chunks = {};
  std::optional<DcpPlace> place = {};  // Of a value.
  std::string metadata_class = {};     // Instead of the usual one.
};

struct DcpMetadataSpec {
  std::vector<DcpEntrySpec> entries;
  int protocol = 4;
  bool with_paths = true;    // False: planner_data is None.
  bool with_storage = true;  // False: storage_data is None.
  std::string module = "torch.distributed.checkpoint.metadata";
  std::string storage_module = "torch.distributed.checkpoint.filesystem";
  std::string properties_module = "torch.distributed.checkpoint.metadata";
  bool newest_fields = true;  // storage_meta and version.
};
std::string DcpMetadataBytes(const DcpMetadataSpec& spec);

// A file of torch.save of one contiguous tensor with those bytes, as long as shape and dtype say. `strides`: others.
std::string DcpTensorItem(const std::string& storage_class, int64_t item_size, const Numbers& shape,
                          const std::string& bytes, const Numbers& strides = {});
// Of floats: the numbers from `first` on.
std::string DcpFloatItem(const Numbers& shape, float first);
// A file of torch.save of an int.
std::string DcpIntItem(int64_t value);
// Of whatever the pickle says, without storages.
std::string DcpPickleItem(const std::string& pickle);
// As one frame of zstd.
std::string ZstdOf(const std::string& bytes);

// Items one after the other: a data file, and where they are in it.
class DcpDataFile {
 public:
  explicit DcpDataFile(std::string name = "__0_0.distcp") : name_(std::move(name)) {}
  DcpPlace Add(const std::string& item, std::vector<std::string> transforms = {});
  const std::string& bytes() const { return bytes_; }

 private:
  const std::string name_;
  std::string bytes_;
};

// A safetensors file as DCP's writer for Hugging Face makes one: tensors of F32 by name, each with shape and offsets,
// of numbers from `first` on.
struct DcpSafetensorsSpec {
  std::string name;
  Numbers shape;
  Numbers offsets;
  float first = 0;
};
std::string DcpSafetensors(const std::vector<DcpSafetensorsSpec>& tensors, const std::string& sharding_info = "");

}  // namespace cairn::testing
