#include "common/seed/seed_reader.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/cast/cast.h"

namespace cairn {
namespace {

constexpr uint64_t kElements = 1024;  // Made at a time.

}  // namespace

absl::StatusOr<std::unique_ptr<SeedReader>> SeedReader::Create(const std::vector<SeedTensor>& tensors, SeedReaderOptions options) {
  if (!CanCast(Dtype::kFloat64, options.dtype)) {
    return absl::InvalidArgumentError(absl::StrCat("expected a float type, found ", DtypeName(options.dtype)));
  }
  std::unique_ptr<SeedReader> reader(new SeedReader());
  reader->dtype_ = options.dtype;
  for (const SeedTensor& tensor : tensors) {
    const std::string name = tensor.path.ToString();
    const absl::StatusOr<uint64_t> bytes = ByteSize(options.dtype, tensor.shape);
    if (!bytes.ok()) return Annotate(bytes.status(), absl::StrCat("tensor \"", name, "\""));
    reader->index_.entries.push_back(Entry::Tensor(tensor.path, options.dtype, tensor.shape, *bytes));
    reader->sources_.push_back({tensor.fill, SeedStream::Of(options.seed, name), ""});
  }
  for (auto& [name, bytes] : options.assets) {
    reader->index_.entries.push_back(Entry::Asset(KeyPath::Of({name}), bytes.size()));
    reader->sources_.push_back({{}, {}, std::move(bytes)});
  }
  CAIRN_RETURN_IF_ERROR(reader->index_.Check());
  return reader;
}

absl::Status SeedReader::ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) {
  const Entry& target = index_.entries[entry];
  if (offset > target.byte_size || dst.size() > target.byte_size - offset) {
    return absl::OutOfRangeError(absl::StrCat("entry \"", target.path.ToString(), "\": bytes [", offset, ", ", offset, "+",
                                              dst.size(), ") of ", target.byte_size));
  }
  const Source& source = sources_[entry];
  if (target.kind == EntryKind::kAsset) {
    if (!dst.empty()) std::memcpy(dst.data(), source.bytes.data() + offset, dst.size());
    return absl::OkStatus();
  }
  const uint64_t size = static_cast<uint64_t>(BitWidth(dtype_)) / 8;
  std::array<double, kElements> values;
  std::array<char, kElements * sizeof(double)> cast;
  while (!dst.empty()) {
    const uint64_t first = offset / size, skip = offset % size;
    const uint64_t count = std::min<uint64_t>(kElements, (skip + dst.size() + size - 1) / size);
    FillElements(source.fill, source.stream, first, absl::MakeSpan(values.data(), count));
    CAIRN_RETURN_IF_ERROR(CastElements(Dtype::kFloat64,
                                       absl::string_view(reinterpret_cast<const char*>(values.data()), count * sizeof(double)),
                                       dtype_, absl::MakeSpan(cast.data(), count * size)));
    const uint64_t done = std::min<uint64_t>(count * size - skip, dst.size());
    std::memcpy(dst.data(), cast.data() + skip, done);
    dst.remove_prefix(done);
    offset += done;
  }
  return absl::OkStatus();
}

}  // namespace cairn
