#include "tests/attacks/colossalai_attacks.h"

#include <functional>

#include "absl/strings/str_cat.h"
#include "common/pickle/pickle_writer.h"
#include "tests/attacks/torch_attacks.h"

namespace cairn::testing {
namespace {

using Write = std::function<void(PickleWriter&)>;

std::string PickleOf(const Write& write) {
  std::string pickle;
  PickleWriter writer(&pickle, 2);
  write(writer);
  (void)writer.Finish();
  return pickle;
}

std::string Int(int64_t value) {
  return PickleOf([&](PickleWriter& w) { w.Int(value); });
}

struct State {
  std::string key, bytes;
  std::string dtype = "U8";
  std::string shape = {};  // Empty: [length].
};

// `pickled` is the text of non_tensor_keys.
std::string Safetensors(const std::vector<State>& states, const std::string& pickled) {
  std::string quoted;
  for (const char c : pickled) absl::StrAppend(&quoted, c == '"' ? "\\\"" : std::string(1, c));
  std::string header = absl::StrCat("{\"__metadata__\": {\"format\": \"pt\", \"non_tensor_keys\": \"", quoted, "\"}");
  std::string data;
  for (const State& state : states) {
    absl::StrAppend(&header, ", \"", state.key, "\": {\"dtype\": \"", state.dtype, "\", \"shape\": [",
                    state.shape.empty() ? absl::StrCat(state.bytes.size()) : state.shape, "], \"data_offsets\": [", data.size(), ", ",
                    data.size() + state.bytes.size(), "]}");
    data += state.bytes;
  }
  header += "}";
  while (header.size() % 8 != 0) header += ' ';
  std::string file;
  for (int i = 0; i < 8; ++i) file.push_back(static_cast<char>(header.size() >> (8 * i)));
  return file + header + data;
}

void Groups(PickleWriter& w) {
  w.BeginList();
  w.BeginDict();
  w.Str("params");
  w.BeginList();
  w.Int(0);
  w.End();
  w.End();
  w.End();
}

std::string WithStep(const State& step, const std::string& pickled = R"(["state.0.step", "param_groups"])") {
  return Safetensors({step, {"param_groups", PickleOf(Groups)}}, pickled);
}

// A file of torch.save without tensors.
std::string Saved(const Write& write) { return TorchZip(PickleOf(write), ""); }

std::string Shard(const std::vector<std::string>& ids) {
  return Saved([&](PickleWriter& w) {
    w.BeginDict();
    for (const std::string& id : ids) {
      w.Str(id);
      w.BeginDict();
      w.Str("step");
      w.Int(1);
      w.End();
    }
    w.End();
  });
}

std::string Index(const std::string& weights, const std::string& metadata = R"("param_groups": "pytorch_optim_group.bin", )") {
  return absl::StrCat("{\"metadata\": {", metadata, "\"total_size\": 0.5}, \"weight_map\": {", weights, "}}");
}

constexpr char kIndex[] = "pytorch_optim.bin.index.json";
constexpr char kShard[] = "pytorch_optim-00001.bin";
constexpr char kGroup[] = "pytorch_optim_group.bin";

}  // namespace

std::vector<ColossalAiFileAttack> ColossalAiFileAttacks() {
  std::vector<ColossalAiFileAttack> attacks;
  const auto add = [&](std::string name, std::string bytes, std::string message) {
    attacks.push_back({std::move(name), std::move(bytes), std::move(message)});
  };
  add("good", WithStep({"state.0.step", Int(7)}), "");
  add("pickle_of_floats", WithStep({"state.0.step", Int(7) + "...", "F32", "2"}), "expected uint8 of one dimension");
  add("pickle_of_two_dimensions", WithStep({"state.0.step", Int(7) + "x", "U8", "2,3"}), "expected uint8 of one dimension");
  add("pickle_of_garbage", WithStep({"state.0.step", "garbage"}), "offset");
  add("empty_pickle", WithStep({"state.0.step", ""}), "state.0.step");
  add("pickle_cut_off", WithStep({"state.0.step", Int(1000).substr(0, 4)}), "state.0.step");
  add("pickle_with_a_storage", WithStep({"state.0.step", PickleOf([](PickleWriter& w) {
                                           w.BeginReduce();
                                           w.Global("torch._utils", "_rebuild_tensor_v2");
                                           w.BeginTuple();
                                           w.BeginPersistentId();
                                           w.BeginTuple();
                                           w.Str("storage");
                                           w.Global("torch", "FloatStorage");
                                           w.Str("0");
                                           w.Str("cpu");
                                           w.Int(1);
                                           w.End();
                                           w.End();
                                           w.Int(0);
                                           w.IntTuple({1});
                                           w.IntTuple({1});
                                           w.Bool(false);
                                           w.EmptyOrderedDict();
                                           w.End();
                                           w.End();
                                         })}),
      "lie outside of the pickle");
  add("pickle_in_itself", WithStep({"state.0.step", PickleOf([](PickleWriter& w) {
                                      w.BeginList();
                                      const PickleWriter::Memo self = w.Memoize();
                                      w.Get(self);
                                      w.End();
                                    })}),
      "holds itself");
  add("pickle_that_calls", WithStep({"state.0.step", PickleOf([](PickleWriter& w) {
                                       w.BeginReduce();
                                       w.Global("os", "system");
                                       w.BeginTuple();
                                       w.Str("true");
                                       w.End();
                                       w.End();
                                     })}),
      "");
  add("names_are_no_json", WithStep({"state.0.step", Int(7)}, "state.0.step"), "non_tensor_keys");
  add("names_are_an_object", WithStep({"state.0.step", Int(7)}, R"({"state.0.step": 1})"), "expected a list of names");
  add("names_are_numbers", WithStep({"state.0.step", Int(7)}, "[1, 2]"), "expected a list of names");
  add("names_in_lists", WithStep({"state.0.step", Int(7)}, R"([["state.0.step"]])"), "expected a list of names");
  add("id_is_no_number", WithStep({"state.x.step", Int(7)}), "expected \"state.ID.NAME\"");
  add("id_is_negative", WithStep({"state.-1.step", Int(7)}), "expected \"state.ID.NAME\"");
  add("id_is_huge", WithStep({"state.99999999999999999999.step", Int(7)}), "expected \"state.ID.NAME\"");
  add("no_name", WithStep({"state.0", Int(7)}), "expected \"state.ID.NAME\"");
  add("another_name", WithStep({"weights", "1234"}), "expected \"state.ID.NAME\"");
  add("one_state_twice", Safetensors({{"state.0.step", "12"}, {"state.00.step", "34"}, {"param_groups", PickleOf(Groups)}}, R"(["param_groups"])"), "twice");
  add("groups_that_are_no_pickle", Safetensors({{"state.0.a", "12"}, {"param_groups", "12"}}, "[]"), "");
  return attacks;
}

std::vector<ColossalAiFolderAttack> ColossalAiFolderAttacks() {
  std::vector<ColossalAiFolderAttack> attacks;
  using Files = std::vector<std::pair<std::string, std::string>>;
  const auto add = [&](std::string name, Files files, std::string message) { attacks.push_back({std::move(name), std::move(files), std::move(message)}); };
  const std::string group = Saved(Groups);
  const std::string index = Index(R"("0": "pytorch_optim-00001.bin")");
  add("good", {{kIndex, index}, {kShard, Shard({"0"})}, {kGroup, group}}, "");
  add("two_indexes", {{kIndex, index}, {"pytorch_model.bin.index.json", index}, {kShard, Shard({"0"})}, {kGroup, group}}, "2 indexes");
  add("shard_that_climbs", {{kIndex, Index(R"("0": "../pytorch_optim-00001.bin")")}, {kGroup, group}}, "leaves the folder");
  add("group_that_climbs", {{kIndex, Index(R"("0": "pytorch_optim-00001.bin")", R"("param_groups": "../../passwd", )")}, {kShard, Shard({"0"})}},
      "leaves the folder");
  add("group_nowhere", {{kIndex, Index(R"("0": "pytorch_optim-00001.bin")", "")}, {kShard, Shard({"0"})}, {kGroup, group}}, "names no file of parameter groups");
  add("group_missing", {{kIndex, index}, {kShard, Shard({"0"})}}, kGroup);
  add("group_is_a_dict", {{kIndex, index}, {kShard, Shard({"0"})}, {kGroup, Shard({"0"})}}, "expected a list of parameter groups");
  add("group_is_a_number", {{kIndex, index}, {kShard, Shard({"0"})}, {kGroup, Saved([](PickleWriter& w) { w.Int(1); })}}, "expected a list of parameter groups");
  add("id_twice_in_the_index", {{kIndex, Index(R"("0": "pytorch_optim-00001.bin", "00": "pytorch_optim-00002.bin")")}, {kShard, Shard({"0"})}, {kGroup, group}},
      "parameter 0 twice");
  add("id_twice_in_a_shard", {{kIndex, index}, {kShard, Shard({"0", "00"})}, {kGroup, group}}, "twice");
  add("id_is_a_name", {{kIndex, Index(R"("weight": "pytorch_optim-00001.bin")")}, {kShard, Shard({"weight"})}, {kGroup, group}}, "the ids of parameters");
  add("shard_of_names", {{kIndex, index}, {kShard, Shard({"0", "weight"})}, {kGroup, group}}, "the ids of parameters");
  add("shard_of_a_number", {{kIndex, index}, {kShard, Saved([](PickleWriter& w) { w.Int(1); })}, {kGroup, group}}, "the ids of parameters");
  add("shard_without_its_state", {{kIndex, Index(R"("1": "pytorch_optim-00001.bin")")}, {kShard, Shard({"0"})}, {kGroup, group}}, "does not hold them");
  add("shard_missing", {{kIndex, index}, {kGroup, group}}, kShard);
  add("index_cut_off", {{kIndex, index.substr(0, index.size() - 2)}, {kShard, Shard({"0"})}, {kGroup, group}}, "JSON");
  add("index_without_a_map", {{kIndex, R"({"metadata": {}})"}, {kShard, Shard({"0"})}, {kGroup, group}}, "weight_map");
  add("pieces_of_ranks", {{"pytorch_model.bin.index.json", Index(R"("a": "dtensor/a.*..bin")", "")}, {"dtensor/a.0..bin", group}}, "gather_dtensor");
  add("unfinished_save", {{"pytorch_model-stage-00001-shard-00001.bin", Shard({"0"})}, {"tmp_index_files/", ""}}, "interrupted");
  add("optimizer_without_an_index", {{"optimizer/pytorch_optim-00001.bin", Shard({"0"})}, {"modeling/pytorch_model.bin", Shard({"0"})}}, "expected an index");
  add("model_twice", {{"model/pytorch_model.bin", Shard({"0"})}, {"modeling/pytorch_model.bin", Shard({"0"})}}, "twice");
  return attacks;
}

}  // namespace cairn::testing
