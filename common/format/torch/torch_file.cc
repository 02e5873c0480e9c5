#include "common/format/torch/torch_file.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/torch/torch_legacy.h"
#include "common/io/slice_source.h"
#include "common/pickle/pickle_reader.h"
#include "common/zip/zip_reader.h"

namespace cairn {
namespace {

constexpr absl::string_view kPickleName = "/data.pkl";

PickleLimits PickleLimitsOf(const ReadLimits& limits) {
  PickleLimits pickle;
  pickle.max_memory_bytes = std::min(pickle.max_memory_bytes, limits.max_tree_bytes);
  pickle.max_text_bytes = std::max<uint64_t>(limits.max_value_bytes, limits.max_name_bytes);
  return pickle;
}

// Everything lies in one folder of the archive, whatever it is called.
absl::StatusOr<std::string> PrefixOf(const ZipReader& zip) {
  for (const ZipEntry& entry : zip.entries()) {
    absl::string_view name = entry.name;
    if (!absl::ConsumeSuffix(&name, kPickleName) || absl::StrContains(name, '/')) continue;
    if (zip.Find(absl::StrCat(name, "/constants.pkl")).has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(
          zip.name(), ": is TorchScript, a program with its weights (torch.jit.save); expected a file of torch.save: save its state_dict()"));
    }
    return std::string(name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat(zip.name(), ": is a zip archive without a record \"data.pkl\" in its top folder; expected a file of torch.save"));
}

class ZipTorchFile final : public TorchFile {
 public:
  absl::Status Init(std::shared_ptr<const ByteSource> source, const ReadLimits& limits) {
    name_ = source->name();
    source_ = source;
    ZipLimits zip_limits;
    // Records that say something of the file stand beside the storages, and some writers leave storages that nothing names.
    zip_limits.max_entries = 2 * limits.max_entries + 64;
    CAIRN_ASSIGN_OR_RETURN(zip_, ZipReader::Open(std::move(source), zip_limits));
    CAIRN_ASSIGN_OR_RETURN(prefix_, PrefixOf(*zip_));
    CAIRN_RETURN_IF_ERROR(ReadByteOrder());
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> pickle, zip_->OpenEntry(*zip_->Find(prefix_ + std::string(kPickleName))));
    CAIRN_ASSIGN_OR_RETURN(tree_, ReadPickle(*pickle, 0, PickleLimitsOf(limits)));
    return absl::OkStatus();
  }

  absl::StatusOr<std::shared_ptr<const ByteSource>> OpenStorage(const std::string& key, uint64_t bytes) const override {
    const std::string record = absl::StrCat(prefix_, "/data/", key);
    const std::optional<size_t> entry = zip_->Find(record);
    if (!entry.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(name_, ": the pickle names a storage \"", key, "\", and there is no record \"", record, "\""));
    }
    const uint64_t size = zip_->entries()[*entry].size;
    if (size != bytes) {
      return absl::InvalidArgumentError(absl::StrCat(name_, ": record \"", record, "\" has ", size, " bytes, expected ", bytes,
                                                     " by the pickle: the file is damaged"));
    }
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> content, zip_->OpenEntry(*entry));
    return Keeping(std::move(content));
  }

 private:
  absl::Status ReadByteOrder() {
    const std::optional<size_t> entry = zip_->Find(prefix_ + "/byteorder");
    if (!entry.has_value()) return absl::OkStatus();
    CAIRN_ASSIGN_OR_RETURN(const std::string order, zip_->ReadEntry(*entry, 64));
    if (order != "little" && order != "big") {
      return absl::InvalidArgumentError(absl::StrCat(name_, ": record \"byteorder\": expected little or big, found \"", order, "\""));
    }
    big_endian_ = order == "big";
    return absl::OkStatus();
  }

  // The record reads from the archive, which is to live as long.
  std::shared_ptr<const ByteSource> Keeping(std::unique_ptr<ByteSource> content) const {
    struct Kept {
      std::shared_ptr<const ByteSource> source;
      std::shared_ptr<const ZipReader> zip;
      std::unique_ptr<ByteSource> content;
    };
    auto kept = std::make_shared<Kept>(Kept{source_, zip_, std::move(content)});
    return std::shared_ptr<const ByteSource>(kept, kept->content.get());
  }

  std::shared_ptr<const ByteSource> source_;
  std::shared_ptr<const ZipReader> zip_;
  std::string prefix_;
};

