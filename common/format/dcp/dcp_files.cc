#include "common/format/dcp/dcp_files.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/format/dcp/zstd_source.h"
#include "common/format/folder/json_events.h"
#include "common/format/torch/torch_tensor.h"
#include "common/io/slice_source.h"

namespace cairn {
namespace {

// Of what is in a file of torch.save besides the storages.
constexpr uint64_t kArchiveBytes = 1u << 20;
constexpr uint64_t kOpenBytes = 64u << 10;
constexpr uint64_t kScratchBytes = 16u << 20;  // StridedReadOptions.

}  // namespace

// One of the files, which may be closed and opened again between two reads.
class DcpFiles::FileSource final : public ByteSource {
 public:
  FileSource(std::shared_ptr<Files> files, uint32_t number) : files_(std::move(files)), number_(number) {}
  uint64_t size() const override { return files_->sizes[number_]; }
  const std::string& name() const override { return files_->names[number_]; }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const override {
    CAIRN_ASSIGN_OR_RETURN(const ByteSource* const source, files_->set.Get(number_));
    return source->ReadAt(offset, dst);
  }

 private:
  const std::shared_ptr<Files> files_;
  const uint32_t number_;
};

absl::StatusOr<std::unique_ptr<DcpFiles>> DcpFiles::Open(std::shared_ptr<const SourceTree> tree,
                                                         const DcpLayout& layout) {
  auto files = std::make_shared<Files>(tree);
  for (const std::string& name : layout.files) {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> source, tree->Open(name));
    files->sizes.push_back(source->size());
    files->names.push_back(source->name());
    files->set.Add(name, std::move(source));
  }
  for (const DcpSlice& slice : layout.slices) {
    const uint64_t size = files->sizes[slice.file];
    if (slice.offset > size || slice.length > size - slice.offset) {
      return absl::InvalidArgumentError(absl::StrCat(
          files->names[slice.file], ": has ", size, " bytes, and the metadata names an item at [", slice.offset, ", ",
          slice.offset, "+", slice.length, "): it is cut short, or not the file that was meant"));
    }
  }
  return std::unique_ptr<DcpFiles>(new DcpFiles(std::move(files)));
}

absl::Status DcpFiles::ReadAt(uint32_t file, uint64_t offset, absl::Span<char> dst) const {
  CAIRN_ASSIGN_OR_RETURN(const ByteSource* const source, files_->set.Get(file));
  return source->ReadAt(offset, dst);
}

absl::StatusOr<DcpFiles::Item> DcpFiles::OpenItem(const DcpSlice& slice, uint64_t max_bytes,
                                                  const ReadLimits& limits) const {
  auto file = std::make_shared<FileSource>(files_, slice.file);
  std::string name = absl::StrCat(file->name(), " [", slice.offset, "+", slice.length, "]");
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const ByteSource> item,
                         SliceSource::Create(std::move(file), slice.offset, slice.length, std::move(name)));
  Item opened;
  opened.work = slice.length;
  for (uint32_t i = 0; i < slice.compressed; ++i) {
    CAIRN_ASSIGN_OR_RETURN(item, OpenZstdSource(std::move(item), max_bytes));
    opened.work = CheckedAdd(opened.work, item->size()).value_or(UINT64_MAX);
  }
  CAIRN_ASSIGN_OR_RETURN(opened.file, TorchFile::Open(std::move(item), limits));
  return opened;
}

absl::StatusOr<DcpFiles::Chunk> DcpFiles::OpenChunk(const DcpSlice& slice, Dtype dtype,
                                                    absl::Span<const int64_t> stored_shape,
                                                    const ReadLimits& limits) const {
  uint64_t bytes = dtype == Dtype::kF4Packed ? 1 : static_cast<uint64_t>(BitWidth(dtype)) / 8;
  for (const int64_t extent : stored_shape) bytes *= static_cast<uint64_t>(extent);
  CAIRN_ASSIGN_OR_RETURN(const Item item, OpenItem(slice, bytes + kArchiveBytes, limits));
  const std::unique_ptr<TorchFile>& file = item.file;
  absl::StatusOr<std::optional<TorchTensor>> tensor = AsTorchTensor(file->tree(), file->tree().root());
  if (!tensor.ok()) return Annotate(tensor.status(), file->name());
  if (!tensor->has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file->name(), ": expected a tensor, found ", PickleNodeName(file->tree(), file->tree().root())));
  }
  const TorchTensor& found = **tensor;
  if (found.dtype != dtype || absl::MakeConstSpan(found.view.shape) != stored_shape) {
    return absl::InvalidArgumentError(absl::StrCat(file->name(), ": holds ", DtypeName(found.dtype), " ",
                                                   ShapeToString(found.view.shape), ", expected ", DtypeName(dtype),
                                                   " ", ShapeToString(stored_shape), " by the metadata"));
  }
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const ByteSource> storage,
                         file->OpenStorage(found.storage_key, found.storage_bytes));
  Chunk chunk;
  CAIRN_ASSIGN_OR_RETURN(chunk.bytes, TorchBytes::Create(found, std::move(storage), file->big_endian()));
  chunk.memory = kOpenBytes + slice.compressed * kZstdSourceBytes;
  if (!IsContiguous(found.view)) chunk.memory += std::min(bytes, kScratchBytes);
  return chunk;
}

}  // namespace cairn
