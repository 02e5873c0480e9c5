#include "common/format/dcp/dcp_metadata_writer.h"

#include <optional>
#include <utility>
#include <variant>

#include "absl/types/span.h"
#include "common/format/torch/torch_types.h"
#include "common/pickle/pickle_writer.h"

namespace cairn {
namespace {

// CPython's own up to 3.13, which is what torch writes.
constexpr int kProtocol = 4;
// Modules of torch 2.3 and later.
constexpr char kModule[] = "torch.distributed.checkpoint.metadata";
constexpr char kStorageModule[] = "torch.distributed.checkpoint.filesystem";
constexpr char kVersion[] = "1.0.0";

class MetadataWriter {
 public:
  MetadataWriter(const CheckpointIndex& index, const DcpPlan& plan, const std::vector<DcpWritten>& written,
                 ByteSink* sink)
      : index_(index), plan_(plan), written_(written), writer_(sink, kProtocol) {}

  absl::Status Write() {
    BeginObject(kModule, "Metadata");
    writer_.Str("state_dict_metadata");
    writer_.BeginDict();
    for (const DcpKey& key : plan_.keys) {
      writer_.Str(key.name);
      const DcpKey& meant = Meant(key);
      if (meant.tensor.has_value()) {
        WriteTensor(meant);
      } else {
        WriteClassAlone("BytesStorageMetadata");
      }
    }
    writer_.End();
    writer_.Str("planner_data");
    WritePaths();
    writer_.Str("storage_data");
    writer_.BeginDict();
    for (size_t i = 0; i < plan_.items.size(); ++i) WriteStorage(plan_.keys[plan_.items[i].key], i);
    WriteStorageOfAliases();
    writer_.End();
    writer_.Str("storage_meta");
    WriteStorageMeta();
    writer_.Str("version");
    writer_.Str(kVersion);
    EndObject();
    return writer_.Finish();
  }

 private:
  const DcpKey& Meant(const DcpKey& key) const { return key.same_as.has_value() ? plan_.keys[*key.same_as] : key; }

  // An instance of a dataclass; then its fields.
  void BeginObject(absl::string_view module, absl::string_view name) {
    writer_.BeginNewObj();
    writer_.Global(module, name);
    writer_.BeginTuple(0);
    writer_.End();
    writer_.Build();
    writer_.BeginDict();
  }
  void EndObject() {
    writer_.End();
    writer_.End();
  }
  void WriteClassAlone(absl::string_view name) {
    writer_.BeginNewObj();
    writer_.Global(kModule, name);
    writer_.BeginTuple(0);
    writer_.End();
    writer_.End();
  }

  void WriteSize(absl::Span<const int64_t> size) {
    writer_.BeginReduce();
    writer_.Global("torch", "Size");
    writer_.BeginTuple(1);
    writer_.IntTuple(size);
    writer_.End();
    writer_.End();
  }

  void WriteTensor(const DcpKey& key) {
    BeginObject(kModule, "TensorStorageMetadata");
    writer_.Str("properties");
    WriteProperties(index_.entries[*key.tensor].dtype);
    writer_.Str("size");
    WriteSize(key.stored_shape);
    writer_.Str("chunks");
    writer_.BeginList();
    for (const Box& chunk : key.chunks) {
      BeginObject(kModule, "ChunkStorageMetadata");
      writer_.Str("offsets");
      WriteSize(chunk.offset);
      writer_.Str("sizes");
      WriteSize(chunk.extent);
      EndObject();
    }
    writer_.End();
    EndObject();
  }

  void WriteProperties(Dtype dtype) {
    writer_.BeginNewObj();
    writer_.Global(kModule, "TensorProperties");
    writer_.BeginTuple(0);
    writer_.End();
    writer_.Build();
    writer_.BeginTuple(5);
    writer_.Global("torch", TorchTypeNameOf(dtype)->dtype);
    WriteOnce(&layout_, "torch.serialization", "_get_layout", [&] { writer_.Str("torch.strided"); });
    writer_.Bool(false);  // requires_grad
    WriteOnce(&memory_format_, kModule, "_MEM_FORMAT_ENCODING", [&] { writer_.Int(0); });
    writer_.Bool(false);  // pin_memory
    writer_.End();
    writer_.End();
  }

  // A call with one argument, whose result is the same object in all places.
  template <typename Argument>
  void WriteOnce(std::optional<PickleWriter::Memo>* memo, absl::string_view module, absl::string_view name,
                 Argument argument) {
    if (memo->has_value()) return writer_.Get(**memo);
    writer_.BeginReduce();
    writer_.Global(module, name);
    writer_.BeginTuple(1);
    argument();
    writer_.End();
    writer_.End();
    *memo = writer_.Memoize();
  }

  void WritePaths() {
    writer_.BeginDict();
    for (const DcpKey& key : plan_.keys) {
      writer_.Str(key.name);
      writer_.BeginTuple(static_cast<int32_t>(key.path.segments().size()));
      for (const KeyPath::Segment& segment : key.path.segments()) {
        if (const auto* name = std::get_if<std::string>(&segment)) {
          writer_.Str(*name);
        } else {
          writer_.Int(std::get<int64_t>(segment));
        }
      }
      writer_.End();
    }
    writer_.End();
  }

  void WriteStorage(const DcpKey& key, size_t item_number) {
    const DcpPlannedItem& item = plan_.items[item_number];
    BeginObject(kModule, "MetadataIndex");
    writer_.Str("fqn");
    writer_.Str(key.name);
    writer_.Str("index");
    if (item.chunk.has_value()) {
      writer_.Int(static_cast<int64_t>(*item.chunk));
      writer_.Str("offset");
      WriteSize(Meant(key).chunks[*item.chunk].offset);
    } else {
      writer_.None();
    }
    EndObject();
    const DcpWritten& place = written_[item_number];
    BeginObject(kStorageModule, "_StorageInfo");
    writer_.Str("relative_path");
    writer_.Str(place.file);
    writer_.Str("offset");
    writer_.Int(static_cast<int64_t>(place.offset));
    writer_.Str("length");
    writer_.Int(static_cast<int64_t>(place.length));
    EndObject();
  }

  // They name the items of what they are other names of.
  void WriteStorageOfAliases() {
    std::vector<std::vector<const DcpKey*>> aliases(plan_.keys.size());
    bool any = false;
    for (const DcpKey& key : plan_.keys) {
      if (!key.same_as.has_value()) continue;
      aliases[*key.same_as].push_back(&key);
      any = true;
    }
    if (!any) return;
    for (size_t i = 0; i < plan_.items.size(); ++i) {
      for (const DcpKey* alias : aliases[plan_.items[i].key]) WriteStorage(*alias, i);
    }
  }

  void WriteStorageMeta() {
    BeginObject(kModule, "StorageMeta");
    writer_.Str("checkpoint_id");
    writer_.None();
    writer_.Str("save_id");
    writer_.Str("");
    writer_.Str("load_id");
    writer_.None();
    writer_.Str("modules");
    writer_.BeginList();
    writer_.End();
    EndObject();
  }

  const CheckpointIndex& index_;
  const DcpPlan& plan_;
  const std::vector<DcpWritten>& written_;
  PickleWriter writer_;
  std::optional<PickleWriter::Memo> layout_, memory_format_;
};

}  // namespace

absl::Status WriteDcpMetadata(const CheckpointIndex& index, const DcpPlan& plan, const std::vector<DcpWritten>& written,
                              ByteSink* sink) {
  return MetadataWriter(index, plan, written, sink).Write();
}

}  // namespace cairn
