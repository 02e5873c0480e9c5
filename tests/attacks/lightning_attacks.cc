#include "tests/attacks/lightning_attacks.h"

#include "tests/attacks/dcp_files.h"

namespace cairn::testing {
namespace {

using Files = std::map<std::string, std::string>;

Said Weights() { return SaidDict({{"net.weight", SaidTensor("0")}, {"net.bias", SaidTensor("1")}}); }

Said Trainer(const Said& state_dict, const Said& version = SaidText("2.6.6")) {
  return SaidDict({{"epoch", SaidInt(3)},
                   {"global_step", SaidInt(30)},
                   {"pytorch-lightning_version", version},
                   {"state_dict", state_dict},
                   {"callbacks", SaidDict({})},
                   {"hyper_parameters", SaidObject("argparse", "Namespace", {{"lr", SaidInt(1)}})}});
}

Files FileOf(const Said& root) { return {{"", SavedByTorch(root)}}; }

// Shards with {"model": {"w": float32 [4, 3], in two chunks}, "step": 7}.
struct Shards {
  DcpDataFile data;
  DcpMetadataSpec spec;
  std::string meta = SavedByTorch(SaidDict({{"iter_num", SaidInt(7)}, {"hparams", SaidDict({{"lr", SaidInt(1)}})}}));

