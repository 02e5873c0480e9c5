#include "common/namemap/mapping.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

absl::StatusOr<std::string> ReadAsset(CheckpointReader& source, size_t entry) {
  std::string text(source.index().entries[entry].byte_size, '\0');
  CAIRN_RETURN_IF_ERROR(source.ReadAt(entry, 0, absl::MakeSpan(text.data(), text.size())));
  return text;
}

// Nothing if there is no such file.
absl::StatusOr<std::optional<std::string>> ReadBeside(const SourceTree& tree, const std::string& name) {
  std::unique_ptr<SourceTree> parent;
  if (!tree.is_directory()) {
    absl::StatusOr<std::unique_ptr<SourceTree>> opened = tree.OpenParent();
    if (!opened.ok()) return std::nullopt;
    parent = *std::move(opened);
  }
  const absl::StatusOr<std::unique_ptr<ByteSource>> file = (parent != nullptr ? *parent : tree).Open(name);
  if (!file.ok()) return std::nullopt;
  if ((*file)->size() > ConfigDocuments::kMaxBytes) return std::nullopt;
  std::string text((*file)->size(), '\0');
  CAIRN_RETURN_IF_ERROR((*file)->ReadAt(0, absl::MakeSpan(text.data(), text.size())));
  return text;
}

absl::StatusOr<ConfigDocuments> ReadConfigs(CheckpointReader& source, const SourceTree* beside,
                                            const MapLibrary& library, const std::vector<MapLibrary::File>& given) {
  ConfigDocuments config;
  for (const MapLibrary::File& file : given) CAIRN_RETURN_IF_ERROR(config.Add(file.name, file.text));
  const std::vector<std::string> wanted = library.ConfigFiles();
  const std::vector<Entry>& entries = source.index().entries;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].kind != EntryKind::kAsset || entries[i].byte_size > ConfigDocuments::kMaxBytes) continue;
    const std::string name = entries[i].path.ToString();
    if (config.Has(name) || std::find(wanted.begin(), wanted.end(), name) == wanted.end()) continue;
    CAIRN_ASSIGN_OR_RETURN(const std::string text, ReadAsset(source, i));
    CAIRN_RETURN_IF_ERROR(config.Add(name, text));
  }
  if (beside == nullptr) return config;
  for (const std::string& name : wanted) {
    if (config.Has(name)) continue;
    CAIRN_ASSIGN_OR_RETURN(const std::optional<std::string> text, ReadBeside(*beside, name));
    if (text.has_value()) CAIRN_RETURN_IF_ERROR(Annotate(config.Add(name, *text), beside->name()));
  }
  return config;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Mapping>> Mapping::Create(CheckpointReader& source, const SourceTree* beside,
                                                         const MappingRequest& request) {
  std::unique_ptr<Mapping> mapping(new Mapping());
  CAIRN_ASSIGN_OR_RETURN(mapping->library_, MapLibrary::Create(request.files));
  const MapLibrary& library = *mapping->library_;
  CAIRN_ASSIGN_OR_RETURN(const ConfigDocuments config, ReadConfigs(source, beside, library, request.configs));
  const bool is_file = std::any_of(request.files.begin(), request.files.end(),
                                   [&](const MapLibrary::File& file) { return file.name == request.map; });
  if (is_file) {
    CAIRN_ASSIGN_OR_RETURN(mapping->steps_, library.WayOfFile(request.map, source.index()));
  } else {
    const size_t colon = request.map.find(':');
    const std::string from = colon == std::string::npos ? "" : request.map.substr(0, colon);
    const std::string to = colon == std::string::npos ? request.map : request.map.substr(colon + 1);
    CAIRN_ASSIGN_OR_RETURN(mapping->steps_, library.FindWay(from, to, source.index(), config));
  }
  CAIRN_ASSIGN_OR_RETURN(mapping->plan_, MakeMappedPlan(source.index(), mapping->steps_, config, request.given));
  mapping->reader_ = std::make_unique<MappedReader>(source, mapping->plan_, request.read);
  return mapping;
}

std::string Mapping::Describe() const {
  std::string text = steps_[0].from->name;
  for (const MapStep& step : steps_) absl::StrAppend(&text, " -> ", step.to->name);
  return text;
}

}  // namespace cairn
