#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "common/io/byte_source.h"
#include "common/pickle/pickle_tree.h"

namespace cairn {

// One file of torch.save, zip or legacy: a pickle, and the storages that it names. FORMAT.md has the bytes.
class TorchFile {
 public:
  virtual ~TorchFile() = default;

  // INVALID_ARGUMENT for damage, and for TorchScript and the containers before torch 0.4, by name.
  static absl::StatusOr<std::unique_ptr<TorchFile>> Open(std::shared_ptr<const ByteSource> source, const ReadLimits& limits);

  const std::string& name() const { return name_; }
  const PickleTree& tree() const { return tree_; }
  // Frees it, once what it says is known: it is most of the memory of a file with many tensors.
  void DropTree() { tree_ = PickleTree(); }
  // The elements of storages have their most significant byte first.
  bool big_endian() const { return big_endian_; }

  // The bytes of a storage. INVALID_ARGUMENT if there is none of that key, or it has not exactly `bytes`. Stays valid
  // after the file is gone.
  virtual absl::StatusOr<std::shared_ptr<const ByteSource>> OpenStorage(const std::string& key, uint64_t bytes) const = 0;

 protected:
  std::string name_;
  PickleTree tree_;
  bool big_endian_ = false;
};

// By its first bytes: could it be a file of torch.save? Reads some kilobytes.
bool LooksLikeTorchFile(const ByteSource& source);

}  // namespace cairn