  Shards() {
    DcpEntrySpec w{.name = "model.w", .path = {"model", "w"}, .size = {4, 3}};
    w.chunks = {{{0, 0}, {2, 3}, data.Add(DcpFloatItem({2, 3}, 0))}, {{2, 0}, {2, 3}, data.Add(DcpFloatItem({2, 3}, 6))}};
    DcpEntrySpec step{.name = "step", .path = {"step"}, .is_value = true};
    step.place = data.Add(DcpIntItem(7));
    spec.entries = {w, step};
  }
  DcpEntrySpec& tensor() { return spec.entries[0]; }
  DcpEntrySpec& value() { return spec.entries.back(); }
  DcpPlace& place() { return *tensor().chunks[1].place; }
  Files Make() const { return {{".metadata", DcpMetadataBytes(spec)}, {"__0_0.distcp", data.bytes()}, {"meta.pt", meta}}; }
};

Files With(const std::function<void(Shards&)>& change) {
  Shards shards;
  change(shards);
  return shards.Make();
}

Files WithMeta(const Said& meta) {
  return With([&](Shards& shards) { shards.meta = SavedByTorch(meta); });
}

Files Without(const std::string& file) {
  Files files = Shards().Make();
  files.erase(file);
  return files;
}

Files Changed(const std::string& file, const std::string& bytes) {
  Files files = Shards().Make();
  files[file] = bytes;
  return files;
}

using Add = std::function<void(std::string name, Files files, std::string message)>;

void AddFiles(const Add& add) {
  add("good", FileOf(Trainer(Weights())), "");
  add("empty_state_dict", FileOf(Trainer(SaidDict({}))), "");
  // Others write such files too, and the weights of it are what they are.
  add("no_version", FileOf(SaidDict({{"state_dict", Weights()}})), "");
  add("state_that_would_run", FileOf(SaidDict({{"state_dict", Weights()}, {"callbacks", SaidCall("os", "system", "exit 1")}})), "");
  add("no_state_dict", FileOf(SaidDict({{"pytorch-lightning_version", SaidText("2.6.6")}, {"model", Weights()}})), "has no \"state_dict\"");
  add("file_is_a_list", FileOf(SaidList({Weights()})), "expected a dict by name, found list");
  add("file_is_a_module", FileOf(SaidObject("lightning", "LightningModule", {{"state_dict", Weights()}})),
      "expected a dict by name, found object of lightning.LightningModule");
  add("file_of_numbers", FileOf(SaidDictOf(SaidInt(0), Weights())), "expected a dict by name, found a dict with a key that is int");
  add("file_is_a_program", {{"", SavedAsTorchScript(Trainer(Weights()))}}, "is TorchScript");
  add("file_is_empty", {{"", ""}}, "is empty");
  add("file_in_itself", FileOf(Trainer(SaidDictInItself())), "or a container that holds itself");
  const auto state_dict = [&](const std::string& name, const Said& said, const std::string& found) {
    add("state_dict_is_" + name, FileOf(Trainer(said)), "\"state_dict\": expected a dict of tensors, found " + found);
  };
  state_dict("a_list", SaidList({SaidTensor(), SaidTensor("1")}), "list");
  state_dict("a_tuple", [](PickleWriter& w) { w.IntTuple({1, 2, 3}); }, "tuple");
  state_dict("a_text", SaidText("../../etc/passwd"), "str");
  state_dict("a_number", SaidInt(-1), "int");
  state_dict("none", SaidNone(), "None");
  state_dict("a_tensor", SaidTensor(), "a tensor");
  state_dict("an_object", SaidObject("collections", "Counter", {{"a", SaidInt(1)}}), "object of collections.Counter");
  state_dict("a_module", SaidObject("torch.nn.modules.linear", "Linear", {{"weight", SaidTensor()}}), "object of torch.nn.modules.linear.Linear");
  state_dict("of_tuples", SaidDictOf([](PickleWriter& w) { w.IntTuple({1, 2}); }, SaidTensor()), "a dict with a key that is tuple");
  const auto version = [&](const std::string& name, const Said& said, const std::string& found) {
    add("version_is_" + name, FileOf(Trainer(Weights(), said)), "\"pytorch-lightning_version\": expected a text, found " + found);
  };
  version("a_number", SaidInt(2), "int");
  version("none", SaidNone(), "None");
  version("a_list", SaidList({SaidInt(2), SaidInt(6)}), "list");
  version("a_dict", SaidDict({{"major", SaidInt(2)}}), "dict");
  version("a_tensor", SaidTensor(), "a tensor");
  version("an_object", SaidObject("packaging.version", "Version", {{"major", SaidInt(2)}}), "object of packaging.version.Version");
  add("weight_without_a_storage", FileOf(Trainer(SaidDict({{"net.weight", SaidTensor("2")}}))), "there is no record \"archive/data/2\"");
  add("weight_of_a_short_storage", FileOf(Trainer(SaidDict({{"net.weight", SaidTensor("0", 5)}}))), "has 16 bytes, expected 20");
}

void AddMeta(const Add& add) {
  add("shards_good", Shards().Make(), "");
  add("meta_of_nothing", WithMeta(SaidDict({})), "");
  add("meta_that_would_run", WithMeta(SaidDict({{"callbacks", SaidCall("os", "system", "exit 1")}})), "");
  add("no_meta", Without("meta.pt"), "holds no meta.pt, expected a sharded checkpoint of Lightning");
  add("meta_is_empty", Changed("meta.pt", ""), "meta.pt: is empty");
  add("meta_is_garbage", Changed("meta.pt", "garbage"), "meta.pt: is neither a zip archive nor a legacy file of torch.save");
  add("meta_is_cut_short", With([](Shards& shards) { shards.meta.resize(500); }), "or it is cut short");
  add("meta_is_a_program", Changed("meta.pt", SavedAsTorchScript(SaidDict({{"epoch", SaidInt(1)}}))), "meta.pt: is TorchScript");
  add("meta_is_the_metadata", Changed("meta.pt", Shards().Make()[".metadata"]), "meta.pt: is a bare pickle");
  add("meta_is_a_list", WithMeta(SaidList({SaidInt(1), SaidInt(2)})), "expected a dict by name, found list");
  add("meta_is_a_number", WithMeta(SaidInt(7)), "expected a dict by name, found int");
  add("meta_is_none", WithMeta(SaidNone()), "expected a dict by name, found None");
  add("meta_is_a_tensor", WithMeta(SaidTensor()), "expected a dict by name, found a tensor");
  add("meta_is_a_module", WithMeta(SaidObject("lightning.fabric", "Module", {{"weight", SaidTensor()}})),
      "expected a dict by name, found object of lightning.fabric.Module");
  add("meta_is_an_object", WithMeta(SaidObject("argparse", "Namespace", {{"lr", SaidInt(1)}})), "expected a dict by name, found object of argparse.Namespace");
  add("meta_of_numbers", WithMeta(SaidDictOf(SaidInt(0), SaidInt(7))), "expected a dict by name, found a dict with a key that is int");
  add("meta_of_tuples", WithMeta(SaidDictOf([](PickleWriter& w) { w.IntTuple({1, 2}); }, SaidInt(7))), "expected a dict by name, found a dict with a key that is tuple");
  add("meta_in_itself", WithMeta(SaidDictInItself()), "meta.pt: \"self/self");
  add("meta_has_the_model_too", WithMeta(SaidDict({{"model", SaidDict({{"other", SaidTensor()}})}})), "meta.pt and the shards both hold \"model\"");
  add("meta_has_a_value_too", WithMeta(SaidDict({{"step", SaidInt(8)}})), "meta.pt and the shards both hold \"step\"");
  add("meta_has_the_model_as_a_module", WithMeta(SaidDict({{"model", SaidObject("litgpt.model", "GPT", {{"weight", SaidTensor()}})}})),
      "meta.pt and the shards both hold \"model\"");
  add("meta_without_a_storage", WithMeta(SaidDict({{"ema", SaidTensor("7")}})), "there is no record \"archive/data/7\"");
  add("meta_with_a_long_name", WithMeta(SaidDict({{std::string(5000, 'n'), SaidInt(1)}})), "a name over the limit of 4096 bytes");
  add("meta_of_a_strange_version", WithMeta(SaidDict({{"pytorch-lightning_version", SaidInt(2)}})), "\"pytorch-lightning_version\": expected a text, found int");
}

void AddShards(const Add& add) {
  add("no_shards", {{"meta.pt", Shards().meta}}, "holds no .metadata");
  add("metadata_is_the_meta", Changed(".metadata", Shards().meta), ".metadata: ");
  add("metadata_is_cut_short", Changed(".metadata", Shards().Make()[".metadata"].substr(0, 300)), ".metadata: ");
  add("shard_missing", Without("__0_0.distcp"), "__0_0.distcp: ");
  add("shard_is_empty", Changed("__0_0.distcp", ""), "__0_0.distcp: has 0 bytes");
  add("shard_climbs", With([](Shards& s) { s.place().file = "../meta.pt"; }), "lies in \"../meta.pt\"; expected the bare name of a file of this folder");
  add("shard_is_absolute", With([](Shards& s) { s.place().file = "/etc/passwd"; }), "lies in \"/etc/passwd\"; expected the bare name of a file of this folder");
  add("shard_of_another_rank", With([](Shards& s) { s.place().file = "__1_0.distcp"; }), "__1_0.distcp");
  add("shard_is_the_meta", With([](Shards& s) {
        s.place().file = "meta.pt";
        s.place().offset = 0;
        s.place().length = static_cast<int64_t>(s.meta.size());
      }),
      "expected a tensor");
  add("rows_in_no_shard", With([](Shards& s) { s.tensor().size = {5, 3}; }), "no chunk holds [4:5, 0:3]");
  add("rows_in_two_shards", With([](Shards& s) { s.tensor().chunks[1].offsets = {1, 0}; }), "overlap in [1:2, 0:3]");
  add("model_below_a_value", With([](Shards& s) { s.value().path = {"model"}; }), "entry \"model\" cannot be the parent of \"model/w\"");
}

void AddWeightsOf(const Add& add) {
  add("good", FileOf(Trainer(Weights())), "");
  add("shards_good", Shards().Make(), "");
  add("shards_of_another_name", With([](Shards& s) { s.tensor().path = {"net", "w"}; }), "has neither \"state_dict\" nor \"model\", expected the weights of a model");
  add("model_of_shards_is_a_tensor", With([](Shards& s) { s.tensor().path = {"model"}; }), "\"model\": expected a dict of tensors, found a tensor of float32 [4, 3]");
  add("model_of_shards_is_a_list", With([](Shards& s) { s.tensor().path = {"model", int64_t{0}}; }), "\"model\": expected a dict of tensors, found a list of 1");
  add("model_of_shards_is_a_number", With([](Shards& s) {
        s.spec.entries.erase(s.spec.entries.begin());
        s.value().path = {"model"};
      }),
      "\"model\": expected a dict of tensors, found the value \"7\"");
  add("model_of_shards_is_a_module", With([](Shards& s) {
        s.spec.entries.erase(s.spec.entries.begin());
        s.value().path = {"model"};
        s.value().place = s.data.Add(SavedByTorch(SaidObject("torch.nn", "Linear", {{"weight", SaidTensor()}})));
      }),
      "\"model\": expected a dict of tensors, found what cannot be carried: ");
  add("state_dict_of_meta_is_a_number", WithMeta(SaidDict({{"state_dict", SaidInt(7)}})), "\"state_dict\": expected a dict of tensors, found int");
  add("state_dict_of_meta_is_a_module", WithMeta(SaidDict({{"state_dict", SaidObject("torch.nn", "Linear", {{"weight", SaidTensor()}})}})),
      "\"state_dict\": expected a dict of tensors, found object of torch.nn.Linear");
  add("weight_of_a_long_name", FileOf(Trainer(SaidDict({{std::string(4097, 'n'), SaidTensor()}}))), "a name over the limit of 4096 bytes");
  add("weights_that_stand_elsewhere",
      FileOf(SaidDict({{"ema", SaidTensor()}, {"state_dict", SaidDict({{"a", SaidTensor()}, {"b", SaidTensor()}, {"c", SaidTensor("1")}})}})), "");
}

std::vector<LitAttack> Collected(const std::vector<std::function<void(const Add&)>>& parts) {
  std::vector<LitAttack> attacks;
  const Add add = [&](std::string name, Files files, std::string message) { attacks.push_back({std::move(name), std::move(files), std::move(message)}); };
  for (const auto& part : parts) part(add);
  return attacks;
}

}  // namespace

std::vector<LitAttack> LightningAttacks() { return Collected({AddFiles, AddMeta, AddShards}); }
std::vector<LitAttack> LightningWeightsAttacks() { return Collected({AddWeightsOf}); }

}  // namespace cairn::testing
