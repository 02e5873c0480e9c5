#include "tests/attacks/dcp_files.h"

#include <zstd.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/io/memory_io.h"
#include "common/pickle/pickle_writer.h"
#include "common/zip/zip_writer.h"

namespace cairn::testing {
namespace {

void BeginObject(PickleWriter& w, const std::string& module, const std::string& name) {
  w.BeginNewObj();
  w.Global(module, name);
  w.BeginTuple();
  w.End();
  w.Build();
}

void Size(PickleWriter& w, const Numbers& numbers) {
  w.BeginReduce();
  w.Global("torch", "Size");
  w.BeginTuple();
  w.IntTuple(numbers);
  w.End();
  w.End();
}

void Place(PickleWriter& w, const DcpMetadataSpec& spec, const DcpPlace& place) {
  BeginObject(w, spec.storage_module, "_StorageInfo");
  w.BeginDict();
  w.Str("relative_path");
  w.Str(place.file);
  w.Str("offset");
  w.Int(place.offset);
  w.Str("length");
  w.Int(place.length);
  if (!place.transforms.empty()) {
    w.Str("transform_descriptors");
    w.BeginList();
    for (const std::string& transform : place.transforms) w.Str(transform);
    w.End();
  }
  w.End();
  w.End();
}

void Index(PickleWriter& w, const DcpMetadataSpec& spec, const std::string& name, const Numbers* offsets,
           int64_t index) {
  BeginObject(w, spec.module, "MetadataIndex");
  w.BeginDict();
  w.Str("fqn");
  w.Str(name);
  w.Str("index");
  if (offsets == nullptr) {
    w.None();
  } else {
    w.Int(index);
    w.Str("offset");
    Size(w, *offsets);
  }
  w.End();
  w.End();
}

void Tensor(PickleWriter& w, const DcpMetadataSpec& spec, const DcpEntrySpec& entry) {
  BeginObject(w, spec.module, entry.metadata_class.empty() ? "TensorStorageMetadata" : entry.metadata_class);
  w.BeginDict();
  w.Str("properties");
  BeginObject(w, spec.properties_module, "TensorProperties");
  w.BeginTuple();
  w.Global("torch", entry.dtype);
  w.None();
  w.Bool(false);
  w.Int(0);
  w.Bool(false);
  w.End();
  w.End();
  w.Str("size");
  Size(w, entry.size);
  w.Str("chunks");
  w.BeginList();
  for (const DcpChunkSpec& chunk : entry.chunks) {
    BeginObject(w, spec.module, "ChunkStorageMetadata");
    w.BeginDict();
    w.Str("offsets");
    Size(w, chunk.offsets);
    w.Str("sizes");
    Size(w, chunk.sizes);
    w.End();
    w.End();
  }
  w.End();
  w.End();
  w.End();
}

std::string Archive(const std::string& pickle, const std::string* storage) {
  std::string bytes;
  MemorySink sink(&bytes);
  ZipWriter zip(&sink, {.layout = ZipLayout::kTorch});
  (void)zip.AddEntry("archive/data.pkl", pickle);
  (void)zip.AddEntry("archive/byteorder", "little");
  if (storage != nullptr) (void)zip.AddEntry("archive/data/0", *storage);
  (void)zip.AddEntry("archive/version", "3\n");
  (void)zip.Finish();
  (void)sink.Close();
  return bytes;
}

}  // namespace

std::string DcpMetadataBytes(const DcpMetadataSpec& spec) {
  std::string bytes;
  PickleWriter w(&bytes, spec.protocol);
  BeginObject(w, spec.module, "Metadata");
  w.BeginDict();
  w.Str("state_dict_metadata");
  w.BeginDict();
  for (const DcpEntrySpec& entry : spec.entries) {
    w.Str(entry.name);
    if (!entry.is_value) {
      Tensor(w, spec, entry);
      continue;
    }
    w.BeginNewObj();
    w.Global(spec.module, entry.metadata_class.empty() ? "BytesStorageMetadata" : entry.metadata_class);
    w.BeginTuple();
    w.End();
    w.End();
  }
  w.End();
  w.Str("planner_data");
  if (spec.with_paths) {
    w.BeginDict();
    for (const DcpEntrySpec& entry : spec.entries) {
      if (entry.path.empty()) continue;
      w.Str(entry.name);
      w.BeginTuple();
      for (const auto& segment : entry.path) {
        if (const auto* name = std::get_if<std::string>(&segment)) {
          w.Str(*name);
        } else {
          w.Int(std::get<int64_t>(segment));
        }
      }
      w.End();
    }
    w.End();
  } else {
    w.None();
  }
  w.Str("storage_data");
  if (spec.with_storage) {
    w.BeginDict();
    for (const DcpEntrySpec& entry : spec.entries) {
      if (entry.place.has_value()) {
        Index(w, spec, entry.name, nullptr, 0);
        Place(w, spec, *entry.place);
      }
      for (size_t i = 0; i < entry.chunks.size(); ++i) {
        if (!entry.chunks[i].place.has_value()) continue;
        Index(w, spec, entry.name, &entry.chunks[i].offsets, static_cast<int64_t>(i));
        Place(w, spec, *entry.chunks[i].place);
      }
    }
    w.End();
  } else {
    w.None();
  }
  if (spec.newest_fields) {
    w.Str("storage_meta");
    w.None();
    w.Str("version");
    w.Str("1.0.0");
    w.Str("a_field_of_the_future");
    w.BeginReduce();
    w.Global("os", "system");
    w.BeginTuple();
    w.Str("exit 1");
    w.End();
    w.End();
  }
  w.End();
  w.End();
  (void)w.Finish();
  return bytes;
}

std::string DcpTensorItem(const std::string& storage_class, int64_t item_size, const Numbers& shape,
                          const std::string& bytes, const Numbers& strides) {
  Numbers row_major(shape.size(), 1);
  for (size_t d = shape.size(); d-- > 1;) row_major[d - 1] = row_major[d] * shape[d];
  std::string pickle;
  PickleWriter w(&pickle, 2);
  w.BeginReduce();
  w.Global("torch._utils", "_rebuild_tensor_v2");
  w.BeginTuple();
  w.BeginPersistentId();
  w.BeginTuple();
  w.Str("storage");
  w.Global("torch", storage_class);
  w.Str("0");
  w.Str("cpu");
  w.Int(static_cast<int64_t>(bytes.size()) / item_size);
  w.End();
  w.End();
  w.Int(0);
  w.IntTuple(shape);
  w.IntTuple(strides.empty() ? row_major : strides);
  w.Bool(false);
  w.EmptyOrderedDict();
  w.End();
  w.End();
  (void)w.Finish();
  return Archive(pickle, &bytes);
}

std::string DcpFloatItem(const Numbers& shape, float first) {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  std::string bytes(static_cast<size_t>(count) * sizeof(float), '\0');
  for (int64_t i = 0; i < count; ++i) {
    const float value = first + static_cast<float>(i);
    std::memcpy(bytes.data() + i * static_cast<int64_t>(sizeof(float)), &value, sizeof(float));
  }
  return DcpTensorItem("FloatStorage", sizeof(float), shape, bytes);
}

std::string DcpIntItem(int64_t value) {
  std::string pickle;
  PickleWriter w(&pickle, 2);
  w.Int(value);
  (void)w.Finish();
  return DcpPickleItem(pickle);
}

std::string DcpPickleItem(const std::string& pickle) { return Archive(pickle, nullptr); }

std::string ZstdOf(const std::string& bytes) {
  std::string compressed(ZSTD_compressBound(bytes.size()), '\0');
  compressed.resize(ZSTD_compress(compressed.data(), compressed.size(), bytes.data(), bytes.size(), 3));
  return compressed;
}

DcpPlace DcpDataFile::Add(const std::string& item, std::vector<std::string> transforms) {
  const std::string stored = transforms.empty() ? item : ZstdOf(item);
  DcpPlace place{name_, static_cast<int64_t>(bytes_.size()), static_cast<int64_t>(stored.size()),
                 std::move(transforms)};
  bytes_ += stored;
  return place;
}

std::string DcpSafetensors(const std::vector<DcpSafetensorsSpec>& tensors, const std::string& sharding_info) {
  std::vector<std::string> infos, entries;
  std::string data;
  for (const DcpSafetensorsSpec& tensor : tensors) {
    const size_t begin = data.size();
    int64_t count = 1;
    for (const int64_t extent : tensor.shape) count *= extent;
    for (int64_t i = 0; i < count; ++i) {
      const float value = tensor.first + static_cast<float>(i);
      data.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
    infos.push_back(absl::StrCat("\\\"", tensor.name, "\\\": {\\\"saved_offsets\\\": [",
                                 absl::StrJoin(tensor.offsets, ", "), "]}"));
    entries.push_back(absl::StrCat("\"", tensor.name, "\":{\"dtype\":\"F32\",\"shape\":[",
                                   absl::StrJoin(tensor.shape, ","), "],\"data_offsets\":[", begin, ",", data.size(),
                                   "]}"));
  }
  const std::string info = sharding_info.empty() ? absl::StrCat("{", absl::StrJoin(infos, ", "), "}") : sharding_info;
  std::string header = absl::StrCat("{\"__metadata__\":{\"DCP_SHARDING_INFO\":\"", info,
                                    "\",\"DCP_VERSION\":\"1.0\",\"format\":\"pt\"},", absl::StrJoin(entries, ","), "}");
  while (header.size() % 8 != 0) header += ' ';
  std::string file;
  for (int shift = 0; shift < 64; shift += 8) file.push_back(static_cast<char>(header.size() >> shift & 255));
  return file + header + data;
}

}  // namespace cairn::testing