class LegacyTorchFile final : public TorchFile {
 public:
  absl::Status Init(std::shared_ptr<const ByteSource> source, const ReadLimits& limits) {
    name_ = source->name();
    CAIRN_ASSIGN_OR_RETURN(TorchLegacy legacy, ReadTorchLegacy(*source, PickleLimitsOf(limits), limits));
    tree_ = std::move(legacy.tree);
    storages_ = std::move(legacy.storages);
    big_endian_ = legacy.big_endian;
    source_ = std::move(source);
    return absl::OkStatus();
  }

  absl::StatusOr<std::shared_ptr<const ByteSource>> OpenStorage(const std::string& key, uint64_t bytes) const override {
    const auto found = storages_.find(key);
    if (found == storages_.end()) {
      return absl::InvalidArgumentError(absl::StrCat(name_, ": the pickle names a storage \"", key, "\", which the list of storages lacks"));
    }
    if (found->second.bytes != bytes) {
      return absl::InvalidArgumentError(absl::StrCat(name_, ": storage \"", key, "\" has ", found->second.bytes, " bytes, expected ",
                                                     bytes, " by the pickle: the file is damaged"));
    }
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<SliceSource> slice, SliceSource::Create(source_, found->second.offset, bytes));
    return std::shared_ptr<const ByteSource>(std::move(slice));
  }

 private:
  std::shared_ptr<const ByteSource> source_;
  absl::flat_hash_map<std::string, TorchLegacy::Storage> storages_;
};

std::string FirstBytes(const ByteSource& source, size_t count) {
  std::string bytes(std::min<uint64_t>(source.size(), count), '\0');
  if (!source.ReadAt(0, absl::MakeSpan(bytes)).ok()) bytes.clear();
  return bytes;
}

// PROTO, and a protocol.
bool IsBarePickle(absl::string_view bytes) { return bytes.size() >= 2 && bytes[0] == '\x80' && bytes[1] >= 2 && bytes[1] <= 5; }

bool IsTar(absl::string_view bytes) { return bytes.size() >= 262 && bytes.substr(257, 5) == "ustar"; }

}  // namespace

absl::StatusOr<std::unique_ptr<TorchFile>> TorchFile::Open(std::shared_ptr<const ByteSource> source, const ReadLimits& limits) {
  const std::string front = FirstBytes(*source, 512);
  if (LooksLikeZip(*source)) {
    auto file = std::make_unique<ZipTorchFile>();
    CAIRN_RETURN_IF_ERROR(file->Init(std::move(source), limits));
    return file;
  }
  if (absl::StartsWith(front, kTorchLegacyMagic)) {
    auto file = std::make_unique<LegacyTorchFile>();
    CAIRN_RETURN_IF_ERROR(file->Init(std::move(source), limits));
    return file;
  }
  const char* const again = ": load it in torch and save it again";
  const auto [what, hint] = absl::StartsWith(front, "PYTORCH1") ? std::pair("a container of a preview of torch 1.0", again)
                            : IsTar(front)                      ? std::pair("a tar archive, as torch before 0.1.10 wrote it,", again)
                            : front.empty()                     ? std::pair("empty", "")
                            : IsBarePickle(front)               ? std::pair("a bare pickle", ", which pickle.dump does not write")
                                                                : std::pair("neither a zip archive nor a legacy file of torch.save", "");
  return absl::InvalidArgumentError(absl::StrCat(source->name(), ": is ", what, "; expected a file of torch.save", hint));
}

bool LooksLikeTorchFile(const ByteSource& source) {
  if (!LooksLikeZip(source)) return absl::StartsWith(FirstBytes(source, kTorchLegacyMagic.size()), kTorchLegacyMagic);
  const absl::StatusOr<std::vector<std::string>> names = PeekZipNames(source);
  return names.ok() && std::any_of(names->begin(), names->end(), [](absl::string_view name) {
           return absl::ConsumeSuffix(&name, kPickleName) && !absl::StrContains(name, '/');
         });
}

}  // namespace cairn
