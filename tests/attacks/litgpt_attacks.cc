#include "tests/attacks/litgpt_attacks.h"

namespace cairn::testing {
namespace {

constexpr char kModel[] = "lit_model.pth";

Said Weights() { return SaidDict({{"lm_head.weight", SaidTensor("0")}, {"transformer.wte.weight", SaidTensor("1")}}); }

// As litgpt saves while it trains.
Said Training(const Said& model) {
  return SaidDict({{"model", model},
                   {"optimizer", SaidDict({{"state", SaidDict({})}, {"param_groups", SaidList({})}})},
                   {"train_dataloader", SaidObject("litgpt.data.alpaca", "Loader", {{"at", SaidInt(7)}})},
                   {"iter_num", SaidInt(7)},
                   {"step_count", SaidInt(2)}});
}

}  // namespace

std::vector<LitAttack> LitGptAttacks() {
  std::vector<LitAttack> attacks;
  const auto add_files = [&](std::string name, std::map<std::string, std::string> files, std::string message) {
    attacks.push_back({std::move(name), std::move(files), std::move(message)});
  };
  const auto add_bytes = [&](std::string name, std::string bytes, std::string message) {
    add_files(std::move(name), {{kModel, std::move(bytes)}, {"model_config.yaml", "n_layer: 2"}}, std::move(message));
  };
  const auto add = [&](std::string name, const Said& root, std::string message) { add_bytes(std::move(name), SavedByTorch(root), std::move(message)); };

  add("good", Weights(), "");
  add("training", Training(Weights()), "");
  add("training_of_nothing", Training(SaidDict({})), "");
  add("state_that_would_run", SaidDict({{"model", Weights()}, {"scheduler", SaidCall("os", "system", "exit 1")}}), "");
  add_files("file_alone", {{"", SavedByTorch(Weights())}}, "");

  add_files("no_model", {{"model_config.yaml", "n_layer: 2"}}, "holds no lit_model.pth, expected the weights of litgpt");
  add_files("model_of_another_name", {{"pytorch_model.bin", SavedByTorch(Weights())}}, "a folder of other files of torch.save is read with torch::");
  add_files("model_in_shards", {{"lit_model.pth/.metadata", "x"}, {"lit_model.pth/__0_0.distcp", "x"}, {"lit_model.pth/meta.pt", SavedByTorch(SaidDict({}))}},
            "its lit_model.pth is no file; a sharded checkpoint is a folder, whose path is read with lightning::");
  add_bytes("model_is_empty", "", "lit_model.pth: is empty");
  add_bytes("model_is_text", "version https://git-lfs.github.com/spec/v1", "neither a zip archive nor a legacy file of torch.save");
  add_bytes("model_is_cut_short", SavedByTorch(Weights()).substr(0, 700), "or it is cut short");
  add_bytes("model_is_a_program", SavedAsTorchScript(Weights()), "is TorchScript");
  add("root_is_a_list", SaidList({SaidTensor()}), "expected a dict by name, found list");
  add("root_is_a_number", SaidInt(7), "expected a dict by name, found int");
  add("root_is_a_text", SaidText("model"), "expected a dict by name, found str");
  add("root_is_none", SaidNone(), "expected a dict by name, found None");
  add("root_is_a_tensor", SaidTensor(), "expected a dict by name, found a tensor");
  add("root_is_a_module", SaidObject("litgpt.model", "GPT", {{"weight", SaidTensor()}}), "expected a dict by name, found object of litgpt.model.GPT");
  add("root_would_run", SaidCall("os", "system", "exit 1"), "expected a dict by name, found object of os.system");
  add("root_of_numbers", SaidDictOf(SaidInt(0), SaidTensor()), "expected a dict by name, found a dict with a key that is int");
  add("root_of_tuples", SaidDictOf([](PickleWriter& w) { w.IntTuple({1, 2}); }, SaidTensor()), "expected a dict by name, found a dict with a key that is tuple");
  add("root_in_itself", SaidDictInItself(), "nested deeper than 64 levels, or a container that holds itself");
  add("model_is_a_module", Training(SaidObject("litgpt.model", "GPT", {{"weight", SaidTensor()}})), "\"model\": expected a dict of tensors, found object of litgpt.model.GPT");
  add("model_is_an_object", Training(SaidObject("litgpt.config", "Config", {{"n_layer", SaidInt(2)}})),
      "\"model\": expected a dict of tensors, found object of litgpt.config.Config");
  add("model_is_a_list", Training(SaidList({SaidTensor()})), "\"model\": expected a dict of tensors, found list");
  add("model_is_a_name", Training(SaidText("../../etc/passwd")), "\"model\": expected a dict of tensors, found str");
  add("model_is_a_tensor", Training(SaidTensor()), "\"model\": expected a dict of tensors, found a tensor");
  add("storage_is_missing", SaidDict({{"lm_head.weight", SaidTensor("2")}}), "the pickle names a storage \"2\", and there is no record \"archive/data/2\"");
  add("storage_climbs", SaidDict({{"lm_head.weight", SaidTensor("../../../etc/passwd")}}), "there is no record \"archive/data/../../../etc/passwd\"");
  add("storage_is_short", Training(SaidDict({{"lm_head.weight", SaidTensor("0", 5)}})), "record \"archive/data/0\" has 16 bytes, expected 20");
  add("name_is_long", SaidDict({{std::string(5000, 'n'), SaidTensor()}}), "a name over the limit of 4096 bytes");
  add_files("file_alone_is_a_list", {{"", SavedByTorch(SaidList({SaidInt(1), SaidInt(2)}))}}, "expected a dict by name, found list");
  return attacks;
}

}  // namespace cairn::testing
