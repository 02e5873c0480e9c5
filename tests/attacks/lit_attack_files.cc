#include "tests/attacks/lit_attack_files.h"

#include "common/io/memory_io.h"
#include "common/zip/zip_writer.h"

namespace cairn::testing {
namespace {

std::string Archive(const Said& root, bool script) {
  std::string pickle;
  PickleWriter writer(&pickle, 2);
  root(writer);
  (void)writer.Finish();
  std::string bytes;
  MemorySink sink(&bytes);
  ZipWriter zip(&sink, {.layout = ZipLayout::kTorch});
  (void)zip.AddEntry("archive/data.pkl", pickle);
  if (script) (void)zip.AddEntry("archive/constants.pkl", "");
  (void)zip.AddEntry("archive/byteorder", "little");
  (void)zip.AddEntry("archive/data/0", std::string(16, 'x'));
  (void)zip.AddEntry("archive/data/1", std::string(16, 'y'));
  (void)zip.AddEntry("archive/version", "3\n");
  (void)zip.Finish();
  (void)sink.Close();
  return bytes;
}

}  // namespace

Said SaidNone() {
  return [](PickleWriter& w) { w.None(); };
}

Said SaidInt(int64_t value) {
  return [=](PickleWriter& w) { w.Int(value); };
}

Said SaidText(const std::string& text) {
  return [=](PickleWriter& w) { w.Str(text); };
}

Said SaidList(const std::vector<Said>& items) {
  return [=](PickleWriter& w) {
    w.BeginList();
    for (const Said& item : items) item(w);
    w.End();
  };
}

Said SaidDict(const SaidPairs& pairs) {
  return [=](PickleWriter& w) {
    w.BeginDict();
    for (const auto& [key, value] : pairs) {
      w.Str(key);
      value(w);
    }
    w.End();
  };
}

Said SaidDictOf(const Said& key, const Said& value) {
  return [=](PickleWriter& w) {
    w.BeginDict();
    key(w);
    value(w);
    w.End();
  };
}

Said SaidDictInItself() {
  return [](PickleWriter& w) {
    w.BeginDict();
    const PickleWriter::Memo self = w.Memoize();
    w.Str("self");
    w.Get(self);
    w.End();
  };
}

Said SaidTensor(const std::string& storage, int64_t elements) {
  return [=](PickleWriter& w) {
    w.BeginReduce();
    w.Global("torch._utils", "_rebuild_tensor_v2");
    w.BeginTuple();
    w.BeginPersistentId();
    w.BeginTuple();
    w.Str("storage");
    w.Global("torch", "FloatStorage");
    w.Str(storage);
    w.Str("cpu");
    w.Int(elements);
    w.End();
    w.End();
    w.Int(0);
    w.IntTuple({elements});
    w.IntTuple({1});
    w.Bool(false);
    w.EmptyOrderedDict();
    w.End();
    w.End();
  };
}

Said SaidObject(const std::string& module, const std::string& name, const SaidPairs& state) {
  return [=](PickleWriter& w) {
    w.BeginNewObj();
    w.Global(module, name);
    w.BeginTuple();
    w.End();
    w.Build();
    SaidDict(state)(w);
    w.End();
  };
}

Said SaidCall(const std::string& module, const std::string& function, const std::string& argument) {
  return [=](PickleWriter& w) {
    w.BeginReduce();
    w.Global(module, function);
    w.BeginTuple();
    w.Str(argument);
    w.End();
    w.End();
  };
}

std::string SavedByTorch(const Said& root) { return Archive(root, false); }
std::string SavedAsTorchScript(const Said& root) { return Archive(root, true); }

}  // namespace cairn::testing
