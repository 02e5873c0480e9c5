#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/format/format.h"
#include "common/io/byte_source.h"
#include "common/tensor/dtype.h"
#include "common/tensor/shape.h"

namespace cairn {

// FORMAT.md, "File". The cap is the format's own: no file has more.
inline constexpr uint64_t kSafetensorsPrefixBytes = 8;
inline constexpr uint64_t kSafetensorsMaxHeaderBytes = 100'000'000;
inline constexpr char kSafetensorsMetadataName[] = "__metadata__";

struct SafetensorsTensor {
  std::string name;
  Dtype dtype = Dtype::kInvalid;
  Shape shape;
  uint64_t begin = 0;  // From the first byte of the data.
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<SafetensorsTensor> tensors;  // In the order of their bytes.
  uint64_t data_offset = 0;                // Of the first byte of the data, in the file.
};

// The spelling of a dtype in a header: "BF16". Empty for a dtype that the format lacks.
absl::string_view SafetensorsDtypeName(Dtype dtype);
std::optional<Dtype> SafetensorsDtype(absl::string_view name);
// Where tensors of that dtype stand in a file that we write: larger first. Of a dtype that the format has.
int SafetensorsDtypeRank(Dtype dtype);

// True if the file could begin with such a header, by its first bytes alone.
bool LooksLikeSafetensors(const ByteSource& source);
// True if it could besides be a shard that torch.distributed.checkpoint wrote, which holds parts of tensors: format dcp.
bool LooksLikeDcpSafetensors(const ByteSource& source);

// Reads the header and proves that its tensors cover the rest of the file exactly. INVALID_ARGUMENT naming
// file, tensor, what was expected and what was found; nothing is allocated on the word of the file.
absl::StatusOr<SafetensorsHeader> ReadSafetensorsHeader(const ByteSource& source, const ReadLimits& limits);

// The first bytes of a file with these tensors, whose `begin` and `end` are ignored: they lie one after the
// other. A multiple of 8 bytes long. INVALID_ARGUMENT if that is more than the format allows. Text is UTF-8.
absl::StatusOr<std::string> SerializeSafetensorsHeader(const std::map<std::string, std::string>& metadata,
                                                       const std::vector<SafetensorsTensor>& tensors);

}  // namespace cairn
